use kwapi_core::Pattern;

use super::*;
use crate::api::router;
use crate::api::tests::{Answer, Stand, request};

fn token(name: &str, roles: &[&str], probes: &[&str]) -> StaticToken {
    StaticToken {
        name: name.to_owned(),
        sha256: hash_token(&format!("{name}-secret")),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        probes: probes.iter().map(|pattern| Pattern::new(pattern).unwrap()).collect(),
    }
}

fn wall() -> WallClock {
    WallClock::new(|| kwapi_core::Timestamp::EPOCH)
}

async fn request_as(headers: &[(&str, &str)], path: &str) -> Answer {
    let tokens = vec![
        token("boss", &["admin"], &[]),
        token("nobody", &["member"], &[]),
        token("tenant", &["admin"], &["C.*", "B"]),
    ];
    let config = AuthConfig { tokens, ..AuthConfig::default() };
    let auth = Auth::new(&config, wall(), Directory::default()).unwrap();
    request(router(Stand::new().api, Some(auth), None), "GET", path, headers).await
}

#[tokio::test]
async fn a_token_of_ours_is_taken_under_each_of_its_headers() {
    for header in [
        ("x-auth-token", "boss-secret"),
        ("x-storage-token", "boss-secret"),
        ("authorization", "Bearer boss-secret"),
    ] {
        assert_eq!(request_as(&[header], "/v1/probes/").await.status, 200, "{header:?}");
    }
}

#[tokio::test]
async fn without_a_valid_token_a_refusal_names_only_the_scheme() {
    for headers in [&[][..], &[("x-auth-token", "wrong")], &[("x-auth-token", "")], &[("x-roles", "admin")]] {
        let answer = request_as(headers, "/v1/probes/nope").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"kwapi\""));
        let expected = "{\"error\":{\"code\":401,\"message\":\"The request you have made requires authentication.\",\"title\":\"Unauthorized\"}}\n";
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn roles_that_do_not_suffice_are_forbidden_and_headers_add_none() {
    let headers = [("x-auth-token", "nobody-secret"), ("x-roles", "admin"), ("x-role", "admin")];
    assert_eq!(request_as(&headers, "/v1/probes/").await.status, 403);
}

#[tokio::test]
async fn a_token_with_patterns_shows_their_probes_only() {
    let headers = [("x-auth-token", "tenant-secret")];
    assert_eq!(request_as(&headers, "/v1/probe-ids/").await.body, "{\"probe_ids\":[\"B\",\"C.1\"]}\n");
    assert!(!request_as(&headers, "/v1/probes/").await.body.contains("\"A\""));
    assert_eq!(request_as(&headers, "/v1/probes/A/w/").await.status, 404);
    assert_eq!(request_as(&headers, "/v2/probes/A/").await.status, 404);
    assert_eq!(request_as(&headers, "/v2/probes/B/").await.status, 200);
}

#[test]
fn a_hash_that_is_none_is_refused_by_the_tokens_name() {
    let mut token = token("boss", &[], &[]);
    token.sha256.pop();
    let config = AuthConfig { tokens: vec![token], ..AuthConfig::default() };
    let error = Auth::new(&config, wall(), Directory::default()).unwrap_err();
    assert_eq!(error.to_string(), "token \"boss\": sha256 is not 64 hex digits");
}

#[test]
fn identity_headers_from_outside_are_removed_and_others_kept() {
    let mut headers = HeaderMap::new();
    for name in [
        "x-roles",
        "x-role",
        "x-user-id",
        "x-user",
        "x-project-name",
        "x-tenant",
        "x-identity-status",
        "x-service-roles",
        "x-service-catalog",
        "x-service-token",
        "x-auth-token",
        "accept",
        "x-system-scope",
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("v"));
    }
    strip_identity(&mut headers);
    let mut kept: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    kept.sort_unstable();
    assert_eq!(kept, ["accept", "x-auth-token", "x-service-token"]);
}
