use axum::http::HeaderValue;

use super::*;

const PROXY: &str = "10.0.0.7";

/// What is taken from a request from `peer` with these headers, and the names of those that are left.
fn take(peer: &str, is_encrypted: bool, lines: &[(&str, &'static str)]) -> (Client, Vec<String>) {
    let trusted = TrustedProxies {
        addresses: vec![PROXY.parse().unwrap()],
        user_header: HeaderName::from_static("x-forwarded-user"),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_static(value));
    }
    let connection = ClientConnection { address: peer.parse().unwrap(), is_encrypted };
    let client = Client::take(&mut headers, Some(connection), &trusted);
    (client, headers.keys().map(ToString::to_string).collect())
}

const HEADERS: [(&str, &str); 5] = [
    ("x-forwarded-for", "192.0.2.99, 192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "power.example"),
    ("x-forwarded-user", "ada"),
    ("host", "127.0.0.1:8080"),
];

#[test]
fn a_listed_proxy_is_trusted_and_nobody_else() {
    let (client, left) = take(PROXY, false, &HEADERS);
    assert_eq!((client.address.to_string().as_str(), client.user.as_deref()), ("192.0.2.1", Some("ada")));
    assert_eq!((client.host.as_deref(), client.channel), (Some("power.example"), Channel::Encrypted));
    assert_eq!(left, ["host"]);
    for (peer, channel) in [("10.0.0.8", Channel::Clear), ("127.0.0.1", Channel::Local)] {
        let (client, left) = take(peer, false, &HEADERS);
        assert_eq!((client.address.to_string().as_str(), client.user), (peer, None));
        assert_eq!((client.host.as_deref(), client.channel), (Some("127.0.0.1:8080"), channel));
        assert_eq!(left, ["host"], "what others send is removed");
    }
}

#[test]
fn a_client_cannot_make_up_its_address_behind_a_proxy() {
    for (lines, expected) in [
        (&[("x-forwarded-for", "203.0.113.1, 192.0.2.1, 10.0.0.7")][..], "192.0.2.1"),
        (&[("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
        (&[("x-forwarded-for", "203.0.113.1, nonsense")], PROXY),
        (&[("x-forwarded-for", "[2001:db8::1]")], "2001:db8::1"),
        (&[], PROXY),
    ] {
        assert_eq!(take(PROXY, false, lines).0.address.to_string(), expected, "{lines:?}");
    }
    let proto = [("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")];
    assert_eq!(take(PROXY, false, &proto).0.channel, Channel::Clear, "what the proxy has added counts");
    let user = [("x-forwarded-user", "root"), ("x-forwarded-user", "ada")];
    assert_eq!(take(PROXY, false, &user).0.user.as_deref(), Some("ada"));
}

#[test]
fn over_tls_the_cookie_is_for_its_host_alone_and_in_clear_there_is_none() {
    let cookie =
        |peer: &str, tls: bool, lines: &[(&str, &'static str)]| take(peer, tls, lines).0.cookie(Some("n"));
    let secure = Some("__Host-kwapi-session=n; Path=/; HttpOnly; SameSite=Lax; Secure");
    assert_eq!(cookie("192.0.2.1", true, &[]).as_deref(), secure);
    assert_eq!(cookie("127.0.0.1", true, &[]).as_deref(), secure);
    assert_eq!(cookie(PROXY, false, &HEADERS).as_deref(), secure);
    let plain = Some("kwapi-session=n; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(cookie("127.0.0.1", false, &[]).as_deref(), plain);
    assert_eq!(cookie("::1", false, &[]).as_deref(), plain);
    assert_eq!(cookie("192.0.2.1", false, &[]), None);
    assert_eq!(cookie(PROXY, false, &[("x-forwarded-proto", "http")]), None);
    let (client, _) = take("192.0.2.1", true, &[]);
    let headers: HeaderMap = [
        (header::COOKIE, HeaderValue::from_static("kwapi-session=plain; __Host-kwapi-session-x=1")),
        (header::COOKIE, HeaderValue::from_static("a=b;__Host-kwapi-session=good")),
    ]
    .into_iter()
    .collect();
    assert_eq!(client.login_of(&headers).as_deref(), Some("good"), "a cookie set over http does not count");
    assert!(client.cookie(None).unwrap().ends_with("Secure; Max-Age=0"));
}
