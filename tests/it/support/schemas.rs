//! The generated JSON Schemas, and an independent validator that holds payloads against them.
//!
//! In: a flat message as it was captured. Out: nothing, or a panic with what the schema says against it. One
//! file for each message: `docs/schema/<contract, with - for />/<message>.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    folder.join(contract.replace('/', "-")).join(format!("{message}.json"))
}

/// Whether there is a schema at all; a contract of the test's own has none.
fn of(contract: &str, message: &str) -> Option<&'static Validator> {
    SCHEMAS.get(&(contract.to_owned(), message.to_owned()))
}

/// `payload` is what the schema of this message says.
pub(crate) fn check(contract: &str, message: &str, payload: &Json) {
    let Some(schema) = of(contract, message) else { return };
    if let Err(mistakes) = schema.validate(payload) {
        panic!("{contract} {message}: {mistakes} in {payload}");
    }
}

/// `payload` is one of the messages of the built-in contracts: of those of its `message_type`, if it says one.
pub(crate) fn check_any(payload: &Json) {
    let said = payload.get("message_type").and_then(Json::as_str);
    let mut like =
        SCHEMAS.iter().filter(|((_, name), _)| said.is_none_or(|said| said == name)).peekable();
    if like.peek().is_some() {
        assert!(like.any(|(_, schema)| schema.is_valid(payload)), "no schema has {payload}");
    }
}
