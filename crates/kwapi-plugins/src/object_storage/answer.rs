//! What a server answers: errors and lists, as XML.

use reqwest::StatusCode;
use roxmltree::{Document, Node};

use crate::http::percent;

/// So much of a server's own words is passed on.
const WORDS_MAX: usize = 300;

/// What the operator sees of a refusal; `body` is the answer's.
pub(super) fn refusal(status: StatusCode, body: &str, bucket: &str) -> String {
    let (code, message) = Document::parse(body).map_or_else(
        |_| Default::default(),
        |document| {
            let root = document.root_element();
            (words(&root, "Code"), words(&root, "Message"))
        },
    );
    let response = match (code.is_empty(), message.is_empty()) {
        (true, _) => status.to_string(),
        (false, true) => format!("{status}, {code}"),
        (false, false) => format!("{status}, {code}: {message}"),
    };
    let advice = match (&*code, status) {
        ("NoSuchBucket", _) => return format!("there is no bucket {bucket:?}; create it ({response})"),
        ("RequestTimeTooSkewed", _) => "check this machine's clock",
        ("AuthorizationHeaderMalformed" | "PermanentRedirect", _) => "check endpoint and region",
        (_, status) if status.is_redirection() => "check endpoint and region",
        ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken", _) => {
            "check access_key and secret_key"
        }
        (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            "check access_key and secret_key, and that they may list, get and put objects of the bucket"
        }
        _ => return format!("the server responded with {response}"),
    };
    format!("the server refused access ({response}); {advice}")
}

/// The text of a child, fit for a line.
fn words(node: &Node<'_, '_>, name: &str) -> String {
    let text = child(node, name).and_then(|child| child.text()).unwrap_or_default().trim();
    text.chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect()
}

/// The first child of a name. Servers differ in the name space, which is not looked at.
fn child<'a, 'input>(node: &Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.tag_name().name() == name)
}

/// A page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ObjectList {
    /// Keys and sizes.
    pub(super) objects: Vec<(String, u64)>,
    /// What the next page is requested with.
    pub(super) next: Option<String>,
}

/// Reads a page (`ListObjectsV2`).
///
/// # Errors
/// When it is none.
pub(super) fn read_list(body: &str) -> Result<ObjectList, String> {
    let document =
        Document::parse(body).map_err(|error| format!("the list of objects is not XML: {error}"))?;
    let root = document.root_element();
    if root.tag_name().name() != "ListBucketResult" {
        return Err("the server's answer is not a list of objects".to_owned());
    }
    let text = |node: &Node<'_, '_>, name: &str| child(node, name)?.text().map(str::to_owned);
    let is_encoded = text(&root, "EncodingType").as_deref() == Some("url");
    let mut list = ObjectList::default();
    for object in root.children().filter(|child| child.tag_name().name() == "Contents") {
        let (Some(key), Some(size)) = (text(&object, "Key"), text(&object, "Size")) else { continue };
        let key = if is_encoded { percent::decode(&key.replace('+', " ")) } else { Some(key) };
        let (Some(key), Ok(size)) = (key, size.trim().parse()) else { continue };
        list.objects.push((key, size));
    }
    if text(&root, "IsTruncated").as_deref() == Some("true") {
        let next = text(&root, "NextContinuationToken").ok_or("the list of objects does not continue")?;
        list.next = Some(next);
    }
    Ok(list)
}

/// Reads an answer as a list and as a refusal.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_anything(body: &str) {
    _ = read_list(body);
    _ = refusal(StatusCode::FORBIDDEN, body, "energy");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_remedy() {
        let body = |code: &str| {
            format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No &lt;way&gt;.</Message></Error>"
            )
        };
        let refused =
            |status: u16, body: &str| refusal(StatusCode::from_u16(status).unwrap(), body, "energy");
        for (status, code, expected) in [
            (
                404,
                "NoSuchBucket",
                "there is no bucket \"energy\"; create it (404 Not Found, NoSuchBucket: No <way>.)",
            ),
            (
                403,
                "SignatureDoesNotMatch",
                "the server refused access (403 Forbidden, SignatureDoesNotMatch: No <way>.); check access_key and secret_key",
            ),
            (
                403,
                "RequestTimeTooSkewed",
                "the server refused access (403 Forbidden, RequestTimeTooSkewed: No <way>.); check this machine's clock",
            ),
            (
                400,
                "AuthorizationHeaderMalformed",
                "the server refused access (400 Bad Request, AuthorizationHeaderMalformed: No <way>.); check endpoint and region",
            ),
            (
                507,
                "XMinioStorageFull",
                "the server responded with 507 Insufficient Storage, XMinioStorageFull: No <way>.",
            ),
        ] {
            assert_eq!(refused(status, &body(code)), expected);
        }
        assert_eq!(refused(503, ""), "the server responded with 503 Service Unavailable");
        assert_eq!(
            refused(301, "<html>"),
            "the server refused access (301 Moved Permanently); check endpoint and region"
        );
        let long = format!("<Error><Code>Slow</Code><Message>{}\u{85}</Message></Error>", "é".repeat(5_000));
        assert!(refused(503, &long).chars().count() < WORDS_MAX + 100);
    }

    #[test]
    fn a_list_is_read_whatever_its_name_space() {
        let list = |rest: &str, space: &str| {
            format!(
                "<ListBucketResult{space}><Name>b</Name>{rest}<Contents><Key>a%2Fb%3D1</Key><Size>12</Size></Contents></ListBucketResult>"
            )
        };
        let space = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
        let whole =
            read_list(&list("<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>", space))
                .unwrap();
        assert_eq!(whole, ObjectList { objects: vec![("a/b=1".to_owned(), 12)], next: None });
        let more = "<IsTruncated>true</IsTruncated><NextContinuationToken>x&amp;y=</NextContinuationToken>";
        let more = read_list(&list(more, "")).unwrap();
        assert_eq!(
            more,
            ObjectList { objects: vec![("a%2Fb%3D1".to_owned(), 12)], next: Some("x&y=".to_owned()) }
        );
        for bad in ["", "<a>", "<Other/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><ListBucketResult/>"] {
            assert!(read_list(bad).is_err(), "{bad}");
        }
        assert!(read_list("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>").is_err());
    }
}
