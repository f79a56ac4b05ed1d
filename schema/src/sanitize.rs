//! Sanitizers: named steps that a value goes through before it becomes part of a record.
//!
//! Each step is pure, and a second run changes nothing, so that the bridge can apply it again. Several
//! steps run one after the other. `docs/receiver/compatibility.md` explains where they differ from the
//! original clients on purpose.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::token::{REMOVED, mask};
use crate::{Type, json, model_name};

/// Longest free text, in characters: long enough for every CPU, device and model name seen.
pub const TEXT: usize = 256;

/// Longest `env_var_json`, in characters: five short settings take about 200.
pub const SETTINGS: usize = 1024;

/// The sanitizer of free text, which only cuts its length.
pub const FREE_TEXT: &[Sanitizer] = &[Sanitizer::CapLen(TEXT)];

/// No sanitizer, for numbers, switches and Resource attributes.
pub const AS_IS: &[Sanitizer] = &[];

/// Most entries of a list that are read. The longest list known has five.
pub const LIST: usize = 64;

/// The schemes of URLs that are sent. Another word before `://` may be a password.
#[rustfmt::skip]
pub(crate) const SCHEMES: [&str; 43] = [
    "abfs", "abfss", "audit", "az", "azure", "blackhole", "cos", "dfs", "external", "file", "fs",
    "ftp", "gcs", "gs", "hdfs", "hf", "http", "https", "infinistore", "lm", "memcached", "mock",
    "modelscope", "mooncake", "mooncakestore", "nfs", "oci", "oss", "plugin", "r2", "redis",
    "redis-cluster", "redis-sentinel", "rediss", "s3", "s3a", "sagemaker-hyperpod", "tcp", "tos",
    "unix", "valkey", "valkeys", "weka",
];

/// Replaces a model name that is a path on this machine.
const LOCAL: &str = "<local>";

/// Replaces a word that is not on the list.
const OTHER: &str = "other";

/// One step that a value goes through before it may leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Sanitizer {
    /// At most this many characters; the rest is cut. Tokens by their shape become `<removed>`.
    CapLen(usize),
    /// One of these words, in the spelling of the list; anything else becomes `other`.
    Choice(Cow<'static, [Cow<'static, str>]>),
    /// A model name: kept if a model hub or a listed public registry accepts it (`organisation/name`,
    /// `name:tag`, `organisation/name@revision`), the scheme alone if it is a URL, `<removed>` if it holds
    /// a token, `<local>` if it is or may be anything else, such as a path or a host.
    PathOrRepoId,
    /// A number rounded to this many significant decimal digits: 85029158912 becomes 85000000000
    /// with two.
    RoundSignificant(u8),
    /// A URL without anything but its scheme: `redis://user:secret@host:6379` becomes `redis://`.
    /// An unknown scheme is removed.
    SchemeOnly,
    /// A UUID in lower case with hyphens; anything else becomes the empty text.
    Uuid,
    /// The settings of `env_var_json`: only vLLM's five keys, with booleans, nulls and short text.
    VllmSettings,
}

impl Sanitizer {
    /// A choice among these words; anything else becomes `other`.
    #[must_use]
    pub const fn choice(words: &'static [Cow<'static, str>]) -> Self {
        Self::Choice(Cow::Borrowed(words))
    }

    /// Returns the text after this step. Steps for numbers do not change it.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self {
            Self::CapLen(limit) => match mask(text) {
                Cow::Borrowed(text) => Cow::Borrowed(cap_len(text, *limit)),
                Cow::Owned(text) => Cow::Owned(cap_len(&text, *limit).to_owned()),
            },
            Self::Choice(words) => {
                let known = words.iter().any(|word| word == text);
                Cow::Borrowed(if known { text } else { OTHER })
            }
            Self::PathOrRepoId => path_or_repo_id(text),
            Self::RoundSignificant(_) => Cow::Borrowed(text),
            Self::SchemeOnly => Cow::Owned(scheme_only(text)),
            Self::Uuid => Cow::Owned(uuid(text)),
            Self::VllmSettings => Cow::Owned(vllm_settings(text)),
        }
    }

    /// Returns the whole number after this step. Steps for text do not change it.
    #[must_use]
    pub fn int(&self, number: i64) -> i64 {
        match self {
            Self::RoundSignificant(digits) => round_int(number, *digits),
            _ => number,
        }
    }

    /// Returns the number after this step. Steps for text do not change it.
    #[must_use]
    pub fn float(&self, number: f64) -> f64 {
        match self {
            // Formatting rounds decimally, and correctly for every number.
            Self::RoundSignificant(digits) => {
                let decimals = usize::from(digits.saturating_sub(1));
                format!("{number:.decimals$e}").parse().unwrap_or(number)
            }
            _ => number,
        }
    }

    /// Returns whether the step can change a value of this type.
    #[must_use]
    pub const fn has_effect_on(&self, ty: Type) -> bool {
        match self {
            Self::RoundSignificant(_) => ty.is_number(),
            _ => ty.is_text(),
        }
    }

    /// Returns whether the step leaves free text free, apart from its length.
    #[must_use]
    pub const fn leaves_free_text(&self) -> bool {
        matches!(self, Self::CapLen(_) | Self::RoundSignificant(_))
    }
}

/// Writes the name that the contract's documents use: `cap_len(256)`.
impl fmt::Display for Sanitizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CapLen(limit) => write!(f, "cap_len({limit})"),
            Self::Choice(words) => write!(f, "choice({})", words.join(", ")),
            Self::PathOrRepoId => f.write_str("path_or_repo_id"),
            Self::RoundSignificant(digits) => write!(f, "round_significant({digits})"),
            Self::SchemeOnly => f.write_str("scheme_only"),
            Self::Uuid => f.write_str("uuid"),
            Self::VllmSettings => f.write_str("vllm_settings"),
        }
    }
}

/// Rounds to so many significant digits, half away from zero. A result beyond 64 bits is rounded down.
fn round_int(number: i64, digits: u8) -> i64 {
    let places = number.unsigned_abs().checked_ilog10().map_or(1, |log| log.saturating_add(1));
    let Some(step) = 10_i64.checked_pow(places.saturating_sub(u32::from(digits.max(1)))) else {
        return number;
    };
    let rest = number.checked_rem(step).unwrap_or(0);
    let down = number.saturating_sub(rest);
    if rest.unsigned_abs().saturating_mul(2) < step.unsigned_abs() {
        return down;
    }
    down.checked_add(if number < 0 { step.saturating_neg() } else { step }).unwrap_or(down)
}

fn uuid(text: &str) -> String {
    uuid::Uuid::try_parse(text.trim()).map(|id| id.hyphenated().to_string()).unwrap_or_default()
}

fn cap_len(text: &str, limit: usize) -> &str {
    match text.char_indices().nth(limit) {
        Some((end, _)) => text.get(..end).unwrap_or(""),
        None => text,
    }
}

/// Returns the scheme of a URL, or of the first in a list of URLs.
///
/// Anything that is not a URL is removed, because it may be a path, a host name or a secret.
fn scheme_only(text: &str) -> String {
    let scheme = text.trim_start().split_once("://").map_or("", |(scheme, _)| scheme);
    match SCHEMES.iter().find(|known| known.eq_ignore_ascii_case(scheme)) {
        Some(known) => format!("{known}://"),
        None => REMOVED.to_owned(),
    }
}

/// Keeps a model name; hides paths, URLs and tokens.
fn path_or_repo_id(text: &str) -> Cow<'_, str> {
    if text.contains("://") {
        return Cow::Owned(scheme_only(text));
    }
    if matches!(mask(text), Cow::Owned(_)) {
        return Cow::Borrowed(REMOVED);
    }
    let kept = text.is_empty() || text == REMOVED || model_name::is_public(text);
    Cow::Borrowed(if kept { text } else { LOCAL })
}

/// The settings of every release, in their order.
const VLLM_SETTINGS: [&str; 8] = [
    "VLLM_USE_MODELSCOPE",
    "VLLM_USE_TRITON_FLASH_ATTN",
    VLLM_ATTENTION_BACKEND,
    "VLLM_USE_FLASHINFER_SAMPLER",
    "VLLM_PP_LAYER_PARTITION",
    "VLLM_USE_TRITON_AWQ",
    "VLLM_USE_V1",
    "VLLM_ENABLE_V1_MULTIPROCESSING",
];

/// The setting that holds a word of vLLM's own, such as `FLASH_ATTN`.
const VLLM_ATTENTION_BACKEND: &str = "VLLM_ATTENTION_BACKEND";

fn vllm_settings(text: &str) -> String {
    let parsed: Option<serde_json::Map<String, Json>> =
        if text.len() <= SETTINGS { serde_json::from_str(text).ok() } else { None };
    let parsed = parsed.unwrap_or_default();
    let kept = VLLM_SETTINGS.iter().filter_map(|key| {
        let value = match parsed.get(*key)? {
            value @ (Json::Bool(_) | Json::Null) => value.clone(),
            // Only layer counts such as `20,20` are kept.
            Json::String(text) if text.chars().all(|c| c.is_ascii_digit() || c == ',') => {
                Json::String(cap_len(text, TEXT).to_owned())
            }
            Json::String(word) if *key == VLLM_ATTENTION_BACKEND && is_word(word) => {
                Json::String(word.clone())
            }
            _ => Json::Null,
        };
        Some((*key, value))
    });
    json::to_string(&Ordered(kept.collect()))
}

/// Returns whether the text is a name that a program gives to its own parts, in capitals.
fn is_word(text: &str) -> bool {
    text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// A JSON object that keeps the order of its keys, whatever features serde_json was built with.
struct Ordered(Vec<(&'static str, Json)>);

impl Serialize for Ordered {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_only_removes_all_but_the_scheme() {
        for (url, kept) in [
            ("redis://user:secret@cache.example.internal:6379/0?token=x", "redis://"),
            ("lm://one.example:1,lm://two.example:2", "lm://"),
            ("sagemaker-hyperpod://x", "sagemaker-hyperpod://"),
            ("secretpass://x", REMOVED),
            ("hunter2://h:1", REMOVED),
            ("REDIS://h:1", "redis://"),
            ("host.example:6379", REMOVED),
            ("/mnt/secret", REMOVED),
            ("pass word://x", REMOVED),
            ("", REMOVED),
        ] {
            assert_eq!(Sanitizer::SchemeOnly.text(url), kept, "{url}");
        }
    }

    #[test]
    fn path_or_repo_id_hides_paths() {
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
            ("10.0.0.5/models", LOCAL),
            ("10.0.0.5", LOCAL),
            ("localhost/models", LOCAL),
            ("models.corp.internal/llama", LOCAL),
            ("secretpass://x", REMOVED),
            ("hf_abcdefghijKLMNOPqrstuvwxyz01234567", REMOVED),
            ("sk-proj-abcdefghij0123456789", REMOVED),
            ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ] {
            assert_eq!(Sanitizer::PathOrRepoId.text(name), kept, "{name}");
        }
    }

    #[test]
    fn vllm_settings_keep_their_keys_and_words_of_vllm() {
        let text = r#"{"HF_TOKEN": "hf_secret", "VLLM_USE_TRITON_AWQ": false,
                       "VLLM_USE_MODELSCOPE": "https://secret", "VLLM_PP_LAYER_PARTITION": "20,20"}"#;
        assert_eq!(
            Sanitizer::VllmSettings.text(text),
            r#"{"VLLM_USE_MODELSCOPE": null, "VLLM_PP_LAYER_PARTITION": "20,20", "VLLM_USE_TRITON_AWQ": false}"#
        );
        assert_eq!(Sanitizer::VllmSettings.text("not json"), "{}");
        for (word, kept) in
            [("FLASH_ATTN", "\"FLASH_ATTN\""), ("my-secret", "null"), ("hf_X", "null")]
        {
            let text = format!("{{\"VLLM_ATTENTION_BACKEND\": \"{word}\", \"VLLM_USE_V1\": true}}");
            assert_eq!(
                Sanitizer::VllmSettings.text(&text),
                format!("{{\"VLLM_ATTENTION_BACKEND\": {kept}, \"VLLM_USE_V1\": true}}")
            );
        }
    }

    #[test]
    fn cap_len_cuts_between_characters() {
        assert_eq!(Sanitizer::CapLen(3).text("äöüß"), "äöü");
        assert_eq!(Sanitizer::CapLen(4).text("äöüß"), "äöüß");
    }

    #[test]
    fn a_second_run_changes_nothing() {
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
                Sanitizer::choice(&[Cow::Borrowed("a/b")]),
                Sanitizer::PathOrRepoId,
                Sanitizer::SchemeOnly,
                Sanitizer::Uuid,
                Sanitizer::VllmSettings,
            ] {
                let once = step.text(text);
                assert_eq!(step.text(&once), once, "{step:?} of {text}");
            }
        }
    }

    #[test]
    fn choice_replaces_unknown_words() {
        let step = Sanitizer::choice(&[Cow::Borrowed("dram"), Cow::Borrowed("gds")]);
        for (word, kept) in [("dram", "dram"), ("DRAM", "other"), ("", "other"), ("x", "other")] {
            assert_eq!(step.text(word), kept);
        }
    }

    #[test]
    fn uuid_removes_everything_else() {
        let id = "f4b6a2c8-9d17-4e57-8a0b-6c1d2e3f4a5b";
        assert_eq!(Sanitizer::Uuid.text(&id.to_uppercase()), id);
        assert_eq!(Sanitizer::Uuid.text("alice@example.com"), "");
    }

    #[test]
    fn round_significant_keeps_the_first_digits() {
        for (number, digits, kept) in [
            (85_029_158_912, 2, 85_000_000_000),
            (85_500_000_000, 2, 86_000_000_000),
            (-1_550, 2, -1_600),
            (7, 3, 7),
            (0, 1, 0),
            (999, 1, 1_000),
            (1_234, 0, 1_000),
            (i64::MAX, 1, 9_000_000_000_000_000_000),
            (i64::MIN, 1, -9_000_000_000_000_000_000),
        ] {
            let step = Sanitizer::RoundSignificant(digits);
            assert_eq!(step.int(number), kept, "{number} to {digits}");
            assert_eq!(step.int(kept), kept, "a second time");
        }
        let step = Sanitizer::RoundSignificant(2);
        for (number, kept) in [(0.8765, 0.88), (-1234.5, -1200.0), (0.0, 0.0), (1e300, 1e300)] {
            assert_eq!(step.float(number).to_bits(), f64::to_bits(kept));
        }
    }
}
