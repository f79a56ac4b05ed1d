//! Validates flat messages against the generated JSON Schemas, with a validator of another project.
//!
//! Each message has a file: `docs/receiver/schema/<contract, with - for />/<message>.json`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use jsonschema::Validator;
use otel_usage::Contract;
use serde_json::Value as Json;

/// By contract and message.
static SCHEMAS: LazyLock<BTreeMap<(String, String), Validator>> = LazyLock::new(|| {
    let mut all = BTreeMap::new();
    for contract in Contract::built_in() {
        for spec in contract.messages.iter() {
            let file = file(&contract.id, &spec.name);
            let text = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let schema = serde_json::from_str(&text).unwrap();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            all.insert((contract.id.to_string(), spec.name.to_string()), validator);
        }
    }
    all
});

fn file(contract: &str, message: &str) -> PathBuf {
    let folder = crate::root().join("docs/receiver/schema");
    folder.join(contract.replace('/', "-")).join(format!("{message}.json"))
}

/// Returns the schema of a message. The contract of a test has none.
fn of(contract: &str, message: &str) -> Option<&'static Validator> {
    SCHEMAS.get(&(contract.to_owned(), message.to_owned()))
}

/// Returns the fields of a payload that the schema of its message does not allow.
pub fn wrong_fields(contract: &str, message: &str, payload: &Json) -> Vec<String> {
    let mistakes = of(contract, message).unwrap().iter_errors(payload);
    mistakes.map(|one| one.instance_path().as_str().trim_start_matches('/').to_owned()).collect()
}

/// Checks a payload against the schema of its message, if there is one.
pub fn check(contract: &str, message: &str, payload: &Json) {
    let Some(schema) = of(contract, message) else { return };
    if let Err(mistakes) = schema.validate(payload) {
        panic!("{contract} {message}: {mistakes} in {payload}");
    }
}

/// Checks that the schema of some built-in message allows the payload. If the payload has a
/// `message_type`, only the messages of that name count.
pub fn check_any(payload: &Json) {
    let said = payload.get("message_type").and_then(Json::as_str);
    let mut like =
        SCHEMAS.iter().filter(|((_, name), _)| said.is_none_or(|said| said == name)).peekable();
    if like.peek().is_some() {
        assert!(like.any(|(_, schema)| schema.is_valid(payload)), "no schema has {payload}");
    }
}
