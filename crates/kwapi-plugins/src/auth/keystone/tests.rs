//! What a real Keystone does not easily do; the rest is tried with one, in `tests/it/keystone.rs`.

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use kwapi_core::Timestamp;

use super::*;

fn keystone(port: u16) -> Keystone {
    let toml =
        format!("url = 'http://127.0.0.1:{port}/v3'\nusername = 'kwapi'\npassword_file = '/dev/null'\n");
    let config: KeystoneConfig = toml::from_str(&toml).unwrap();
    Keystone::new(&config, WallClock::new(|| Timestamp::EPOCH)).unwrap()
}

/// Serves a Keystone that lets us in with `status`, and whose every token has an access rule for us; the catalogue has
/// a service of this type.
async fn serve(status: StatusCode, service: &'static str) -> u16 {
    let validate = move |uri: Uri| async move {
        let catalog = if uri.query() == Some("nocatalog") {
            String::new()
        } else {
            format!(r#", "catalog": [{{"type": "{service}", "endpoints": []}}]"#)
        };
        format!(
            r#"{{"token": {{"user": {{"id": "u"}}, "expires_at": "2040-01-01T00:00:00Z", "application_credential":
            {{"access_rules": [{{"service": "energy", "method": "GET", "path": "/v1/**"}}]}}{catalog}}}}}"#
        )
    };
    let let_in = move || async move { (status, [("x-subject-token", "ours")]) };
    let router = Router::new().route("/v3/auth/tokens", get(validate).post(let_in));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

#[tokio::test]
async fn we_are_not_ready_until_keystone_has_let_us_in_and_stay_ready_when_it_goes() {
    let away = keystone(kwapi_peers::free_port());
    assert!(away.readiness().unwrap_err().ends_with("/v3: no response yet"));
    assert!(!away.introduce_once().await);
    assert!(away.readiness().unwrap_err().contains("refused"), "{:?}", away.readiness());

    let refusing = keystone(serve(StatusCode::UNAUTHORIZED, "energy").await);
    assert!(!refusing.introduce_once().await);
    let why = refusing.readiness().unwrap_err();
    assert!(why.ends_with("authentication failed for user \"kwapi\" of project \"service\""), "{why}");

    let there = keystone(serve(StatusCode::CREATED, "energy").await);
    there.introduce().await;
    assert_eq!(there.readiness(), Ok(()));
    there.report(Some(&Unavailable("responded with 500".to_owned())));
    assert_eq!(there.readiness(), Ok(()), "it is away for every other API as well");
}

#[tokio::test]
async fn access_rules_count_only_where_the_catalogue_has_us() {
    for (service, expected) in [("energy", true), ("metering", false)] {
        let keystone = keystone(serve(StatusCode::CREATED, service).await);
        let identity = keystone.identify("theirs", false).await.unwrap().unwrap();
        assert_eq!(identity.services, [service]);
        for (service_type, method, path, allowed) in [
            ("energy", "GET", "/v1/probes/", true),
            ("energy", "HEAD", "/v1/probes/", false),
            ("energy", "GET", "/v2/probes/", false),
            ("metering", "GET", "/v1/probes/", false),
        ] {
            let may = identity.may_send(service_type, method, path);
            assert_eq!(may, allowed && expected, "{service}: {service_type} {method} {path}");
        }
    }
}
