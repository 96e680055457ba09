//! The OpenAPI document: written by hand, and held by tests to the [routes](super::route) and what they take.

/// As it is served.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::answers::{GROUP_PARAMETERS, PARAMETERS};
    use crate::api::bills::BILL_PARAMETERS;
    use crate::api::route::TABLE;

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
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
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
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
        assert_eq!(described, TABLE.table.iter().map(|route| route.path).collect());
        let ids: BTreeSet<_> =
            paths.values().map(|path| path["get"]["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), paths.len());
    }

    /// The names of the parameters of a path, in its template or its query.
    fn parameters(document: &Value, path: &str) -> BTreeSet<String> {
        let name = |parameter: &Value| {
            let pointer = parameter["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
            document.pointer(pointer).unwrap()["name"].as_str().unwrap().to_owned()
        };
        let parameters = document["paths"][path]["get"]["parameters"].as_array();
        parameters.into_iter().flatten().map(name).collect()
    }

    #[test]
    fn an_operation_has_the_parameters_that_it_takes() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        for (path, taken) in [
            ("/v2/energy", &PARAMETERS[..]),
            ("/v2/series", &PARAMETERS[..]),
            ("/v2/groups/{group}/", &[&["group"][..], &GROUP_PARAMETERS[..]].concat()),
            ("/v2/bills/{month}/", &[&["month"][..], &BILL_PARAMETERS[..]].concat()),
        ] {
            let taken: BTreeSet<String> = taken.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(parameters(&document, path), taken, "{path}");
        }
        for route in TABLE.table {
            let described = parameters(&document, route.path);
            let named: Vec<&str> = route.path.split(['{', '}']).skip(1).step_by(2).collect();
            assert!(named.iter().all(|name| described.contains(*name)), "{}", route.path);
        }
    }
}
