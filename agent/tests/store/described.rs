//! The server's description of itself, and whether an answer is as it says. Shared with the end-to-end tests, which ask the
//! agent itself.

use std::collections::BTreeMap;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Schemas of which an instance need not have every field: a tick says what changed, and only a parameter's problem
/// names it.
const PARTIAL: &[&str] = &["Tick", "Problem"];

/// The server's description of itself.
pub(crate) struct Description {
    document: Value,
    /// Its schemas, closed: see [`close`].
    schemas: Map<String, Value>,
}

impl Description {
    /// Reads what `/api/openapi.json` answers.
    pub(crate) fn new(document: Value) -> Self {
        let mut schemas = Map::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let whole = !PARTIAL.contains(&name.as_str());
            schemas.insert(name.clone(), close(schema, false, whole));
            schemas.insert(format!("{name}.open"), close(schema, true, whole));
        }
        Self { document, schemas }
    }

    /// Paths with a method, in lower case.
    pub(crate) fn paths(&self, method: &str) -> impl Iterator<Item = &str> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().filter(move |(_, item)| item.get(method).is_some()).map(|(path, _)| path.as_str())
    }

    /// Parameters of a path's GET.
    pub(crate) fn parameters(&self, path: &str) -> &[Value] {
        self.document["paths"][path]["get"]["parameters"].as_array().map_or(&[], Vec::as_slice)
    }

    /// What the answer of an endpoint must be.
    pub(crate) fn answer(&self, method: &str, path: &str, status: &str, kind: &str) -> Validator {
        let schema = &self.document["paths"][path][method]["responses"][status]["content"][kind]["schema"];
        assert!(schema.is_object(), "{method} {path} does not describe {status} as {kind}");
        let mut root = close(schema, false, true);
        root["components"] = json!({"schemas": self.schemas});
        jsonschema::validator_for(&root).unwrap()
    }
}

/// A schema that lets no property through that it does not name, and (`whole`) has every property that it names.
/// `part`: it is one of several that describe one object together, so the others' properties pass.
fn close(schema: &Value, part: bool, whole: bool) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let mut closed = Map::new();
    for (name, value) in fields {
        let value = match (name.as_str(), value) {
            ("$ref", Value::String(to)) if part => json!(format!("{to}.open")),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, schema)| (name.clone(), close(schema, false, true))).collect()
            }
            ("allOf", Value::Array(parts)) => parts.iter().map(|schema| close(schema, true, whole)).collect(),
            (_, Value::Array(items)) => items.iter().map(|schema| close(schema, false, true)).collect(),
            (_, value) => close(value, false, true),
        };
        closed.insert(name.clone(), value);
    }
    if let (Some(Value::Object(properties)), true) = (fields.get("properties"), whole) {
        closed.insert("required".into(), properties.keys().cloned().collect());
    }
    if !part && (fields.contains_key("properties") || fields.contains_key("allOf")) {
        closed.insert("unevaluatedProperties".into(), json!(false));
    }
    Value::Object(closed)
}

/// How `answer` differs from what is described; nothing when it does not.
pub(crate) fn faults(validator: &Validator, answer: &Value) -> Vec<String> {
    validator.iter_errors(answer).map(|fault| format!("{}: {fault}", fault.instance_path())).collect()
}

/// The lists of an answer by their place in it, and whether any at that place holds something.
pub(crate) fn lists(answer: &Value, at: &str, found: &mut BTreeMap<String, bool>) {
    match answer {
        Value::Array(items) => {
            *found.entry(at.to_owned()).or_default() |= !items.is_empty();
            items.iter().for_each(|item| lists(item, at, found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| lists(value, &format!("{at}.{name}"), found));
        }
        _ => {}
    }
}
