//! To whom streams send what, and when they end.

use super::super::tenants::logins;
use super::*;
use crate::audit::AuditLog;
use crate::auth::{Auth, AuthConfig, LoginConfig, hash_token};

/// A token `boss` that sees all and a token `tenant` that sees A.
fn two_tokens() -> AuthConfig {
    let toml = format!(
        "[[token]]\nname = 'boss'\nsha256 = '{}'\n[[token]]\nname = 'tenant'\nsha256 = '{}'\nprobes = ['A']\n",
        hash_token("boss"),
        hash_token("tenant")
    );
    toml::from_str(&toml).unwrap()
}

/// Pages of A and B behind a login, and who may log in.
fn behind_two_tokens(lab: &kwapi_peers::Lab) -> (Measured, Auth) {
    let clock = Fixture::of(&[]).clock();
    let auth = Auth::new(&two_tokens(), clock.clone(), Directory::default()).unwrap();
    let audit = AuditLog::new(lab.join("audit.log"), clock);
    let login = LoginConfig { hours_max: 1, ..LoginConfig::default() };
    let logins = Logins::new(&login, auth.clone(), audit).unwrap();
    (Measured::new(&["A", "B"], 99, Some(logins)), auth)
}

/// The cookie of a login with this token.
async fn cookie_of(pages: &Measured, token: &str) -> String {
    let here = ClientConnection { address: [127, 0, 0, 1].into(), is_encrypted: false };
    let request = Request::builder().method("POST").uri("/login/").extension(here);
    let request = request.body(Body::from(format!("token={token}"))).unwrap();
    let answer = pages.site.clone().oneshot(request).await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

async fn log_out(pages: &Measured, cookie: &str) {
    let here = ClientConnection { address: [127, 0, 0, 1].into(), is_encrypted: false };
    let request = Request::builder().method("POST").uri("/logout/").header("cookie", cookie).extension(here);
    pages.site.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_what_it_stands_on() {
    const PATH: &str = "/stream/?id=A&id=B&total";
    let lab = kwapi_peers::Lab::empty();
    let (pages, auth) = behind_two_tokens(&lab);
    assert_eq!(pages.open(PATH, &[]).await.err(), Some(StatusCode::UNAUTHORIZED));

    // The logout, and nobody else's.
    let (tenant, boss) = (cookie_of(&pages, "tenant").await, cookie_of(&pages, "boss").await);
    let mut stream = pages.open(PATH, &[("cookie", &tenant)]).await.unwrap();
    let mut other = pages.open(PATH, &[("cookie", &boss)]).await.unwrap();
    assert_eq!(stream.event().await.0["probes"].as_object().unwrap().len(), 1);
    assert_eq!(other.event().await.0["probes"].as_object().unwrap().len(), 2);
    log_out(&pages, &tenant).await;
    stream.ended().await;
    assert!(other.continues().await);
    assert_eq!(pages.open(PATH, &[("cookie", &tenant)]).await.err(), Some(StatusCode::UNAUTHORIZED));

    // A token that is revoked, be it that of a login or one that the request has.
    let tenant = cookie_of(&pages, "tenant").await;
    let mut of_login = pages.open(PATH, &[("cookie", &tenant)]).await.unwrap();
    let mut of_token = pages.open(PATH, &[("x-auth-token", "tenant")]).await.unwrap();
    let mut config = two_tokens();
    config.tokens.pop();
    auth.replace(&config).unwrap();
    of_login.ended().await;
    of_token.ended().await;
    assert!(other.continues().await);

    // A scope that has become another one.
    let mut config = two_tokens();
    config.tokens[0].probes = vec![kwapi_core::Pattern::new("B").unwrap()];
    auth.replace(&config).unwrap();
    other.ended().await;

    // A reload, whatever has changed.
    let mut stream = pages.open(PATH, &[("cookie", &boss)]).await.unwrap();
    assert_eq!(stream.event().await.0["probes"].as_object().unwrap().len(), 1);
    pages.directory.replace(ConfiguredProbes::default());
    stream.ended().await;

    // The age of the login.
    let mut stream = pages.open(PATH, &[("cookie", &boss)]).await.unwrap();
    assert!(stream.continues().await);
    tokio::time::advance(Duration::from_secs(3_600)).await;
    stream.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_tenant_s_stream_has_theirs_alone_and_another_s_is_as_one_that_is_not_there() {
    let clock = Fixture::of(&[]).clock();
    let both = ["lyon.web1", "lyon.web2", "paris.web1"];
    let mut pages = Measured::new(&both, 9, Some(logins(&clock)));
    let mut alone = Measured::new(&both[..2], 9, Some(logins(&clock)));
    let lyon = [("x-auth-token", "lyon")];
    let path = |id: &str| format!("/stream/?id=lyon.web1&id={id}&total");
    let mut streams = Vec::new();
    for (pages, id) in
        [(&pages, "paris.web1"), (&pages, "paris.none"), (&alone, "paris.web1"), (&alone, "paris.none")]
    {
        streams.push(pages.open(&path(id), &lyon).await.unwrap());
    }
    let mut operator = pages.open(&path("paris.web1"), &[("x-auth-token", "operator")]).await.unwrap();
    assert_eq!(operator.event().await.0["total"]["probes"], 3);
    for turn in 0..3 {
        let mut events = Vec::new();
        for stream in &mut streams {
            events.push(stream.next().await.unwrap());
        }
        assert!(events.iter().all(|event| *event == events[0]), "{turn}: {events:?}");
        assert!(!String::from_utf8_lossy(&events[0]).contains("paris"), "{events:?}");
        // Paris measures as well, which Lyon receives nothing of.
        pages.measure(2, 1_000.0 + f64::from(turn));
        pages.measure(0, 10.0 + f64::from(turn));
        alone.now.fetch_add(1, Ordering::Relaxed);
        alone.measure(0, 10.0 + f64::from(turn));
    }
}
