use super::*;

/// Writes a new pair for localhost that ends in `year`.
fn write_pair(tls: &ServerTls, year: i32) {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&tls.certificate, parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&tls.key, key.serialize_pem()).unwrap();
}

fn pair(lab: &Path) -> ServerTls {
    let tls = ServerTls { certificate: lab.join("cert.pem"), key: lab.join("key.pem") };
    write_pair(&tls, 2030);
    tls
}

fn ends_in(certificates: &Certificates) -> String {
    in_iso(certificates.current.load().validity.unwrap().end)
}

#[test]
fn a_changed_pair_is_used_once_it_has_settled() {
    let lab = tempfile::tempdir().unwrap();
    let tls = pair(lab.path());
    let certificates = Certificates::open(&tls).unwrap();
    write_pair(&tls, 2031);
    certificates.refresh();
    assert_eq!(ends_in(&certificates), "2030-01-01T00:00:00Z", "it may be half written");
    certificates.refresh();
    assert_eq!(ends_in(&certificates), "2031-01-01T00:00:00Z");
}

#[test]
fn a_pair_that_cannot_be_used_leaves_the_old_one_and_is_tried_once() {
    let lab = tempfile::tempdir().unwrap();
    let tls = pair(lab.path());
    let certificates = Certificates::open(&tls).unwrap();
    let key = std::fs::read(&tls.key).unwrap();
    write_pair(&tls, 2031);
    std::fs::write(&tls.key, key).unwrap();
    (0..5).for_each(|_| certificates.refresh());
    assert_eq!(ends_in(&certificates), "2030-01-01T00:00:00Z");
    assert_eq!(certificates.failures.load(Ordering::Relaxed), 1);

    std::fs::remove_file(&tls.key).unwrap();
    (0..5).for_each(|_| certificates.refresh());
    assert_eq!(certificates.failures.load(Ordering::Relaxed), 2);

    write_pair(&tls, 2032);
    (0..2).for_each(|_| certificates.refresh());
    assert_eq!(ends_in(&certificates), "2032-01-01T00:00:00Z");
}

#[test]
fn files_at_fault_are_named() {
    let lab = tempfile::tempdir().unwrap();
    let tls = pair(lab.path());
    let failure = |tls: &ServerTls| tls.check().unwrap_err().to_string();
    let missing = ServerTls { certificate: lab.path().join("none.pem"), ..tls.clone() };
    assert!(failure(&missing).contains("none.pem: "), "{}", failure(&missing));
    let swapped = ServerTls { certificate: tls.key.clone(), ..tls.clone() };
    assert!(
        failure(&swapped).ends_with("key.pem: no certificate found in the file"),
        "{}",
        failure(&swapped)
    );
    let other = ServerTls { certificate: tls.certificate.clone(), key: lab.path().join("other.pem") };
    std::fs::write(&other.key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(
        failure(&other).ends_with("other.pem: key does not match the certificate"),
        "{}",
        failure(&other)
    );
    assert_eq!(in_iso(tls.check().unwrap().unwrap().end), "2030-01-01T00:00:00Z");
}

#[test]
fn the_end_of_the_certificate_is_a_metric() {
    let lab = tempfile::tempdir().unwrap();
    let certificates = Certificates::open(&pair(lab.path())).unwrap();
    let mut out = Exposition::default();
    certificates.collect("api", &mut out);
    let text = out.prometheus();
    let line = "kwapi_tls_certificate_expiry_timestamp_seconds{server=\"api\"} 1893456000\n";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("kwapi_tls_certificate_reload_failures_total{server=\"api\"} 0\n"), "{text}");
}
