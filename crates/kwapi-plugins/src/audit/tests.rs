use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A log in a scratch directory, at a clock that tests set.
fn log(lab: &kwapi_peers::Lab) -> (AuditLog, Arc<AtomicU64>) {
    let seconds = Arc::new(AtomicU64::new(1_800_000_000));
    let clock = Arc::clone(&seconds);
    let wall = WallClock::new(move || Timestamp::from_seconds(clock.load(Ordering::Relaxed)));
    (AuditLog::new(lab.join("audit.log"), wall), seconds)
}

fn read(lab: &kwapi_peers::Lab) -> Vec<String> {
    std::fs::read_to_string(lab.join("audit.log")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_event_is_a_line_that_reports_when_what_and_who_and_the_file_is_its_owner_s() {
    let lab = kwapi_peers::Lab::empty();
    let (audit, _) = log(&lab);
    let who = || "ada".to_owned();
    audit.append(&AuditEvent::Login { who: who(), from: HERE, by: "password" }).unwrap();
    audit.append(&AuditEvent::Logout { who: who(), from: HERE }).unwrap();
    audit.append(&AuditEvent::refused("a\"\n\u{202e}b", HERE, "wrong password")).unwrap();
    let (bill, hash) = ("2026-10".to_owned(), "0a".to_owned());
    audit.append(&AuditEvent::BillClosed { who: who(), bill, hash }).unwrap();
    let at = "{\"at\":\"2027-01-15T08:00:00Z\",\"event\":";
    assert_eq!(
        read(&lab),
        [
            format!("{at}\"login\",\"who\":\"ada\",\"from\":\"127.0.0.1\",\"by\":\"password\"}}"),
            format!("{at}\"logout\",\"who\":\"ada\",\"from\":\"127.0.0.1\"}}"),
            format!(
                "{at}\"refused\",\"who\":\"a\\\"\\n\u{202e}b\",\"from\":\"127.0.0.1\",\"why\":\"wrong password\"}}"
            ),
            format!("{at}\"bill_closed\",\"who\":\"ada\",\"bill\":\"2026-10\",\"hash\":\"0a\"}}"),
        ]
    );
    let mode = std::fs::metadata(lab.join("audit.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_flood_of_refusals_is_counted_and_hides_no_login() {
    let lab = kwapi_peers::Lab::empty();
    let (audit, seconds) = log(&lab);
    let refused = || audit.append(&AuditEvent::refused(&"x".repeat(5_000), HERE, "unknown token")).unwrap();
    (0..REFUSALS_MAX + 30).for_each(|_| refused());
    audit.append(&AuditEvent::Login { who: "ada".to_owned(), from: HERE, by: "token" }).unwrap();
    let lines = read(&lab);
    assert_eq!(lines.len(), REFUSALS_MAX as usize + 1);
    assert!(lines.iter().all(|line| line.len() < 300) && lines.last().unwrap().contains("\"login\""));
    seconds.fetch_add(60, Ordering::Relaxed);
    refused();
    let lines = read(&lab);
    assert!(lines[lines.len() - 2].contains("\"refusals_left_out\",\"count\":30"), "{lines:?}");
    assert!(lines[lines.len() - 1].contains("\"refused\""));
}

#[test]
fn what_was_rotated_away_stays_there_and_a_new_file_is_begun() {
    let lab = kwapi_peers::Lab::empty();
    let (audit, _) = log(&lab);
    let logout = AuditEvent::Logout { who: "ada".to_owned(), from: HERE };
    audit.append(&logout).unwrap();
    std::fs::rename(lab.join("audit.log"), lab.join("audit.log.1")).unwrap();
    audit.append(&logout).unwrap();
    assert_eq!(read(&lab).len(), 1);
    assert!(AuditLog::new(lab.join("none/audit.log"), audit.0.wall.clone()).append(&logout).is_err());
}
