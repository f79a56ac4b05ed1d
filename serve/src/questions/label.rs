//! Turns what engines report into the labels of a table. Text that is no word of a closed list, or may be a path, an address
//! or a token, gets no label and is counted under *other*.

/// The label of a row: the upper and the lower level. `None` is counted under *other*.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Label {
    pub(crate) parent: Option<String>,
    pub(crate) label: Option<String>,
}

/// The report of an engine: its contract, then the facets that the table names.
pub(crate) type Reported<'a> = [Option<&'a str>];

/// Stands for a facet that was not reported.
const ABSENT: &str = "not reported";

fn one(label: Option<String>) -> Label {
    Label { parent: label, label: Some(String::new()) }
}

fn facet<'a>(reported: &Reported<'a>, at: usize) -> Option<&'a str> {
    reported.get(at).copied().flatten()
}

/// Contract, then minor version.
pub(crate) fn version(reported: &Reported<'_>) -> Label {
    let parent = facet(reported, 0).map(str::to_owned);
    let label = facet(reported, 1).map_or_else(|| Some(ABSENT.to_owned()), minor);
    Label { parent, label }
}

/// Contract.
pub(crate) fn contract(reported: &Reported<'_>) -> Label {
    one(facet(reported, 0).map(str::to_owned))
}

/// Returns `0.11` of `0.11.2rc1+cu128`.
fn minor(version: &str) -> Option<String> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        (1..=3).contains(&digits.len()).then_some(digits)
    };
    let version = version.strip_prefix('v').unwrap_or(version);
    let (major, rest) = version.split_once('.')?;
    let whole = number(major).filter(|digits| digits == major);
    Some(format!("{}.{}", whole?, number(rest)?))
}

/// A word of one facet that engines choose from a list.
pub(crate) fn word(reported: &Reported<'_>) -> Label {
    const WORDS: &[&str] = &[
        // provider
        "AWS",
        "AZURE",
        "GCP",
        "OCI",
        "RUNPOD",
        "UNKNOWN", //
        // context
        "UNKNOWN_CONTEXT",
        "LLM_CLASS",
        "API_SERVER",
        "OPENAI_API_SERVER",
        "OPENAI_BATCH_RUNNER",
        "ENGINE_CONTEXT", //
        // source
        "production",
        "production-docker-image",
        "ci-test",
        "DOCKER",
        "PIP",
        "CONDA", //
        // deployment_mode
        "single_process",
        "mp_server", //
        // dtype
        "torch.bfloat16",
        "torch.float16",
        "torch.float32",
        "torch.float8_e4m3fn",
        "torch.float8_e5m2",
    ];
    one(match facet(reported, 1) {
        None => Some(ABSENT.to_owned()),
        Some(text) => WORDS.iter().find(|word| **word == text).map(|word| (*word).to_owned()),
    })
}

/// Free text of one facet.
pub(crate) fn text(reported: &Reported<'_>) -> Label {
    one(match facet(reported, 1) {
        None => Some(ABSENT.to_owned()),
        Some(text) => is_plain(text).then(|| text.to_owned()),
    })
}

/// Names that a list joins by commas, in the order of the alphabet.
pub(crate) fn list(reported: &Reported<'_>) -> Label {
    let Some(list) = facet(reported, 1) else { return one(Some("none".to_owned())) };
    let mut names: Vec<&str> =
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    one(names.iter().all(|name| is_plain(name)).then(|| names.join(" + ")))
}

/// Cluster size, then shape: ranks of tensor, pipeline and data parallelism.
pub(crate) fn shape(reported: &Reported<'_>) -> Label {
    let rank = |at| facet(reported, at).map_or(Some(1), |text| text.parse::<u32>().ok());
    let (Some(tensor), Some(pipeline), Some(data)) = (rank(1), rank(2), rank(3)) else {
        return Label { parent: None, label: None };
    };
    let size = tensor.saturating_mul(pipeline).saturating_mul(data);
    let parent = match size {
        0 => return Label { parent: None, label: None },
        1 => "1 device",
        2 => "2 devices",
        3..=4 => "3–4 devices",
        5..=8 => "5–8 devices",
        9..=16 => "9–16 devices",
        17..=64 => "17–64 devices",
        _ => "more than 64 devices",
    };
    let label = format!("tensor {tensor}, pipeline {pipeline}, data {data}");
    Label { parent: Some(parent.to_owned()), label: Some(label) }
}

/// A number of bytes, by powers of four.
pub(crate) fn bytes(reported: &Reported<'_>) -> Label {
    const GIB: f64 = 1_073_741_824.0;
    one(match facet(reported, 1).map(str::parse::<f64>) {
        None => Some(ABSENT.to_owned()),
        Some(Err(_)) => None,
        Some(Ok(bytes)) => {
            let steps = [
                (4.0, "below 4 GiB"),
                (16.0, "4–16 GiB"),
                (64.0, "16–64 GiB"),
                (256.0, "64–256 GiB"),
                (1_024.0, "256 GiB–1 TiB"),
                (f64::INFINITY, "1 TiB and more"),
            ];
            let step = steps.iter().find(|(below, _)| bytes < below * GIB);
            step.map(|(_, label)| (*label).to_owned())
        }
    })
}

/// The upper bound of a bin of LMCache's histogram of lifetimes. Unit: minutes.
pub(crate) fn minutes(reported: &Reported<'_>) -> Label {
    let bin = |bound: i64| match bound {
        i64::MIN..=1 => "less than a minute",
        2..=5 => "1–5 minutes",
        6..=20 => "5–20 minutes",
        21..=60 => "20–60 minutes",
        61..=250 => "1–4 hours",
        251..=1_000 => "4–17 hours",
        _ => "17 hours and more",
    };
    let bound = facet(reported, 1).map(str::parse);
    one(match bound {
        None => Some(ABSENT.to_owned()),
        Some(bound) => bound.ok().map(bin).map(str::to_owned),
    })
}

/// The one row of a table that only counts.
pub(crate) fn all(_: &Reported<'_>) -> Label {
    one(Some("engines".to_owned()))
}

/// A label that the query itself makes.
pub(crate) fn made(reported: &Reported<'_>) -> Label {
    one(facet(reported, 1).map(str::to_owned))
}

/// Returns whether a text may be shown: no path, address or token, and no word of the page itself.
pub(crate) fn is_plain(text: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || " ._-+()".contains(c);
    (1..=64).contains(&text.len())
        && text.trim() == text
        && text.chars().all(letters)
        && !["other", ABSENT, "none"].contains(&text.to_ascii_lowercase().as_str())
        && !has_dotted_name(text)
        && text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
            .all(|word| !is_token(word))
}

/// Returns whether there is a dot in a word that is no number such as `2.1`: a host or an address.
fn has_dotted_name(text: &str) -> bool {
    text.split(' ').filter(|word| word.contains('.')).any(|word| {
        let number = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let parts: Vec<&str> = number.split('.').collect();
        let is_digits =
            |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        parts.len() != 2 || !parts.iter().all(is_digits)
    })
}

/// Returns whether a word looks random: long with digits in several places, or a long number.
fn is_token(word: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["hf_", "sk-", "ghp_", "nvapi-", "AKIA"];
    let digits: Vec<&str> =
        word.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty()).collect();
    let hex = word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex || digits.iter().any(|run| run.len() > 6)
        || (word.len() >= 16 && digits.len() >= 3)
        || BEGINNINGS.iter().any(|beginning| word.starts_with(beginning) && word.len() >= 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_may_be_paths_addresses_or_tokens_are_not_shown() {
        for text in [
            "NVIDIA H100 80GB HBM3",
            "AMD Instinct MI300X",
            "Intel(R) Data Center GPU Max 1550",
            "Qwen3VLMoeForConditionalGeneration",
            "DeepseekV32ForCausalLM",
            "TransformersForCausalLM(Llama4ForCausalLM)",
            "compressed-tensors",
            "fp8 v2.1",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "",
            "/models/secret",
            "C:\\models",
            "gpu@10.0.0.1",
            "10.0.0.1",
            "gpu-17.corp.example",
            "node7.internal",
            "hf_abcdefghijKLMNOP",
            "b8a1f6f1-3a5b-4d0e-9d2f-6f1f0c7b9e10",
            "d41d8cd98f00b204e9800998ecf8427e",
            "machine 20261128",
            "a1b2c3d4e5f6g7h8",
            "Other",
            "ünïcode",
            " padded",
            "x<script>",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn versions_are_cut_to_the_minor_one() {
        for (version, expected) in [
            ("0.11.0", Some("0.11")),
            ("0.11.2rc1.dev33+g0c7b9e10", Some("0.11")),
            ("v1.0", Some("1.0")),
            ("0.4", Some("0.4")),
            ("dev", None),
            ("10.0.0.1/8", Some("10.0")),
            ("2026.1128999", None),
            ("a.b", None),
        ] {
            assert_eq!(minor(version).as_deref(), expected, "{version}");
        }
    }

    #[test]
    fn sizes_are_grouped() {
        let shape = |ranks: [&'static str; 3]| {
            shape(&[Some("vllm/current"), Some(ranks[0]), Some(ranks[1]), Some(ranks[2])])
        };
        assert_eq!(shape(["4", "1", "2"]).parent.as_deref(), Some("5–8 devices"));
        assert_eq!(shape(["0", "1", "2"]).parent, None);
        let bytes = |text| bytes(&[None, Some(text)]).parent;
        assert_eq!(bytes("64424509440").as_deref(), Some("16–64 GiB"));
        assert_eq!(bytes("x"), None);
        assert_eq!(
            list(&[None, Some("nixl_store,fs,fs")]).parent.as_deref(),
            Some("fs + nixl_store")
        );
    }
}
