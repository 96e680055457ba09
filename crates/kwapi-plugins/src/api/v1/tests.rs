//! Lists, values, pages and tags, in the original's shapes.

use super::super::tests::Stand;
use crate::http::percent::encode;

#[tokio::test]
async fn bodies_are_the_originals_sorted_with_floats_and_a_newline() {
    let stand = Stand::new();
    let a = "{\"kwh\":0.00044,\"timestamp\":1795393618.857424,\"w\":94.0}";
    assert_eq!(stand.get("/v1/probe-ids/").await, "{\"probe_ids\":[\"A\",\"B\",\"C.1\"]}\n");
    assert_eq!(stand.get("/v1/probes/A/").await, format!("{{\"A\":{a}}}\n"));
    assert_eq!(stand.get("/v1/probes/B/w/").await, "{\"B\":{\"w\":80.0}}\n");
    assert_eq!(stand.get("/v1/probes/A/kwh/").await, "{\"A\":{\"kwh\":0.00044}}\n");
    assert_eq!(stand.get("/v1/probes/A/timestamp/").await, "{\"A\":{\"timestamp\":1795393618.857424}}\n");
    let b = a.replace("94.0", "80.0");
    let c = a.replace("94.0", "12.5");
    let all = format!("{{\"probes\":{{\"A\":{a},\"B\":{b},\"C.1\":{c}}}}}\n");
    assert_eq!(stand.get("/v1/probes/").await, all);
}

#[tokio::test]
async fn where_nothing_is_live_the_list_is_empty() {
    let stand = Stand::new();
    stand.pass(10_000);
    assert_eq!(stand.get("/v1/probes/").await, "{\"probes\":{}}\n");
    assert_eq!(stand.get("/v1/probe-ids/").await, "{\"probe_ids\":[]}\n");
}

#[tokio::test]
async fn a_changed_probe_changes_the_list_and_leaves_the_others_as_they_were() {
    let stand = Stand::new();
    let before = stand.get("/v1/probes/").await;
    stand.receive("B", 2, 81.5, 2_000);
    let after = stand.get("/v1/probes/").await;
    assert!(after.contains("\"w\":81.5") && after.contains("\"w\":94.0") && !after.contains("\"w\":80.0"));
    assert_ne!(before, after);
    stand.receive("AA", 0, 1.0, 0);
    let with_another = stand.get("/v1/probes/").await;
    assert_eq!(
        with_another.replace("\"AA\":{\"kwh\":0.0,\"timestamp\":1795393617.857424,\"w\":1.0},", ""),
        after
    );
}

#[tokio::test]
async fn a_stale_probe_leaves_the_list_even_if_nothing_else_happens() {
    let stand = Stand::new();
    stand.pass(40);
    stand.receive("B", 41, 80.0, 1_600);
    assert!(stand.get("/v1/probes/").await.contains("\"A\""));
    stand.pass(21);
    let list = stand.get("/v1/probes/").await;
    assert!(!list.contains("\"A\"") && list.contains("\"B\""), "{list}");
    assert!(stand.get("/v1/probe-ids/").await.contains("\"A\""));
}

#[tokio::test]
async fn an_error_shows_what_is_wrong_in_one_shape() {
    let stand = Stand::new();
    let answer = stand.request("GET", "/v1/probes/nope/", &[]).await;
    let expected = r#"{"error":{"code":404,"message":"There is no probe \"nope\".","title":"Not Found"}}"#;
    assert_eq!(answer.body.trim(), expected);
    let answer = stand.request("POST", "/v1/probes/", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "HEAD, OPTIONS, GET"));
    assert_eq!(stand.request("OPTIONS", "/v1/probes/", &[]).await.header("allow"), "HEAD, OPTIONS, GET");
    assert_eq!(stand.request("GET", "/v1/probes/?limit=x", &[]).await.status, 400);
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let stand = Stand::new();
    let length = stand.get("/v1/probes/").await.len().to_string();
    let answer = stand.request("HEAD", "/v1/probes/", &[]).await;
    assert_eq!((answer.body.as_str(), answer.header("content-length")), ("", length.as_str()));
}

#[tokio::test]
async fn who_has_the_list_is_not_sent_it_again_until_it_changes() {
    let stand = Stand::new();
    let etag = stand.request("GET", "/v1/probes/", &[]).await.header("etag").to_owned();
    let again = stand.request("GET", "/v1/probes/", &[("if-none-match", &etag)]).await;
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", etag.as_str()));
    stand.receive("A", 2, 94.0, 1_600);
    assert_eq!(stand.request("GET", "/v1/probes/", &[("if-none-match", &etag)]).await.status, 200);
}

#[tokio::test]
async fn any_id_has_an_address_and_none_breaks_out_of_json() {
    let stand = Stand::new();
    for name in ["a/b", "é\"} 🔌", "..", "%2F", "a?b#c", "<script>", "a b"] {
        stand.receive(name, 0, 7.0, 0);
        let body = stand.get(&format!("/v1/probes/{}/", encode(name))).await;
        let parsed: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(parsed[name]["w"], 7.0, "{body}");
        assert!(body.is_ascii());
    }
    let all: serde_json::Value = serde_json::from_str(&stand.get("/v1/probes/").await).unwrap();
    assert_eq!(all["probes"].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn a_query_takes_some_probes_a_page_at_a_time() {
    let stand = Stand::new();
    assert_eq!(stand.get("/v1/probe-ids/?pattern=C.*").await, "{\"probe_ids\":[\"C.1\"]}\n");
    assert_eq!(stand.get("/v1/probe-ids/?probe=B&probe=C").await, "{\"probe_ids\":[\"B\"]}\n");
    let page = stand.request("GET", "/v1/probe-ids/?limit=2", &[]).await;
    assert_eq!(page.body, "{\"probe_ids\":[\"A\",\"B\"]}\n");
    assert_eq!(page.header("link"), "</v1/probe-ids/?limit=2&after=B>; rel=\"next\"");
    let last = stand.request("GET", "/v1/probe-ids/?limit=2&after=B", &[]).await;
    assert_eq!((last.body.as_str(), last.header("link")), ("{\"probe_ids\":[\"C.1\"]}\n", ""));
    let some: serde_json::Value = serde_json::from_str(&stand.get("/v1/probes/?probe=A&x=1").await).unwrap();
    assert_eq!(some["probes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["A"]);
}
