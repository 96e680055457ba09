//! The bucket's requests against a server that checks signatures as Amazon's client makes them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use kwapi_core::{Secret, Timestamp, WallClock};
use kwapi_history::ObjectReader;
use kwapi_peers::objects::ObjectServer;
use kwapi_peers::{Lab, free_port};

use super::bucket::S3Error;
use super::bucket::{Checksums, Sameness};
use super::*;

fn config(server: &ObjectServer) -> S3Config {
    S3Config {
        endpoint: server.endpoint(),
        region: ObjectServer::REGION.to_owned(),
        bucket: ObjectServer::BUCKET.to_owned(),
        prefix: String::new(),
        access_key: server.access_key.clone(),
        secret_key: Secret::new(server.secret_key.clone()),
        session_token: None,
        path_style: true,
        ca_file: None,
        timeout_seconds: 30,
    }
}

#[expect(clippy::disallowed_methods, reason = "signatures are of the server's present")]
fn clock() -> WallClock {
    WallClock::new(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(u64::try_from(now.as_micros()).unwrap())
    })
}

fn bucket(config: &S3Config) -> S3Bucket {
    S3Bucket::new(config, clock()).unwrap()
}

fn place(byte: u64) -> usize {
    usize::try_from(byte).unwrap()
}

#[tokio::test]
async fn what_is_put_is_there_verified_read_and_listed() {
    if !kwapi_peers::need_python("objects") {
        return;
    }
    let lab = Lab::empty();
    let server = ObjectServer::start(&lab, free_port());
    for prefix in ["", "kwapi/lyon", "a b+c&d=é/~%2F(1)"] {
        let bucket = bucket(&S3Config { prefix: prefix.to_owned(), ..config(&server) });
        let key = "date=2026-11-26/hour=17/part-000000000003-000000123456.parquet";
        let contents: Vec<u8> = (0..700_000_u32).map(|place| (place % 251) as u8).collect();
        let checksums = Checksums::of(&contents);
        assert_eq!(bucket.head(key).await, Ok(None), "{prefix}");
        assert_eq!(bucket.get(key, 0..9).await, Err(S3Error::NoSuchObject));
        bucket.put(key, Bytes::from(contents.clone()), &checksums).await.unwrap();
        let head = bucket.head(key).await.unwrap().unwrap();
        assert_eq!(checksums.compare(&head), Sameness::Same);
        let other = Checksums::of(&[contents.as_slice(), b"x"].concat());
        assert_eq!(other.compare(&head), Sameness::Other);
        for range in [0..1, 5..300_000, 699_999..700_000, 0..700_000, 7..7] {
            let read = bucket.get(key, range.clone()).await.unwrap();
            assert!(read == contents[place(range.start)..place(range.end)], "{range:?}");
        }
        let list = bucket.list(None).await.unwrap();
        assert_eq!((list.objects, list.next), (vec![(key.to_owned(), 700_000)], None), "{prefix}");
        let whole = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}/{key}") };
        server.client("assert s3.get_object(Bucket=bucket, Key=sys.argv[1])['ContentLength'] == 700000\ns3.delete_object(Bucket=bucket, Key=sys.argv[1])", &[&whole]);
    }
    // A server that received no checksum has the MD5 of an object, and otherwise it is read.
    let bucket = bucket(&config(&server));
    server.client("s3.put_object(Bucket=bucket, Key='plain', Body=b'plain')", &[]);
    let head = bucket.head("plain").await.unwrap().unwrap();
    assert_eq!(Checksums::of(b"plain").compare(&head), Sameness::Same);
    assert_eq!(Checksums::of(b"pla1n").compare(&head), Sameness::Open);
}

#[tokio::test]
async fn a_list_of_several_pages_is_whole() {
    if !kwapi_peers::need_python("objects") {
        return;
    }
    let lab = Lab::empty();
    let server = ObjectServer::start(&lab, free_port());
    server.client("for n in range(13): s3.put_object(Bucket=bucket, Key=f'p/{n:04}', Body=b'')", &[]);
    server.client("s3.put_object(Bucket=bucket, Key='other/1', Body=b'')", &[]);
    let mut bucket = bucket(&S3Config { prefix: "p".to_owned(), ..config(&server) });
    bucket.page_keys = 5;
    let (mut keys, mut next) = (Vec::new(), None);
    loop {
        let page = bucket.list(next.as_deref()).await.unwrap();
        keys.extend(page.objects.into_iter().map(|(key, _)| key));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    let wanted: Vec<String> = (0..13).map(|n| format!("{n:04}")).collect();
    assert_eq!(keys, wanted);
}

#[tokio::test]
async fn what_is_wrong_is_reported_with_what_to_do() {
    if !kwapi_peers::need_python("objects") {
        return;
    }
    let lab = Lab::empty();
    let server = ObjectServer::start(&lab, free_port());
    let right = config(&server);
    let failure = async |config: S3Config| {
        let bucket = bucket(&config);
        match bucket.put("key", Bytes::from_static(b"x"), &Checksums::of(b"x")).await {
            Err(S3Error::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    };
    let wrong_secret = S3Config { secret_key: Secret::new("wrong"), ..right.clone() };
    let secret = failure(wrong_secret.clone()).await;
    assert!(
        secret.contains("SignatureDoesNotMatch") && secret.ends_with("; check access_key and secret_key"),
        "{secret}"
    );
    let key = failure(S3Config { access_key: "AKIANOBODY".to_owned(), ..right.clone() }).await;
    assert!(
        key.contains("InvalidAccessKeyId") && key.ends_with("; check access_key and secret_key"),
        "{key}"
    );
    let bucket = failure(S3Config { bucket: "nobodys".to_owned(), ..right.clone() }).await;
    assert!(
        bucket.starts_with("there is no bucket \"nobodys\"; create it (404 Not Found, NoSuchBucket"),
        "{bucket}"
    );
    // An object of a bucket that is not there is not one that is not there.
    let read = super::tests::bucket(&S3Config { bucket: "nobodys".to_owned(), ..right.clone() })
        .get("key", 0..1)
        .await;
    assert!(matches!(read, Err(S3Error::Failed(_))), "{read:?}");
    let head = super::tests::bucket(&wrong_secret).head("key").await;
    assert!(matches!(&head, Err(S3Error::Failed(failure)) if failure.contains("403 Forbidden")), "{head:?}");
    drop(server);
    let away = failure(right.clone()).await;
    assert!(away.starts_with(&right.endpoint) && away.contains("refused"), "{away}");
}

/// A bucket is read by threads that wait, of a runtime or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_ranges_gets_them_and_an_error_of_its_kind() {
    if !kwapi_peers::need_python("objects") {
        return;
    }
    let lab = Lab::empty();
    let server = ObjectServer::start(&lab, free_port());
    server.client("s3.put_object(Bucket=bucket, Key='key', Body=b'0123456789')", &[]);
    let runtime = tokio::runtime::Handle::current();
    let ranges = Arc::new(ObjectRanges::new(Arc::new(bucket(&config(&server))), runtime));
    let read = {
        let ranges = Arc::clone(&ranges);
        tokio::task::spawn_blocking(move || ranges.read("key", 3..6)).await.unwrap()
    };
    assert_eq!(read.unwrap(), "345");
    let theirs = Arc::clone(&ranges);
    let none = std::thread::spawn(move || theirs.read("none", 0..1).unwrap_err().kind()).join().unwrap();
    assert_eq!(none, io::ErrorKind::NotFound);
    drop(server);
    let away = tokio::task::spawn_blocking(move || ranges.read("key", 0..1)).await.unwrap().unwrap_err();
    assert_eq!(away.kind(), io::ErrorKind::HostUnreachable, "{away}");
}

/// Signs a request as Amazon's client does: instant, method, address, hash of the body.
const THEIRS: &str = r"
import datetime, sys
from botocore.auth import S3SigV4Auth
import botocore.auth, botocore.awsrequest, botocore.credentials
at = datetime.datetime.fromtimestamp(int(sys.argv[1]), datetime.timezone.utc)
botocore.auth.get_current_datetime = lambda remove_tzinfo=True: at.replace(tzinfo=None)
headers = {'x-amz-content-sha256': sys.argv[4], 'x-amz-checksum-mode': 'ENABLED', 'range': 'bytes=0-9'}
request = botocore.awsrequest.AWSRequest(method=sys.argv[2], url=sys.argv[3], headers=headers)
auth = S3SigV4Auth(botocore.credentials.Credentials('key id', 'sec/ret+='), 's3', 'eu-west-3')
auth.payload = lambda request: sys.argv[4]
auth.add_auth(request)
print(request.headers['Authorization'].replace(', ', ','))
";

/// Amazon's client signs the same for the same instant.
#[test]
fn a_signature_is_that_of_amazons_client() {
    if !kwapi_peers::need_python("objects") {
        return;
    }
    let signer = sign::S3Signer {
        region: "eu-west-3".to_owned(),
        access_key: "key id".to_owned(),
        secret_key: Secret::new("sec/ret+="),
        session_token: None,
    };
    for (days, (method, path, query)) in (0..).zip([
        ("GET", "/energy/date%3D2026-11-26/hour%3D17/part-1.parquet", ""),
        ("PUT", "/energy/a%20b%2Bc/%C3%A9~_.x", ""),
        ("GET", "/energy", "continuation-token=a%2Fb%3D&encoding-type=url&list-type=2&prefix=p%2Fq%20r"),
    ]) {
        let payload = "5f".repeat(32);
        let at = 1_795_712_400 + days * 86_399;
        let headers = vec![("x-amz-checksum-mode", "ENABLED".to_owned()), ("range", "bytes=0-9".to_owned())];
        let request =
            sign::ToSign { method, path, query, host: "127.0.0.1:9000", payload: &payload, headers };
        let ours = signer.sign(request, Timestamp::from_seconds(at));
        let ours = ours.into_iter().find(|(name, _)| *name == "authorization").unwrap().1;
        let url = format!("http://127.0.0.1:9000{path}{}{query}", if query.is_empty() { "" } else { "?" });
        let at = at.to_string();
        let theirs = kwapi_peers::objects::run(THEIRS, &[&at, method, &url, &payload]);
        assert_eq!(ours, theirs.trim(), "{method} {path}?{query}");
    }
}

/// A server with a fault: answers each request, of which it gets the first line, as configured.
fn faulty(answer: impl Fn(&str) -> (u16, Vec<u8>, &'static str) + Send + 'static) -> S3Config {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                lines.push(line.to_ascii_lowercase());
            }
            let length = lines.iter().find_map(|line| line.strip_prefix("content-length:"));
            let length = length.map_or(0, |length| length.trim().parse().unwrap());
            let mut body = vec![0; length];
            _ = reader.read_exact(&mut body);
            let (status, contents, headers) = answer(lines.first().map_or("", String::as_str));
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
                contents.len()
            );
            let mut stream = reader.into_inner();
            _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&contents));
        }
    });
    S3Config {
        endpoint,
        region: "r".to_owned(),
        bucket: "energy".to_owned(),
        prefix: String::new(),
        access_key: "a".to_owned(),
        secret_key: Secret::new("s"),
        session_token: None,
        path_style: true,
        ca_file: None,
        timeout_seconds: 5,
    }
}

#[tokio::test]
async fn a_full_server_is_reported_and_one_that_supports_no_ranges_is_read() {
    let full = b"<Error><Code>QuotaExceeded</Code><Message>No room.</Message></Error>".to_vec();
    let config = faulty(move |line| match line.split(' ').next() {
        Some("put") => (507, full.clone(), ""),
        _ => (200, b"0123456789".to_vec(), "etag: \"kms\"\r\n"),
    });
    let bucket = bucket(&config);
    let put = bucket.put("key", Bytes::from_static(b"x"), &Checksums::of(b"x")).await;
    let message = "the server responded with 507 Insufficient Storage, QuotaExceeded: No room.";
    assert_eq!(put, Err(S3Error::Failed(message.to_owned())));
    assert_eq!(bucket.get("key", 3..7).await.unwrap(), "3456");
    assert_eq!(bucket.get("key", 8..12).await.unwrap(), "89", "shorter than it should be");
    assert_eq!(bucket.get("key", 30..31).await.unwrap(), "");
    // Where the ETag is no MD5 and there is no checksum, the object is read.
    let head = bucket.head("key").await.unwrap().unwrap();
    for (contents, is_same) in [(b"0123456789", true), (b"012345678x", false)] {
        let checksums = Checksums::of(contents);
        assert_eq!(checksums.compare(&head), Sameness::Open);
        assert_eq!(uploader::verify(&bucket, "key", &checksums, Sameness::Open).await, Ok(is_same));
    }
}
