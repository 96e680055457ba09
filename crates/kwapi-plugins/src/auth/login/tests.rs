use axum::http::{HeaderValue, header};

use super::*;
use crate::auth::{AuthConfig, hash_token};
use crate::directory::Directory;
use crate::http::ClientConnection;
use kwapi_core::{ProbeId, Timestamp, WallClock};

/// Logins of the tokens `physics-secret` and `reader-secret`, whose role does not suffice, with this `[rrd.auth]`.
fn logins(lab: &kwapi_peers::Lab, scopes: &str, login: &str) -> Logins {
    let wall = WallClock::new(|| Timestamp::EPOCH);
    let auth = Auth::new(&tokens(scopes), wall.clone(), Directory::default()).unwrap();
    let config: LoginConfig = toml::from_str(login).unwrap();
    Logins::new(&config, auth, AuditLog::new(lab.join("audit.log"), wall)).unwrap()
}

fn tokens(scopes: &str) -> AuthConfig {
    let token = |name: &str, roles: &str| {
        let hash = hash_token(&format!("{name}-secret"));
        format!("[[token]]\nname = '{name}'\nsha256 = '{hash}'\nroles = [{roles}]\n")
    };
    toml::from_str(&(token("physics", "'admin'") + &token("reader", "'member'") + scopes)).unwrap()
}

fn client(logins: &Logins, address: &str, is_encrypted: bool) -> Client {
    let connection = ClientConnection { address: address.parse().unwrap(), is_encrypted };
    Client::take(&mut HeaderMap::new(), Some(connection), &logins.0.settings.load().trusted)
}

async fn with_token(logins: &Logins, client: &Client, token: &str) -> Result<String, NotLoggedIn> {
    logins.log_in(client, LoginForm::Token(Secret::new(token))).await
}

/// Who a request with this cookie comes from.
async fn caller(logins: &Logins, client: &Client, cookie: &str) -> Result<Caller, Refusal> {
    let cookie = cookie.split(';').next().unwrap();
    let headers: HeaderMap = [(header::COOKIE, HeaderValue::from_str(cookie).unwrap())].into_iter().collect();
    let credentials = Judged { token: None, service_token: None, method: "GET", path: "/", rule: READ_RULE };
    let settings = logins.0.settings.load_full();
    logins.caller(&settings, client, &headers, credentials).await
}

fn audit(lab: &kwapi_peers::Lab) -> String {
    std::fs::read_to_string(lab.join("audit.log")).unwrap_or_default()
}

#[tokio::test]
async fn a_token_logs_in_and_its_login_lasts_until_it_is_revoked() {
    let lab = kwapi_peers::Lab::empty();
    let logins = logins(&lab, "", "");
    let here = client(&logins, "127.0.0.1", false);
    let cookie = with_token(&logins, &here, "physics-secret").await.unwrap();
    let seen = caller(&logins, &here, &cookie).await.unwrap();
    assert_eq!((&**seen.name().0, seen.name().1), ("physics", true));
    assert!(!cookie.contains("physics"), "the cookie is a random name: {cookie}");
    assert_ne!(with_token(&logins, &here, "physics-secret").await.unwrap(), cookie);

    let changes = logins.0.auth.replace(&AuthConfig::default()).unwrap();
    assert!(matches!(&changes[0], AuditEvent::Key { change: "removed", key, .. } if key == "token physics"));
    assert!(matches!(caller(&logins, &here, &cookie).await, Err(Refusal::Unauthenticated)));
    logins.0.auth.replace(&tokens("")).unwrap();
    assert!(matches!(caller(&logins, &here, &cookie).await, Err(Refusal::Unauthenticated)), "it has ended");
    let log = audit(&lab);
    assert_eq!(
        log.matches("\"event\":\"login\",\"who\":\"physics\",\"from\":\"127.0.0.1\"").count(),
        2,
        "{log}"
    );
    assert!(!log.contains("secret"), "{log}");
}

#[tokio::test]
async fn a_reload_of_scopes_counts_for_logins_that_are_open() {
    let lab = kwapi_peers::Lab::empty();
    let scope = |probes: &str| format!("[[scope]]\ntoken = 'physics'\nprobes = ['{probes}']\n");
    let logins = logins(&lab, &scope("lyon.*"), "");
    let here = client(&logins, "127.0.0.1", false);
    let cookie = with_token(&logins, &here, "physics-secret").await.unwrap();
    let sees = async |probe: &str| {
        caller(&logins, &here, &cookie).await.unwrap().scope.allows(&ProbeId::new(probe).unwrap())
    };
    assert!(sees("lyon.a").await && !sees("paris.a").await);
    logins.0.auth.replace(&tokens(&scope("paris.*"))).unwrap();
    assert!(!sees("lyon.a").await && sees("paris.a").await);
}

#[tokio::test]
async fn a_browser_that_is_given_another_s_cookie_name_in_clear_gets_nothing() {
    let lab = kwapi_peers::Lab::empty();
    let logins = logins(&lab, "", "");
    let (tls, clear) = (client(&logins, "192.0.2.1", true), client(&logins, "192.0.2.1", false));
    assert_eq!(with_token(&logins, &clear, "physics-secret").await, Err(NotLoggedIn::InClear));
    let cookie = with_token(&logins, &tls, "physics-secret").await.unwrap();
    assert!(cookie.starts_with("__Host-kwapi-session=") && cookie.ends_with("; Secure"), "{cookie}");
    assert!(caller(&logins, &tls, &cookie).await.is_ok());
    assert!(caller(&logins, &clear, &cookie).await.is_err());
    assert!(caller(&logins, &tls, "__Host-kwapi-session=AAAA").await.is_err());
}

#[tokio::test]
async fn the_sixth_failure_in_a_minute_has_to_wait_even_with_the_right_token() {
    let lab = kwapi_peers::Lab::empty();
    let logins = logins(&lab, "", "");
    let here = client(&logins, "127.0.0.1", false);
    for wrong in ["", "wrong", "physics", "reader-secret", &"x".repeat(20_000)] {
        let expected = if wrong == "reader-secret" { NotLoggedIn::Forbidden } else { NotLoggedIn::Unknown };
        assert_eq!(with_token(&logins, &here, wrong).await, Err(expected));
    }
    assert!(matches!(with_token(&logins, &here, "physics-secret").await, Err(NotLoggedIn::Wait(_))));
    let elsewhere = client(&logins, "127.0.0.2", false);
    assert!(with_token(&logins, &elsewhere, "physics-secret").await.is_ok());
    let log = audit(&lab);
    assert_eq!(log.matches("\"why\":\"unknown\"").count(), 4, "{log}");
    assert_eq!(log.matches("\"why\":\"too many attempts\"").count(), 1, "{log}");
}

#[tokio::test]
async fn a_user_whom_a_listed_proxy_names_sees_what_their_entry_shows() {
    let lab = kwapi_peers::Lab::empty();
    let logins = logins(
        &lab,
        "[[scope]]\ntoken = 'physics'\nprobes = ['*']\n",
        "trusted_proxies = ['127.0.0.1']\n[[user]]\nname = 'ada'\nprobes = ['lyon.*']\n\
         [[user]]\nname = 'boss'\n[[user]]\nname = 'guest'\nroles = ['member']\n\
         [[user]]\nname = '*'\nroles = ['ADMIN']\nlabels = { owner = 'all' }\n",
    );
    let named = |peer: &str, user: &str| {
        let connection = ClientConnection { address: peer.parse().unwrap(), is_encrypted: false };
        let name = header::HeaderName::from_static("x-forwarded-user");
        let mut headers: HeaderMap = [(name, HeaderValue::from_str(user).unwrap())].into_iter().collect();
        Client::take(&mut headers, Some(connection), &logins.0.settings.load().trusted)
    };
    let sees = async |peer: &str, user: &str| {
        let caller = caller(&logins, &named(peer, user), "a=b").await;
        caller.map(|caller| ["lyon.a", "paris.a"].map(|id| caller.scope.allows(&ProbeId::new(id).unwrap())))
    };
    assert_eq!(sees("127.0.0.1", "ada").await, Ok([true, false]));
    assert_eq!(sees("127.0.0.1", "boss").await, Ok([true, true]));
    assert_eq!(sees("127.0.0.1", "guest").await, Err(Refusal::Forbidden));
    assert_eq!(sees("127.0.0.1", "stranger").await, Ok([false, false]));
    assert_eq!(sees("127.0.0.2", "boss").await, Err(Refusal::Unauthenticated), "anybody can write a header");
    logins.replace(&LoginConfig::default()).unwrap();
    assert_eq!(sees("127.0.0.1", "boss").await, Err(Refusal::Unauthenticated));
    assert!(audit(&lab).contains("\"who\":\"guest\",\"from\":\"127.0.0.1\",\"why\":\"forbidden\""));
}

#[test]
fn a_configuration_that_lets_nobody_in_or_trusts_a_header_of_anybody_is_refused() {
    #[track_caller]
    fn check(toml: &str, has_other_ways: bool, expected: &str) {
        let config: LoginConfig = toml::from_str(toml).unwrap();
        let actual =
            config.check(has_other_ways).map_or_else(|error| error.to_string(), |()| "fine".to_owned());
        assert!(actual.starts_with(expected), "{toml}: {actual}");
    }
    let proxy = "trusted_proxies = ['10.0.0.7']\n";
    check("", true, "fine");
    check("", false, "user: nobody could log in");
    check(&format!("{proxy}[[user]]\nname = 'a'"), false, "fine");
    check("[[user]]\nname = 'a'", true, "trusted_proxies: is empty");
    check(&format!("{proxy}[[user]]\nname = 'a'\n[[user]]\nname = 'a'"), true, "user: \"a\" is there twice");
    check("idle_hours = 0", true, "idle_hours: must be at least 1");
    check("user_header = 'a b'", true, "user_header: \"a b\" cannot name a user");
    check("user_header = 'Cookie'", true, "user_header: \"Cookie\" cannot name a user");
}
