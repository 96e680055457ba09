//! The streams of NATS that a process publishes to and receives from.

use std::net::SocketAddr;

use super::fetch;
use crate::stack::streams::StreamReport;

/// Prints them, where there are any. An earlier version reports none.
pub(super) async fn print_streams(address: SocketAddr) {
    let Ok(body) = fetch(address, "/streams").await else { return };
    let streams: Vec<StreamReport> = serde_json::from_slice(&body).unwrap_or_default();
    table(&streams).iter().for_each(|line| println!("{line}"));
}

/// A line for each, below their heads.
fn table(streams: &[StreamReport]) -> Vec<String> {
    if streams.is_empty() {
        return Vec::new();
    }
    let width = streams.iter().map(|stream| stream.endpoint.chars().count()).max().unwrap_or(6).max(6);
    let head = format!(
        "{:width$}  {:<10} {:<5} {:>12} {:>12} {:>12}",
        "STREAM", "SIDE", "STATE", "MESSAGES", "WAITING", "BEHIND"
    );
    let line = |stream: &StreamReport| {
        let state = if stream.is_up { "up" } else { "down" };
        let behind = stream.lag_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"));
        format!(
            "{:width$}  {:<10} {state:<5} {:>12} {:>12} {behind:>12}",
            stream.endpoint, stream.side, stream.messages, stream.waiting
        )
    };
    std::iter::once(head).chain(streams.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_has_a_line_with_its_side_and_how_far_it_is() {
        let json = r#"[
            {"endpoint": "nats://a/power", "side": "publish", "is_up": true, "problem": null, "messages": 1200,
             "waiting": 0, "lost": 0, "lag_seconds": null},
            {"endpoint": "nats://bb/power", "side": "subscribe", "is_up": false, "problem": "cannot connect",
             "messages": 7, "waiting": 5000, "lost": 3, "lag_seconds": 61.25}
        ]"#;
        let streams: Vec<StreamReport> = serde_json::from_str(json).unwrap();
        assert_eq!(
            table(&streams),
            [
                "STREAM           SIDE       STATE     MESSAGES      WAITING       BEHIND",
                "nats://a/power   publish    up            1200            0            -",
                "nats://bb/power  subscribe  down             7         5000       61.2 s",
            ]
        );
        assert!(table(&[]).is_empty());
    }
}
