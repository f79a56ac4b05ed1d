//! Tells names of models that a public hub accepts from paths and hosts of the operator.
//!
//! A name is `[organisation/]name[:tag][@revision]`, or a listed registry before up to three parts. Letters of
//! every script count, because hubs accept them. A text that may also be a path, a host or an address is no name, because a
//! hidden name costs the receiver a value, and a sent path costs the operator a secret.

use crate::sanitize::{SCHEMES, TEXT};

/// Public registries whose host may stand before a name.
const REGISTRIES: [&str; 14] = [
    "docker.io",
    "gcr.io",
    "ghcr.io",
    "hf.co",
    "huggingface.co",
    "index.docker.io",
    "modelscope.ai",
    "modelscope.cn",
    "nvcr.io",
    "ollama.com",
    "public.ecr.aws",
    "quay.io",
    "registry.ollama.ai",
    "www.modelscope.cn",
];

/// Endings of a name of one part that make it a host.
#[rustfmt::skip]
const HOST_ENDINGS: [&str; 20] = [
    "arpa", "cloud", "com", "corp", "dev", "edu", "example", "gov", "home", "internal", "intranet", "invalid",
    "io", "lan", "local", "localdomain", "localhost", "net", "org", "test",
];

/// Names of folders that are no organisation's.
#[rustfmt::skip]
const FOLDERS: [&str; 22] = [
    "cache", "checkpoints", "data", "home", "media", "mnt", "models", "nfs", "opt", "root", "scratch", "share",
    "shared", "srv", "storage", "tmp", "users", "usr", "var", "volumes", "weights", "workspace",
];

/// Words before a colon that are no name, beside the schemes of URLs.
const PREFIXES: [&str; 8] = ["data", "git", "host", "localhost", "mailto", "ssh", "svn", "urn"];

/// Returns whether a hub or a listed registry accepts the name, and nothing else can be meant.
pub(crate) fn is_public(text: &str) -> bool {
    if text.chars().nth(TEXT).is_some() {
        return false;
    }
    let (name, revision) = match text.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (text, None),
    };
    let (path, last) =
        name.rsplit_once('/').map_or((None, name), |(path, last)| (Some(path), last));
    let (last, tag) = match last.split_once(':') {
        Some((last, tag)) => (last, Some(tag)),
        None => (last, None),
    };
    let mut parts: Vec<&str> = path.map_or_else(Vec::new, |path| path.split('/').collect());
    parts.push(last);
    parts.iter().all(|one| is_part(one))
        && has_public_place(&parts, tag)
        && tag.is_none_or(|tag| is_tag(tag, &parts))
        && revision.is_none_or(|revision| is_revision(revision, parts.len()))
}

/// Returns whether the parts are an organisation's or begin with a listed registry.
fn has_public_place(parts: &[&str], tag: Option<&str>) -> bool {
    let [first, others @ ..] = parts else { return false };
    if is_one_of(first, &REGISTRIES) {
        return (1..=3).contains(&others.len());
    }
    let ending = first.rsplit_once('.').map(|(_, ending)| ending);
    let alone = others.is_empty() && tag.is_none();
    let host = if alone {
        // A dot is common in the name itself: `llama.cpp`.
        ending.is_some_and(|ending| is_one_of(ending, &HOST_ENDINGS))
    } else {
        ending.is_some_and(|ending| ending.chars().all(char::is_alphabetic))
    };
    let foreign_script = first.to_ascii_lowercase().split('.').any(|one| one.starts_with("xn--"));
    let folder = !others.is_empty() && is_one_of(first, &FOLDERS);
    let local = folder || first.eq_ignore_ascii_case("localhost");
    others.len() < 2 && !host && !foreign_script && !local && !is_address(first)
}

/// Returns whether the text has the form of an IPv4 address, also of its short forms: `127.1`, `0x7f000001`.
fn is_address(text: &str) -> bool {
    text.split('.').all(|label| {
        let digits = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
        digits.map_or_else(
            || label.chars().all(char::is_numeric),
            |digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        )
    })
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with(['.', '-'])
        && !part.ends_with('.')
        && !part.contains("..")
        && part.chars().all(|c| is_letter(c) || matches!(c, '.' | '_' | '-'))
}

/// Returns whether the character is a visible letter or digit.
fn is_letter(c: char) -> bool {
    // Fillers of Hangul count as letters and show nothing.
    c.is_alphanumeric() && !matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// Returns whether this is a tag and the name before it no host, drive or scheme.
fn is_tag(tag: &str, parts: &[&str]) -> bool {
    let alone = match parts {
        // `host:8000` is a host and its port; `c:model` a path on a drive; `file:model` a URL.
        [name] => {
            !tag.chars().all(char::is_numeric)
                && name.chars().nth(1).is_some()
                && !is_one_of(name, &SCHEMES)
                && !is_one_of(name, &PREFIXES)
        }
        _ => true,
    };
    alone && is_plain(tag)
}

/// Returns whether this is a digest, or, after an organisation's name, the name of a branch or commit.
fn is_revision(revision: &str, parts: usize) -> bool {
    if let Some(digest) = revision.strip_prefix("sha256:") {
        return digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    if parts < 2 {
        // `alice@example`: a user and a host.
        return false;
    }
    let pull_request = revision.strip_prefix("refs/pr/");
    pull_request.is_some_and(|one| !one.is_empty() && one.bytes().all(|byte| byte.is_ascii_digit()))
        || (is_plain(revision)
            && !is_address(revision)
            && revision
                .rsplit_once('.')
                .is_none_or(|(_, ending)| !ending.chars().all(char::is_alphabetic)))
}

/// Returns whether the text is a word of registries: ASCII letters, digits and `._-`, at most 128 characters.
fn is_plain(text: &str) -> bool {
    text.len() <= 128 && text.is_ascii() && is_part(text)
}

fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::is_public;

    #[rustfmt::skip]
    const NAMES: &[&str] = &[
        "gpt2",
        "llama3",
        "llama3:8b",
        "llama3.1:70b-instruct-q4_K_M",
        "qwen2.5:7b",
        "qwen2.5vl:7b",
        "gpt-oss:20b",
        "deepseek-r1:latest",
        "gpt-3.5-turbo",
        "llama.cpp",
        "Qwen3-8B",
        "meta-llama/Llama-3.1-8B-Instruct",
        "Qwen/Qwen2.5-7B",
        "unsloth/Qwen3-0.6B-GGUF:Q4_K_M",
        "org/model@main",
        "org/model@v1.5",
        "org/model@refs/pr/12",
        "org/model@0123456789abcdef0123456789abcdef01234567",
        "org/model:8080",
        "org/model:tag@sha256:DIGEST",
        "llama3@sha256:DIGEST",
        "llama3:8b@sha256:DIGEST",
        "01-ai/Yi-34B",
        "hf-internal-testing/tiny-random-LlamaForCausalLM",
        "Org-1.5/model",
        "under_score/Model_1",
        "通义千问/千问-7B",
        "千问",
        "модель/русская-7b",
        "モデル:8b",
        "عربي/نموذج",
        "한국어/모델-8b",
        "mine/models",
        "registry.ollama.ai/library/llama3:8b",
        "ollama.com/library/llama3",
        "hf.co/unsloth/Qwen3-0.6B-GGUF:Q4_K_M",
        "HF.co/org/model",
        "huggingface.co/org/model",
        "modelscope.cn/models/org/model",
        "ghcr.io/org/model:1.0",
        "docker.io/ai/smollm2:360M-Q4_K_M",
        "docker.io/smollm2",
        "nvcr.io/nim/meta/llama3-8b-instruct:1.0.0",
        "quay.io/org/model@sha256:DIGEST",
        "public.ecr.aws/org/model",
        "user/llama3:8b",
    ];

    #[rustfmt::skip]
    const HIDDEN: &[&str] = &[
        "/home/alice/models/secret",
        "/模型/私",
        "/модели",
        "/",
        "//server/share",
        "./checkpoint",
        "../checkpoint",
        "..",
        ".",
        ".hidden",
        ".hidden/model",
        "~/model",
        "~alice/model",
        "~",
        "a/b/c",
        "org/model/",
        "org//model",
        "models/org/name/weights",
        "org/..",
        "org/a..b",
        r"C:\models\mine",
        r"C:\",
        "C:",
        "C:/x",
        "C:/models/mine",
        "models/mine",
        "Users/alice",
        "tmp/m",
        "mnt/llama3:8b",
        "c:model",
        "D:模型",
        r"\\server\share",
        r"models\mine",
        "file:/home/alice",
        "file:model",
        "FILE:model",
        "http:x",
        "s3:bucket",
        "mailto:alice",
        "localhost",
        "localhost/x",
        "LOCALHOST/x",
        "localhost:8000",
        "localhost:model",
        "registry.internal/x",
        "registry.internal",
        "registry.internal:5000/x",
        "models.corp.internal/llama",
        "models.example.org/llama",
        "models.example.org:tag",
        "example.org",
        "例え.テスト/x",
        "xn--r8jz45g.xn--zckzah/x",
        "xn--p1ai/x",
        "hf.co.evil.example/org/x",
        "evil-hf.co/org/x",
        "hf.co:443/org/x",
        "hf.co",
        "hf.co/a/b/c/d",
        "hf.co./org/x",
        "host:8000",
        "something:8080",
        "host:8000/x",
        "host:path/x",
        "user@host:path",
        "alice@example.com",
        "alice@main",
        "git@github.com:org/x",
        "org/alice@example.com",
        "org/model@10.0.0.5",
        "org/model@a@b",
        "org/model@",
        "org/model:",
        ":tag",
        "@main",
        "a:b:c",
        "org/model:a:b",
        "::1",
        "fe80::1",
        "[::1]/x",
        "[::1]:8000",
        "2001:db8::1/x",
        "10.0.0.5",
        "10.0.0.5/models",
        "10.0.0.5:8000",
        "10.0.0.5:model",
        "127.1/x",
        "0x7f000001/x",
        "2130706433/x",
        "１２７.０.０.１/x",
        "host:８０８０",
        "llama3@sha256:abc",
        "model name",
        " gpt2",
        "gpt2\t",
        "org/model\n",
        "org/mo\u{0}del",
        "org/mo\u{200b}del",
        "org/\u{202e}ledom",
        "org/mo\u{2066}del",
        "\u{feff}gpt2",
        "org/\u{3164}",
        "org/mo\u{ad}del",
        "Ｃ：＼x",
        "例え。テスト/x",
        "$HOME/model",
        "%2Fhome%2Falice",
        "model?x=1",
        "model#x",
        "a,b",
        "*",
    ];

    #[test]
    fn names_of_hubs_are_kept_and_all_that_may_be_a_path_or_a_host_is_hidden() {
        let digest = "a3".repeat(32);
        let with_digest = |name: &&str| name.replace("DIGEST", &digest);
        let wrong: Vec<String> =
            NAMES.iter().map(with_digest).filter(|name| !is_public(name)).collect();
        assert!(wrong.is_empty(), "hidden: {wrong:?}");
        let wrong: Vec<&&str> = HIDDEN.iter().filter(|name| is_public(name)).collect();
        assert!(wrong.is_empty(), "kept: {wrong:?}");
    }

    #[test]
    fn a_long_name_is_kept_whole_or_hidden() {
        let long = |organisation: usize, name: usize| {
            is_public(&format!("{}/{}", "o".repeat(organisation), "千".repeat(name)))
        };
        assert!(long(8, 97) && long(100, 155));
        assert!(!long(100, 156));
    }
}
