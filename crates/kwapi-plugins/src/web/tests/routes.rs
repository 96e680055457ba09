use kwapi_core::ProbeId;
use proptest::prelude::*;

use super::super::route::{FormFields, Target, WebRoute, is_page, route};
use super::*;
use crate::http::percent::encode;

/// Sends a request and compares status, type and, of a redirect, where to.
#[track_caller]
fn check(answer: &Response<Bytes>, path: &str, expected: &str) {
    let kind = header_of(answer, "content-type").split(';').next().unwrap_or_default();
    let location = header_of(answer, "location");
    let status = answer.status().as_u16();
    let actual = match status {
        301..=303 => format!("{status} {location}"),
        200 | 404 => format!("{status} {kind}"),
        _ => status.to_string(),
    };
    assert_eq!(actual, expected, "for {path}");
}

#[tokio::test]
async fn every_address_of_the_original_answers_as_it_did() {
    let site = site();
    for (path, expected) in [
        ("/", "302 /last/minute/"),
        ("/last/", "404 text/html"),
        ("/last/bogus/", "404 text/html"),
        ("/last/minute", "301 /last/minute/"),
        ("/last//minute/", "404 text/html"),
        ("/probe/A/", "200 text/html"),
        ("/probe/A", "301 /probe/A/"),
        ("/probe/A?x=1", "301 /probe/A/?x=1"),
        ("/probe/C.1/", "200 text/html"),
        ("/probe/nope/", "404 text/html"),
        ("/graph/bogus/", "404 text/html"),
        ("/graph/bogus/A/", "404 text/html"),
        ("/graph/minute/nope/", "404 text/html"),
        ("/graph/minute", "301 /graph/minute/"),
        ("/graph/hour/A?y=%20", "301 /graph/hour/A/?y=%20"),
        ("/rrd/A/", "200 application/octet-stream"),
        ("/rrd/C.1/", "200 application/octet-stream"),
        ("/rrd/nope/", "404 text/html"),
        ("/static/nope.css", "404 text/html"),
        ("/static/..%2f..%2frrd.py", "404 text/html"),
        ("/static/design.css", "200 text/css"),
        ("/static/favicon.png", "200 image/png"),
        ("/probe/%FF/", "404 text/html"),
        ("/graph/hour/A/?format=svg", "200 image/svg+xml"),
        ("/graph/hour/A/?format=gif", "400"),
        ("/graph/hour/A/?scale=99", "400"),
        ("/choose/", "405"),
    ] {
        check(&get(&site, path).await, path, expected);
    }
    for period in Period::ALL {
        check(&get(&site, &format!("/last/{period}/")).await, "a page", "200 text/html");
        check(&get(&site, &format!("/graph/{period}/")).await, "a summary", "200 image/png");
        check(&get(&site, &format!("/graph/{period}/A/")).await, "a graph", "200 image/png");
    }
    let range = send(&site, "GET", "/graph/hour/A/", &[("range", "bytes=0-99")]).await;
    check(&range, "a range", "200 image/png");
}

#[tokio::test]
async fn graphs_are_as_large_as_the_original_s_and_twice_that_on_request() {
    let site = site();
    for (path, width, height) in
        [("/graph/minute/", 694, 261), ("/graph/minute/A/", 497, 187), ("/graph/minute/A/?scale=2", 994, 374)]
    {
        let png = get(&site, path).await.into_body();
        let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
        assert_eq!((side(16), side(20)), (width, height), "{path}");
    }
}

#[tokio::test]
async fn only_a_client_that_takes_no_raster_is_sent_svg_unasked() {
    let site = site();
    for (accept, expected) in [
        ("image/svg+xml", "200 image/svg+xml"),
        ("image/avif,image/webp,image/svg+xml,image/*,*/*;q=0.8", "200 image/png"),
        ("*/*", "200 image/png"),
    ] {
        check(&send(&site, "GET", "/graph/hour/A/", &[("accept", accept)]).await, accept, expected);
    }
}

#[tokio::test]
async fn a_method_other_than_reading_is_refused_with_those_allowed() {
    let site = site();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = send(&site, method, "/graph/minute/A/", &[]).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header_of(&answer, "allow"), "HEAD, OPTIONS, GET");
    }
    let options = send(&site, "OPTIONS", "/last/minute/", &[]).await;
    assert_eq!((options.status(), header_of(&options, "allow")), (StatusCode::OK, "HEAD, OPTIONS, GET"));
}

#[tokio::test]
async fn head_has_the_length_of_the_body_it_omits() {
    let site = site();
    for path in ["/graph/minute/A/", "/last/minute/", "/rrd/A/"] {
        let (head, whole) = (send(&site, "HEAD", path, &[]).await, get(&site, path).await);
        assert_eq!(head.status(), StatusCode::OK);
        assert!(head.body().is_empty());
        assert_eq!(header_of(&head, "content-length"), whole.body().len().to_string(), "{path}");
    }
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let site = site();
    for path in ["/graph/hour/A/", "/graph/day/", "/static/design.css", "/rrd/A/"] {
        let first = get(&site, path).await;
        let (tag, date) =
            (header_of(&first, "etag").to_owned(), header_of(&first, "last-modified").to_owned());
        assert!(date.ends_with(" GMT"), "{path}: {date:?}");
        for header in [("if-none-match", tag.as_str()), ("if-modified-since", &date), ("if-none-match", "*")]
        {
            let again = send(&site, "GET", path, &[header]).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path} {header:?}");
            assert!(again.body().is_empty());
        }
        let other = [("if-none-match", "\"other\""), ("if-modified-since", date.as_str())];
        assert_eq!(send(&site, "GET", path, &other).await.status(), StatusCode::OK, "a tag outweighs a date");
        let older = [("if-modified-since", "Sun, 22 Nov 2026 00:25:30 GMT")];
        assert_eq!(send(&site, "GET", path, &older).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn any_id_is_reached_and_breaks_nothing() {
    let site = site();
    for name in AWKWARD {
        let encoded = encode(name);
        for path in ["/probe/@/", "/graph/hour/@/", "/graph/day/@/?format=svg", "/rrd/@/"] {
            let path = path.replace('@', &encoded);
            assert_eq!(get(&site, &path).await.status(), StatusCode::OK, "{path}");
        }
        let text = page(&site, &format!("/probe/{encoded}/")).await;
        assert!(!text.contains("<b>&amp;") && !text.contains("7\" <b>"), "escaped: {text}");
    }
    let list = page(&site, "/last/minute/").await;
    for name in AWKWARD {
        assert!(list.contains(&format!("href=\"/probe/{}/\"", encode(name))), "{name}");
    }
}

#[tokio::test]
async fn a_download_is_named_safely() {
    let answer = get(&site(), "/rrd/it%27s%20%227%22%20%3Cb%3E%26amp%3B/").await;
    assert_eq!(
        header_of(&answer, "content-disposition"),
        "attachment; filename=\"it_s _7_ _b__amp_.rrd\"; \
         filename*=UTF-8''it%27s%20%227%22%20%3Cb%3E%26amp%3B.rrd"
    );
    assert!(header_of(&get(&site(), "/rrd/A/").await, "content-disposition").contains("filename=\"A.rrd\""));
}

#[tokio::test]
async fn a_page_shows_what_there_is_instead_and_allows_nothing_from_elsewhere() {
    let site = site();
    assert!(page(&site, "/last/decade/").await.contains("href=\"/last/year/\""));
    assert!(page(&site, "/probe/nope/").await.contains("href=\"/probe/C.1/\""));
    let answer = get(&site, "/last/minute/").await;
    assert!(header_of(&answer, "content-security-policy").starts_with("default-src 'none'"));
    let text = String::from_utf8_lossy(answer.body());
    assert!(!text.contains("style=") && !text.contains("<style"), "the policy would refuse it");
    let rest = text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "");
    let elsewhere: Vec<_> = rest.lines().filter(|line| line.contains("http")).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[test]
fn a_form_returns_to_our_pages_only() {
    assert!(is_page("/last/day/?page=2&q=a%20b") && is_page("/probe/a%2Fb/"));
    for path in
        ["https://example.org/", "//example.org/last/", "/last/\r\nX: y", "/graph/day/", "/last/\\x", ""]
    {
        assert!(!is_page(path), "{path:?}");
    }
}

proptest! {
    #[test]
    fn noise_leads_somewhere_and_never_panics(path in "\\PC{0,60}", query in prop::option::of("\\PC{0,60}")) {
        _ = route(&path, query.as_deref());
        _ = route(&format!("/{path}/"), query.as_deref());
    }

    #[test]
    fn every_probe_id_survives_its_address(name in any::<String>()) {
        if let Ok(probe) = ProbeId::new(&name) {
            let target = route(&format!("/probe/{}/", encode(&name)), None);
            prop_assert_eq!(target, WebRoute::To(Target::Probe(probe, FormFields::default()), crate::http::READ));
        }
    }
}

#[tokio::test]
async fn a_probe_s_page_reports_its_labels_and_escapes_them() {
    let labels = |probe: &ProbeId| match probe.as_str() {
        "A" => [("owner", "physics"), ("feeds", "<b>\"9\" & 'x'")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        _ => Labels::new(),
    };
    let directory = Directory::new(ConfiguredProbes::new(labels, []));
    let site = serve_as(Fixture::of(&["A", "B"]), directory);
    let shown = page(&site, "/probe/A/").await;
    assert!(shown.contains("<dt>owner</dt><dd>physics</dd>"), "{shown}");
    assert!(shown.contains("<dt>feeds</dt><dd>&#60;b&#62;&#34;9&#34; &#38; &#39;x&#39;</dd>"), "{shown}");
    assert!(!page(&site, "/probe/B/").await.contains("class=\"labels\""));
}
