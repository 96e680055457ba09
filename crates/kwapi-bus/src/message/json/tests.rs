use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: Result<&str, Refusal>) {
    let actual = members(text).map(|members| {
        let shown = members.iter().map(|member| {
            let value = match &member.value {
                JsonValue::Null => "null".to_owned(),
                JsonValue::Bool(truth) => truth.to_string(),
                JsonValue::Number(text) | JsonValue::List(text) | JsonValue::Object(text) => {
                    (*text).to_owned()
                }
                JsonValue::Text(text) => format!("{text:?}"),
            };
            format!("{}={value}", member.name)
        });
        shown.collect::<Vec<_>>().join(" ")
    });
    assert_eq!(actual.as_deref(), expected.as_ref().map(|text| *text), "for {text}");
}

#[test]
fn members_come_in_their_order_with_their_texts() {
    check("{}", Ok(""));
    check(r#" { "a" : 1 , "b":"x" } "#, Ok(r#"a=1 b="x""#));
    check(r#"{"a":null,"b":true,"c":false,"d":-1.5e+3}"#, Ok("a=null b=true c=false d=-1.5e+3"));
    check(r#"{"a":[1,[2]],"b":{"c":{}}}"#, Ok(r#"a=[1,[2]] b={"c":{}}"#));
    check(r#"{"a":NaN,"b":Infinity,"c":-Infinity}"#, Ok("a=NaN b=Infinity c=-Infinity"));
}

#[test]
fn escapes_are_undone() {
    check(r#"{"\u0061":"\"\\\/\b\f\n\r\t"}"#, Ok(r#"a="\"\\/\u{8}\u{c}\n\r\t""#));
    check(r#"{"e":"n\u0153ud-\ud83d\udd0c!"}"#, Ok(r#"e="nœud-🔌!""#));
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        "[]",
        "1",
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1}x",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":--1}",
        "{\"a\":nul}",
        "{\"a\":'x'}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\ud83d\"}",
        "{\"a\":\"\\udd0c\"}",
        "{\"a\":\"\\u00é0\"}",
        "{\"a\":-Inf}",
        "{\"a\":\"",
        "{\"a\":[1}",
        "{\"a\":0x1}",
    ] {
        check(text, Err(Refusal::Json));
    }
}

#[test]
fn depth_and_members_are_bounded() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(members(&nested(DEPTH_MAX)).is_ok());
    check(&nested(DEPTH_MAX + 1), Err(Refusal::Depth));
    check(&"{\"a\":".repeat(2000), Err(Refusal::Depth));
    let many = |count: usize| format!("{{{}}}", vec!["\"a\":1"; count].join(","));
    assert!(members(&many(MEMBERS_MAX)).is_ok());
    check(&many(MEMBERS_MAX + 1), Err(Refusal::TooLarge));
}

proptest! {
    #[test]
    fn noise_never_panics(noise in "[\\[\\]{}\",:\\\\u0-9a-fNI\u{7f}é🔌 .eE+-]{0,60}") {
        _ = members(&noise);
        _ = elements(&noise);
    }

    #[test]
    fn what_serde_json_accepts_is_accepted_and_the_other_way_round(
        text in "\\{(\"[a-z\\\\n]{0,3}\":(-?[0-9]{1,2}(\\.[0-9]{0,2})?([eE]-?[0-9]{0,2})?|true|null|\\[[0-9,]{0,3}\\]|\"[é\\\\u0-9d]{0,7}\"),?){0,3}\\}"
    ) {
        let oracle = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
        // The oracle refuses numbers beyond f64; there are none here.
        prop_assert_eq!(members(&text).is_ok(), oracle.is_ok(), "{}", text);
    }
}
