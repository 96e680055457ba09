use super::*;
use crate::http::{READ, Route, Routes};

static ROUTES: Routes<()> = Routes {
    server: "api",
    table: &[Route { path: "/v1/", methods: READ, rule: None, resource: () }],
    others: &[],
};

/// Counts with something in each, and the one connection that is still open.
fn counts() -> (Arc<ServerCounts>, Open) {
    let counts = Arc::new(ServerCounts::new(&ROUTES));
    let millis = Duration::from_millis;
    counts.answered(counts.route("/v1/"), &Method::GET, StatusCode::OK, Duration::from_micros(999));
    counts.answered(counts.route("/v1/"), &Method::GET, StatusCode::OK, millis(1));
    counts.answered(counts.route("/v1/"), &Method::TRACE, StatusCode::METHOD_NOT_ALLOWED, millis(3_000));
    counts.answered(counts.route("/<script>"), &Method::GET, StatusCode::IM_A_TEAPOT, millis(30));
    counts.refused_head(StatusCode::URI_TOO_LONG);
    drop(counts.open());
    counts.refused(Refused::Full);
    let open = counts.open();
    (counts, open)
}

/// Names are a promise: dashboards and alerts are built on them.
#[test]
fn names_types_and_labels_are_as_promised() {
    let mut out = Exposition::default();
    let (counts, _open) = counts();
    counts.collect(&mut out);
    assert_eq!(out.open_metrics(), include_str!("golden.txt"), "add a name, never change one");
}

#[test]
fn promtool_finds_no_fault() {
    if !kwapi_peers::need(&["promtool", "sh"]) {
        return;
    }
    let mut out = Exposition::default();
    let (counts, _open) = counts();
    counts.collect(&mut out);
    let lab = kwapi_peers::Lab::empty();
    std::fs::write(lab.join("metrics"), out.prometheus()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "promtool is the referee")]
    let mut command = std::process::Command::new("sh");
    command.current_dir(lab.path()).args(["-c", "promtool check metrics < metrics 2>&1"]);
    assert_eq!(kwapi_peers::output(&mut command), "");
}
