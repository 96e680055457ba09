use proptest::prelude::*;

use super::*;

fn credentials(roles: &str) -> Credentials {
    let roles = roles.split_whitespace().map(str::to_owned).collect();
    let attributes = HashMap::from([("project_id", "7".to_owned()), ("system_scope", "all".to_owned())]);
    Credentials { roles, is_admin: false, attributes }
}

/// Judges roles by a policy's rule `kwapi:read`.
#[track_caller]
fn check(policy: &str, roles: &str, expected: bool) {
    let policy = Policy { rules: parse_file(policy).unwrap() };
    assert_eq!(policy.allows("kwapi:read", &credentials(roles)), expected, "{roles} by {policy:?}");
}

#[test]
fn the_originals_file_lets_admins_in_whatever_the_case() {
    let policy = r#"{"context_is_admin": [["role:admin"]]}"#;
    check(policy, "admin", true);
    check(policy, "member ADMIN", true);
    check(policy, "member", false);
    check(policy, "", false);
}

#[test]
fn old_lists_are_any_of_all() {
    let policy = r#"{"kwapi:read": [["role:a", "role:b"], ["role:c"]]}"#;
    check(policy, "a", false);
    check(policy, "a b", true);
    check(policy, "c", true);
    check(r#"{"kwapi:read": []}"#, "", true);
    check(r#"{"kwapi:read": [["rule:x"]], "x": "role:a"}"#, "a", true);
}

#[test]
fn strings_bind_not_before_and_before_or() {
    let policy = r#"{"kwapi:read": "role:a or role:b and not role:c"}"#;
    check(policy, "a c", true);
    check(policy, "b", true);
    check(policy, "b c", false);
    check(r#"{"kwapi:read": "(role:a or role:b) and not role:c"}"#, "a c", false);
    check(r#"{"kwapi:read": "role:reader and system_scope:all"}"#, "reader", true);
    check(r#"{"kwapi:read": "role:reader and project_id:8"}"#, "reader", false);
}

#[test]
fn all_none_and_nothing() {
    check(r#"{"kwapi:read": "@"}"#, "", true);
    check(r#"{"kwapi:read": ""}"#, "", true);
    check(r#"{"kwapi:read": "!"}"#, "admin", false);
}

#[test]
fn an_undefined_rule_and_a_circle_deny() {
    check(r#"{"kwapi:read": "rule:nowhere"}"#, "admin", false);
    check(r#"{"kwapi:read": "rule:kwapi:read"}"#, "admin", false);
    check("{}", "admin", false);
}

#[test]
fn yaml_is_read_as_policies_have_it() {
    let policy = "---\n# who may read\n\"kwapi:read\": \"role:a or rule:other\"  # comment\nother: role:b\n'third': [[\"role:x\"]]\n";
    check(policy, "a", true);
    check(policy, "b", true);
    check(policy, "c", false);
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_place() {
    let failure = |policy: &str| parse_file(policy).unwrap_err().to_string();
    assert_eq!(failure("a: role:b\n  nested: x"), "line 2: only `name: rule` on one line is supported");
    assert_eq!(failure(r#"{"a": "role:b and"}"#), "rule \"a\": unexpected end of rule");
    assert_eq!(failure(r#"{"a": "(role:b"}"#), "rule \"a\": unclosed parenthesis");
    assert_eq!(failure(r#"{"a": "http://x"}"#), "rule \"a\": unknown check \"http\"");
    assert!(failure(r#"{"a": "project_id:%(project_id)s"}"#).contains("compares with a target"));
}

proptest! {
    #[test]
    fn noise_never_panics(text in any::<String>()) {
        _ = parse_file(&text);
        _ = parse_file(&serde_json::json!({ "a": text }).to_string());
    }

    #[test]
    fn words_of_the_grammar_never_panic(words in prop::collection::vec(
        prop::sample::select(vec!["(", ")", "not", "and", "or", "role:a", "@", "!", "%(x)s", "rule:b"]), 0..60,
    )) {
        _ = parse_file(&serde_json::json!({ "a": words.join(" ") }).to_string());
    }
}
