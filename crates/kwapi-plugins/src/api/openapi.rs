//! The OpenAPI document: what is general of it is written down, its paths are those of the [table](super::route).

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::route::{Operation, OperationKind, Row, TABLE};
use crate::answers::{GROUP_PARAMETERS, PARAMETERS};
use crate::http::Route;

/// Title, security and components; no paths.
const GENERAL: &str = include_str!("openapi.json");

/// The document, as it is served.
pub(super) static OPENAPI: LazyLock<String> = LazyLock::new(|| {
    // It is compiled in, and a test reads it: there is nothing to be told of at run time.
    let mut document: Map<String, Value> = serde_json::from_str(GENERAL).unwrap_or_default();
    let paths: Map<String, Value> =
        TABLE.table.iter().map(|route| (route.path.to_owned(), json!({ "get": operation(route) }))).collect();
    document.insert("paths".to_owned(), paths.into());
    format!("{:#}\n", Value::Object(document))
});

fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

fn operation(route: &Route<Row>) -> Value {
    let Operation { id, summary, .. } = &route.resource.operation;
    let parameters = parameters(route);
    let mut operation = json!({ "operationId": id, "summary": summary, "responses": responses(route) });
    if !parameters.is_empty()
        && let Some(operation) = operation.as_object_mut()
    {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    operation
}

fn parameters(route: &Route<Row>) -> Vec<Value> {
    let in_path =
        [("{probe}", "probe_id"), ("{meter}", "meter"), ("{group}", "group_path"), ("{month}", "month")];
    let mut names: Vec<&str> =
        in_path.iter().filter(|(place, _)| route.path.contains(place)).map(|(_, name)| *name).collect();
    if let OperationKind::List { is_tagged, .. } = route.resource.operation.kind {
        names.extend(["probe", "pattern", "limit", "after"]);
        names.extend(is_tagged.then_some("if_none_match"));
    }
    match route.resource.operation.kind {
        OperationKind::Plain | OperationKind::List { .. } | OperationKind::Bills => {}
        OperationKind::Bill => names.extend(["bill_by", "correction", "bill_format"]),
        OperationKind::Energy => names.extend(PARAMETERS),
        OperationKind::Series => {
            names.extend(PARAMETERS.map(|name| if name == "step" { "series_step" } else { name }));
        }
        OperationKind::Group => names.extend(GROUP_PARAMETERS),
        OperationKind::Groups => names.extend(["pattern", "limit", "after"]),
        OperationKind::Samples => {
            names.extend(["one_probe", "samples_start", "end", "samples_limit", "format"]);
        }
    }
    names.into_iter().map(|name| reference("parameters", name)).collect()
}

fn responses(route: &Route<Row>) -> Value {
    let Operation { answer, schema, kind, .. } = &route.resource.operation;
    let mut content = json!({ "application/json": { "schema": reference("schemas", schema) } });
    let has_csv = !matches!(
        kind,
        OperationKind::Plain | OperationKind::List { .. } | OperationKind::Groups | OperationKind::Bills
    );
    if let (true, Some(content)) = (has_csv, content.as_object_mut()) {
        content.insert("text/csv".to_owned(), json!({ "schema": { "type": "string" } }));
    }
    let mut success =
        Map::from_iter([("description".to_owned(), json!(answer)), ("content".to_owned(), content)]);
    let mut errors = vec![("401", "Unauthorized"), ("403", "Forbidden"), ("503", "Unavailable")];
    let mut responses = Map::new();
    if let OperationKind::List { has_link, is_tagged } = *kind {
        let headers = [("ETag", is_tagged), ("Link", has_link)];
        let headers: Map<String, Value> = headers
            .into_iter()
            .filter(|(_, has)| *has)
            .map(|(name, _)| (name.to_owned(), reference("headers", name)))
            .collect();
        if !headers.is_empty() {
            success.insert("headers".to_owned(), headers.into());
        }
        if is_tagged {
            let unchanged = json!({
                "description": "Not modified since the ETag in If-None-Match.",
                "headers": { "ETag": reference("headers", "ETag") }
            });
            responses.insert("304".to_owned(), unchanged);
        }
        errors.extend([("400", "BadRequest"), ("414", "TooLong")]);
    }
    if matches!(kind, OperationKind::Energy | OperationKind::Series | OperationKind::Group) {
        success.insert("headers".to_owned(), json!({ "Kwapi-Position": reference("headers", "Position") }));
        errors.extend([("400", "BadRequest"), ("404", "NotFound"), ("414", "TooLong"), ("501", "NoLedger")]);
    }
    if *kind == OperationKind::Samples {
        success.insert("headers".to_owned(), json!({ "Link": reference("headers", "Link") }));
        errors.extend([("400", "BadRequest"), ("404", "NotFound"), ("414", "TooLong"), ("501", "NotKept")]);
    }
    if *kind == OperationKind::Bills {
        errors.push(("501", "NoBills"));
    }
    if *kind == OperationKind::Bill {
        if let Some(content) = success.get_mut("content").and_then(Value::as_object_mut) {
            for media_type in ["text/html", "text/plain"] {
                content.insert(media_type.to_owned(), json!({ "schema": { "type": "string" } }));
            }
        }
        errors.extend([("400", "BadRequest"), ("414", "TooLong"), ("501", "NoBills")]);
    }
    if *kind == OperationKind::Groups {
        errors.extend([("400", "BadRequest"), ("414", "TooLong")]);
    }
    if route.path.contains('{') {
        errors.push(("404", "NotFound"));
    }
    responses.insert("200".to_owned(), success.into());
    responses
        .extend(errors.into_iter().map(|(status, name)| (status.to_owned(), reference("responses", name))));
    responses.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Everything that a `$ref` within `value` names.
    fn references(value: &Value, all: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                all.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| references(member, all));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, all)),
            _ => {}
        }
    }

    #[test]
    fn everything_it_refers_to_is_in_it() {
        let document: Value = serde_json::from_str(&OPENAPI).unwrap();
        let mut all = BTreeSet::new();
        references(&document, &mut all);
        assert!(all.len() > 20, "{all:?}");
        for reference in all {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_route_is_described_once_under_a_name_of_its_own() {
        let document: Value = serde_json::from_str(&OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let ids: BTreeSet<_> =
            paths.values().map(|path| path["get"]["operationId"].as_str().unwrap()).collect();
        assert_eq!((paths.len(), ids.len()), (TABLE.table.len(), TABLE.table.len()));
    }
}
