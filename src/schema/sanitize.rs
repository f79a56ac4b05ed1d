//! Sanitizers: what is done to text before it becomes part of a record.
//!
//! Each is named, pure, and changes nothing when it runs a second time, so that the bridge can
//! apply them once more. Where they differ from upstream on purpose, `docs/compatibility.md` says
//! why and whom it protects.

use serde_json::Value as Json;

use crate::json;

/// Longest free text, in characters: long enough for every CPU, device and model name seen.
pub const TEXT: usize = 256;

/// Longest `env_var_json`, in characters: five short settings take about 200.
pub const SETTINGS: usize = 1024;

/// Text that an engine or the machine writes freely: capped in length.
pub const FREE_TEXT: &[Sanitizer] = &[Sanitizer::CapLen(TEXT)];

/// Longest list that is read; the longest one known has five entries.
pub(crate) const LIST: usize = 64;

/// What is put in place of a text that may not leave.
const REMOVED: &str = "<removed>";

/// What is put in place of a model name that is a path on this machine.
const LOCAL: &str = "<local>";

/// One step that makes a text fit to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sanitizer {
    /// At most this many characters; the rest is cut.
    CapLen(usize),
    /// A model name: kept if it looks like `name` or `organisation/name`, `<local>` if it is a
    /// path, the scheme alone if it is a URL.
    PathOrRepoId,
    /// A URL without anything but its scheme: `redis://user:secret@host:6379` becomes `redis://`.
    SchemeOnly,
    /// The settings of `env_var_json`: only vLLM's five keys, with booleans, nulls and short text.
    VllmSettings,
}

impl Sanitizer {
    /// The text after this step.
    #[must_use]
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::CapLen(limit) => cap_len(text, limit).to_owned(),
            Self::PathOrRepoId => path_or_repo_id(text),
            Self::SchemeOnly => scheme_only(text),
            Self::VllmSettings => vllm_settings(text),
        }
    }
}

fn cap_len(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((end, _)) => text.get(..end).unwrap_or(""),
        None => text,
    }
}

/// The scheme of a URL, or of the first in a list of URLs. Anything that is not a URL is removed:
/// it may be a path, a host name or a secret.
fn scheme_only(text: &str) -> String {
    let scheme = text.trim_start().split_once("://").map_or("", |(scheme, _)| scheme);
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    // The longest scheme in use, `sagemaker-hyperpod`, has 18 letters.
    let plausible = (1..=32).contains(&scheme.len())
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(letters);
    if plausible { format!("{}://", scheme.to_ascii_lowercase()) } else { REMOVED.to_owned() }
}

/// A repository id is one or two parts of letters, digits and `._-`; everything else is a path or
/// a URL. A relative path of two plain parts (`models/mine`) cannot be told from a repository id.
fn path_or_repo_id(text: &str) -> String {
    if text.contains("://") {
        return scheme_only(text);
    }
    let part = |part: &str| {
        // The hub's own limit for one part is 96 characters.
        (1..=96).contains(&part.len())
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    let parts: Vec<&str> = text.split('/').collect();
    let repo_id = parts.len() <= 2 && parts.into_iter().all(part);
    if repo_id || text.is_empty() || text == REMOVED { text.to_owned() } else { LOCAL.to_owned() }
}

const VLLM_SETTINGS: [&str; 5] = [
    "VLLM_USE_MODELSCOPE",
    "VLLM_USE_FLASHINFER_SAMPLER",
    "VLLM_PP_LAYER_PARTITION",
    "VLLM_USE_TRITON_AWQ",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
];

fn vllm_settings(text: &str) -> String {
    let parsed: Option<serde_json::Map<String, Json>> =
        if text.len() <= SETTINGS { serde_json::from_str(text).ok() } else { None };
    let parsed = parsed.unwrap_or_default();
    let kept = VLLM_SETTINGS.iter().filter_map(|key| {
        let value = match parsed.get(*key)? {
            value @ (Json::Bool(_) | Json::Null) => value.clone(),
            // Layer counts such as `20,20`; anything else has no business here.
            Json::String(text) if text.chars().all(|c| c.is_ascii_digit() || c == ',') => {
                Json::String(cap_len(text, TEXT).to_owned())
            }
            _ => Json::Null,
        };
        Some((*key, value))
    });
    json::to_string(&Ordered(kept.collect()))
}

/// A JSON object that keeps the order of its keys, whatever features serde_json was built with.
struct Ordered(Vec<(&'static str, Json)>);

impl serde::Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_their_scheme_only() {
        for (url, kept) in [
            ("redis://user:secret@cache.example.internal:6379/0?token=x", "redis://"),
            ("lm://one.example:1,lm://two.example:2", "lm://"),
            ("sagemaker-hyperpod://x", "sagemaker-hyperpod://"),
            ("host.example:6379", REMOVED),
            ("/mnt/secret", REMOVED),
            ("pass word://x", REMOVED),
            ("", REMOVED),
        ] {
            assert_eq!(Sanitizer::SchemeOnly.apply(url), kept, "{url}");
        }
    }

    #[test]
    fn model_names_lose_paths() {
        for (name, kept) in [
            ("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"),
            ("gpt2", "gpt2"),
            ("/home/alice/models/secret", LOCAL),
            ("./checkpoint", LOCAL),
            ("../checkpoint", LOCAL),
            ("~/model", LOCAL),
            ("a/b/c", LOCAL),
            (r"C:\models\mine", LOCAL),
            ("s3://bucket/secret", "s3://"),
            ("file:///home/alice", "file://"),
            ("alice@example.com", LOCAL),
        ] {
            assert_eq!(Sanitizer::PathOrRepoId.apply(name), kept, "{name}");
        }
    }

    #[test]
    fn settings_keep_their_five_keys() {
        let text = r#"{"HF_TOKEN": "hf_secret", "VLLM_USE_TRITON_AWQ": false,
                       "VLLM_USE_MODELSCOPE": "https://secret", "VLLM_PP_LAYER_PARTITION": "20,20"}"#;
        assert_eq!(
            Sanitizer::VllmSettings.apply(text),
            r#"{"VLLM_USE_MODELSCOPE": null, "VLLM_PP_LAYER_PARTITION": "20,20", "VLLM_USE_TRITON_AWQ": false}"#
        );
        assert_eq!(Sanitizer::VllmSettings.apply("not json"), "{}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(Sanitizer::CapLen(3).apply("äöüß"), "äöü");
        assert_eq!(Sanitizer::CapLen(4).apply("äöüß"), "äöüß");
    }

    #[test]
    fn a_second_pass_changes_nothing() {
        for text in [
            "redis://a:b@c",
            "/home/x",
            "a/b",
            "{\"VLLM_USE_TRITON_AWQ\": true}",
            "ä",
            "",
            "s3://b/x",
        ] {
            for step in [
                Sanitizer::CapLen(2),
                Sanitizer::PathOrRepoId,
                Sanitizer::SchemeOnly,
                Sanitizer::VllmSettings,
            ] {
                let once = step.apply(text);
                assert_eq!(step.apply(&once), once, "{step:?} of {text}");
            }
        }
    }
}
