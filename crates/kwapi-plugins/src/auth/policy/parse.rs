//! Reading policies: the file, and the rules in it.

use std::collections::HashMap;

use serde_json::Value;

use super::{Check, PolicyError};

/// Parentheses and negations may nest this deep.
const DEPTH_MAX: usize = 32;

/// Reads a policy file: a JSON object, or YAML with one `name: rule` a line, where a rule is a string, quoted or plain,
/// or a list on one line. Comments begin with `#`.
///
/// # Errors
/// When a line or a rule cannot be read.
pub(crate) fn parse_file(text: &str) -> Result<HashMap<String, Check>, PolicyError> {
    let rules = if text.trim_start().starts_with('{') { read_json(text)? } else { read_yaml(text)? };
    rules
        .into_iter()
        .map(|(name, rule)| match parse_rule(&rule) {
            Ok(check) => Ok((name, check)),
            Err(message) => Err(PolicyError::Rule { rule: name, message }),
        })
        .collect()
}

fn read_json(text: &str) -> Result<Vec<(String, Value)>, PolicyError> {
    let failed =
        |error: serde_json::Error| PolicyError::Syntax { line: error.line(), message: error.to_string() };
    let rules: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(failed)?;
    Ok(rules.into_iter().collect())
}

fn read_yaml(text: &str) -> Result<Vec<(String, Value)>, PolicyError> {
    let mut rules = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let failed = |message: &str| PolicyError::Syntax { line: index + 1, message: message.to_owned() };
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') || content == "---" || content == "{}" {
            continue;
        }
        if line.starts_with([' ', '\t', '-']) {
            return Err(failed("only `name: rule` on one line is supported"));
        }
        let (name, rest) = scalar(content, true).ok_or_else(|| failed("missing rule name"))?;
        let rest = rest.trim_start();
        let rule =
            rest.strip_prefix(':').map(str::trim).ok_or_else(|| failed("missing `:` after the rule name"))?;
        let value = if rule.starts_with('[') {
            let list = rule.rsplit_once(" #").map_or(rule, |(list, _)| list);
            serde_json::from_str(list).map_err(|_| failed("lists must be written as in JSON"))?
        } else {
            let (text, after) = scalar(rule, false).ok_or_else(|| failed("unterminated quote"))?;
            let after = after.trim();
            if !after.is_empty() && !after.starts_with('#') {
                return Err(failed("unexpected text after the rule"));
            }
            Value::String(text)
        };
        rules.push((name, value));
    }
    Ok(rules)
}

/// Reads a quoted or plain string and returns what follows it. A plain name ends at `: ` or its line's end, a plain
/// rule at a comment.
fn scalar(text: &str, is_name: bool) -> Option<(String, &str)> {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            return rest.split_once(quote).map(|(inside, after)| (inside.to_owned(), after));
        }
    }
    let end = if is_name {
        // A rule's name may have colons of its own: `kwapi:read: role:admin`.
        text.find(": ").or_else(|| text.strip_suffix(':').map(str::len))?
    } else {
        text.find(" #").unwrap_or(text.len())
    };
    let (inside, after) = text.split_at_checked(end)?;
    Some((inside.trim().to_owned(), after))
}

fn parse_rule(rule: &Value) -> Result<Check, String> {
    match rule {
        Value::String(text) => parse_string(text),
        Value::Array(any) => parse_list(any),
        Value::Bool(true) | Value::Null => Ok(Check::Always),
        _ => Err("a rule must be a string or a list".to_owned()),
    }
}

/// The old syntax. An empty list, outer or inner, is always true.
fn parse_list(any: &[Value]) -> Result<Check, String> {
    let alternatives: Result<Vec<Check>, String> = any
        .iter()
        .map(|all| match all {
            Value::String(check) => parse_check(check),
            Value::Array(all) => {
                let checks = all.iter().map(|check| match check {
                    Value::String(check) => parse_check(check),
                    _ => Err("a check must be a string".to_owned()),
                });
                Ok(Check::All(checks.collect::<Result<_, _>>()?))
            }
            _ => Err("a list must contain strings, or lists of strings".to_owned()),
        })
        .collect();
    let alternatives = alternatives?;
    Ok(if alternatives.is_empty() { Check::Always } else { Check::Any(alternatives) })
}

fn parse_check(check: &str) -> Result<Check, String> {
    match check {
        "@" => return Ok(Check::Always),
        "!" => return Ok(Check::Never),
        _ => {}
    }
    if check.contains("%(") {
        return Err(format!("{check:?} compares with a target, but read requests have none"));
    }
    let (kind, value) = check.split_once(':').ok_or_else(|| format!("invalid check {check:?}"))?;
    let value = value.trim_matches(['"', '\'']).to_owned();
    match kind {
        "role" => Ok(Check::Role(value)),
        "rule" => Ok(Check::Rule(value)),
        "is_admin" => Ok(Check::IsAdmin(value == "True" || value == "1")),
        "user_id" | "project_id" | "domain_id" | "system_scope" => {
            Ok(Check::Attribute(kind.to_owned(), value))
        }
        _ => Err(format!("unknown check {kind:?}")),
    }
}

/// The current syntax: `not` binds before `and`, `and` before `or`.
fn parse_string(text: &str) -> Result<Check, String> {
    if text.trim().is_empty() {
        return Ok(Check::Always);
    }
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    // `%(target)s` was torn apart by the spaces; report what is wrong rather than "unexpected (".
    if spaced.contains("% (") || text.contains("%(") {
        return Err(format!("{text:?} compares with a target, but read requests have none"));
    }
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut words = words.as_slice();
    let check = parse_any(&mut words, DEPTH_MAX)?;
    match words.first() {
        None => Ok(check),
        Some(word) => Err(format!("unexpected {word:?}")),
    }
}

fn parse_any(words: &mut &[&str], depth: usize) -> Result<Check, String> {
    let mut checks = vec![parse_all(words, depth)?];
    while take(words, "or") {
        checks.push(parse_all(words, depth)?);
    }
    Ok(single_or(checks, Check::Any))
}

fn parse_all(words: &mut &[&str], depth: usize) -> Result<Check, String> {
    let mut checks = vec![parse_one(words, depth)?];
    while take(words, "and") {
        checks.push(parse_one(words, depth)?);
    }
    Ok(single_or(checks, Check::All))
}

fn parse_one(words: &mut &[&str], depth: usize) -> Result<Check, String> {
    let depth = depth.checked_sub(1).ok_or("nested too deeply")?;
    if take(words, "not") {
        return Ok(Check::Not(Box::new(parse_one(words, depth)?)));
    }
    if take(words, "(") {
        let check = parse_any(words, depth)?;
        return if take(words, ")") { Ok(check) } else { Err("unclosed parenthesis".to_owned()) };
    }
    let (word, rest) = words.split_first().ok_or("unexpected end of rule")?;
    *words = rest;
    parse_check(word)
}

fn take(words: &mut &[&str], expected: &str) -> bool {
    match words.split_first() {
        Some((word, rest)) if word.eq_ignore_ascii_case(expected) => {
            *words = rest;
            true
        }
        Some(_) | None => false,
    }
}

fn single_or(mut checks: Vec<Check>, combine: fn(Vec<Check>) -> Check) -> Check {
    match checks.pop() {
        Some(only) if checks.is_empty() => only,
        Some(last) => {
            checks.push(last);
            combine(checks)
        }
        None => Check::Never,
    }
}
