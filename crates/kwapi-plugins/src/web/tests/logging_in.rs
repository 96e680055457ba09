//! The login, as a browser goes through it.

use super::*;
use crate::audit::AuditLog;
use crate::auth::{Auth, AuthConfig, LoginConfig, hash_token};
use crate::http::ClientConnection;

/// The pages of the probes A and B, of which the token `tenant` sees A; also who logged in, and how.
fn door() -> (Router, kwapi_peers::Lab) {
    let toml = format!(
        "[[token]]\nname = 'boss'\nsha256 = '{}'\n[[token]]\nname = '<tenant>'\nsha256 = '{}'\nprobes = ['A']\n",
        hash_token("boss"),
        hash_token("tenant")
    );
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let (lab, fixture) = (kwapi_peers::Lab::empty(), Fixture::of(&["A", "B"]));
    let (clock, live) = (fixture.clock(), fixture.live());
    let auth = Auth::new(&config, clock.clone(), Directory::default()).unwrap();
    let audit = AuditLog::new(lab.join("audit.log"), clock.clone());
    let logins = Logins::new(&LoginConfig::default(), auth, audit).unwrap();
    let directory = Directory::default().with_live(live).with_history(Arc::new(fixture));
    (router(directory, settings(), clock, Some(logins)), lab)
}

/// Sends a request from this machine, in clear.
async fn browse(
    site: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    form: &str,
) -> Response<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let connection = ClientConnection { address: [127, 0, 0, 1].into(), is_encrypted: false };
    let request = request.extension(connection).body(Body::from(form.to_owned())).unwrap();
    let (parts, body) = site.clone().oneshot(request).await.unwrap().into_parts();
    Response::from_parts(parts, to_bytes(body, usize::MAX).await.unwrap())
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8(answer.body().to_vec()).unwrap()
}

/// The cookie of a login with this token.
async fn logged_in(site: &Router, token: &str) -> String {
    let answer = browse(site, "POST", "/login/", &[], &format!("token={token}&back=%2Fprobe%2FA%2F")).await;
    assert_eq!((answer.status(), header_of(&answer, "location")), (StatusCode::SEE_OTHER, "/probe/A/"));
    let cookie = header_of(&answer, "set-cookie");
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_tenant_logs_in_sees_their_own_and_logs_out() {
    let (site, lab) = door();
    let page = browse(&site, "GET", "/login/?back=/last/day/", &[("host", "power.example")], "").await;
    assert_eq!((page.status(), header_of(&page, "cache-control")), (StatusCode::OK, "no-store"));
    assert!(header_of(&page, "content-security-policy").contains("frame-ancestors 'none'"));
    assert!(text(&page).contains("power.example") && text(&page).contains("value=\"/last/day/\""));
    assert!(!text(&page).contains("Keystone") && !text(&page).contains("<script"), "{}", text(&page));

    let cookie = logged_in(&site, "tenant").await;
    let as_tenant = [("cookie", cookie.as_str()), ("accept", "text/html")];
    let page = browse(&site, "GET", "/last/minute/", &as_tenant, "").await;
    let shown = text(&page);
    assert!(
        shown.contains("1 of 1 probe") && shown.contains("Log out") && shown.contains("&#60;tenant&#62;")
    );
    assert_eq!(browse(&site, "GET", "/probe/B/", &as_tenant, "").await.status(), StatusCode::NOT_FOUND);

    let out = browse(&site, "POST", "/logout/", &as_tenant, "").await;
    assert_eq!((out.status(), header_of(&out, "location")), (StatusCode::SEE_OTHER, "/login/?out"));
    assert!(header_of(&out, "set-cookie").contains("Max-Age=0"));
    let page = browse(&site, "GET", "/login/?out", &[], "").await;
    assert!(text(&page).contains("You are logged out."));
    let page = browse(&site, "GET", "/last/minute/", &as_tenant, "").await;
    assert_eq!(
        header_of(&page, "location"),
        "/login/?back=%2Flast%2Fminute%2F",
        "the cookie is good no more"
    );
    let log = std::fs::read_to_string(lab.join("audit.log")).unwrap();
    assert!(
        log.contains("\"login\",\"who\":\"<tenant>\"") && log.contains("\"logout\",\"who\":\"<tenant>\"")
    );
}

#[tokio::test]
async fn a_login_has_a_name_of_its_own_and_ends_the_one_before() {
    let (site, _lab) = door();
    let first = logged_in(&site, "tenant").await;
    let answer = browse(&site, "POST", "/login/", &[("cookie", &first)], "token=boss").await;
    assert_eq!(header_of(&answer, "location"), "/last/minute/");
    let second = header_of(&answer, "set-cookie").split(';').next().unwrap();
    assert_ne!(first, second);
    for (cookie, status) in [(first.as_str(), StatusCode::UNAUTHORIZED), (second, StatusCode::OK)] {
        assert_eq!(browse(&site, "GET", "/graph/hour/", &[("cookie", cookie)], "").await.status(), status);
    }
    // One that somebody chose for us is not taken over.
    let planted = "kwapi-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let answer = browse(&site, "POST", "/login/", &[("cookie", planted)], "token=boss").await;
    assert!(!header_of(&answer, "set-cookie").contains("AAAAAAAA"));
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let (site, _lab) = door();
    let cookie = logged_in(&site, "boss").await;
    let own = [("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080"), ("cookie", cookie.as_str())];
    for elsewhere in [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example"), ("origin", "null")]
    {
        let headers = [("host", "127.0.0.1:8080"), ("cookie", cookie.as_str()), elsewhere];
        for (path, form) in [("/logout/", ""), ("/choose/", "probe=A"), ("/login/", "token=tenant")] {
            let answer = browse(&site, "POST", path, &headers, form).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {elsewhere:?}");
            assert_eq!(header_of(&answer, "set-cookie"), "");
        }
    }
    assert_eq!(browse(&site, "POST", "/choose/", &own, "probe=A").await.status(), StatusCode::SEE_OTHER);
    assert_eq!(browse(&site, "POST", "/logout/", &own, "").await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_is_wrong_is_reported_and_after_five_failures_one_waits() {
    let (site, _lab) = door();
    for wrong in ["token=nope", "token=", "user=ada&password=x", "", "back=//evil.example"] {
        let answer = browse(&site, "POST", "/login/", &[], wrong).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{wrong}");
        let expected = if wrong.starts_with("user") {
            "This user name and password do not match."
        } else {
            "This token is not known, or has ended."
        };
        assert!(text(&answer).contains(expected), "{}", text(&answer));
        assert!(text(&answer).contains("value=\"/last/minute/\"") && !text(&answer).contains("evil"));
    }
    assert_eq!(browse(&site, "POST", "/login/", &[], "token=nope").await.status(), StatusCode::UNAUTHORIZED);
    let answer = browse(&site, "POST", "/login/", &[], "token=boss").await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = header_of(&answer, "retry-after").parse().unwrap();
    assert!((50..=60).contains(&wait) && text(&answer).contains(&format!("Try again in {wait} s.")));
    let large = format!("token={}", "x".repeat(40_000));
    assert_eq!(browse(&site, "POST", "/login/", &[], &large).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_logins_there_is_no_page_to_log_in_at_and_all_is_open_as_before() {
    let site = serve(Fixture::of(&["A"]));
    assert_eq!(get(&site, "/last/minute/").await.status(), StatusCode::OK);
    assert_eq!(get(&site, "/login/").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(send(&site, "POST", "/logout/", &[]).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(!page(&site, "/last/minute/").await.contains("Log out"));
}
