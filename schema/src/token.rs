//! Masks credentials in free text by their shape: the prefixes that issuers give to their tokens.
//!
//! A token may stand wherever text may stand, for example pasted in place of a model's name.

use std::borrow::Cow;

/// Replaces a token.
pub(crate) const REMOVED: &str = "<removed>";

/// Beginnings of tokens, each with the fewest characters that follow it in a real one or in a part of one.
const PREFIXES: [(&str, usize); 24] = [
    ("AIza", 30),
    ("AKIA", 16),
    ("ASIA", 16),
    ("api_org_", 10),
    ("dckr_pat_", 10),
    ("eyJ", 24),
    ("ghp_", 10),
    ("gho_", 10),
    ("ghr_", 10),
    ("ghs_", 10),
    ("ghu_", 10),
    ("github_pat_", 10),
    ("glpat-", 10),
    ("gsk_", 10),
    ("hf_", 10),
    ("npm_", 20),
    ("nvapi-", 10),
    ("pypi-", 20),
    ("r8_", 20),
    ("sk-", 16),
    ("sk_live_", 10),
    ("sk_test_", 10),
    ("xoxb-", 10),
    ("xoxp-", 10),
];

/// Returns the text with every token replaced by `<removed>`.
pub(crate) fn mask(text: &str) -> Cow<'_, str> {
    let Some((start, end)) = find(text) else { return Cow::Borrowed(text) };
    let mut masked = String::with_capacity(text.len());
    let (mut rest, mut token) = (text, Some((start, end)));
    while let Some((start, end)) = token {
        masked.push_str(rest.get(..start).unwrap_or(""));
        masked.push_str(REMOVED);
        rest = rest.get(end..).unwrap_or("");
        token = find(rest);
    }
    masked.push_str(rest);
    Cow::Owned(masked)
}

/// Returns where the first token begins and ends.
fn find(text: &str) -> Option<(usize, usize)> {
    let mut at = 0_usize;
    for word in text.split_inclusive(|c: char| !is_part(c)) {
        let run = word.trim_end_matches(|c: char| !is_part(c));
        // The dots of a web token belong to it; those around a word do not.
        let is_token = |(prefix, least): &(&str, usize)| {
            run.strip_prefix(prefix).is_some_and(|rest| {
                rest.chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '-').count()
                    >= *least
            })
        };
        if PREFIXES.iter().any(is_token) {
            return Some((at, at.saturating_add(run.len())));
        }
        at = at.saturating_add(word.len());
    }
    None
}

const fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn tokens_are_masked_and_words_that_begin_like_one_are_kept() {
        for (text, kept) in [
            ("hf_abcdefghijKLMNOPqrstuvwxyz01234567", "<removed>"),
            ("my-org/hf_abcdefghijKLMNOPqrstuvwxyz", "my-org/<removed>"),
            ("token=sk-proj-abcdefghij0123456789, x", "token=<removed>, x"),
            ("sk-ant-api03-abcdefghij0123456789 ghp_abcdefghij0123456789", "<removed> <removed>"),
            ("eyJhbGciOiJIUzI1NiIsInR5cCI6.eyJzdWIiOiIx.c2ln", "<removed>"),
            ("AKIAIOSFODNN7EXAMPLE", "<removed>"),
            ("ü hf_abcdefghij0123456789 ü", "ü <removed> ü"),
            ("hf-internal-testing/tiny-random-LlamaForCausalLM", ""),
            ("hf_model", ""),
            ("desk-research/task-classification-large-v2", ""),
            ("sk-learn", ""),
            ("Intel(R) Xeon(R) Platinum 8488C", ""),
            ("<removed>", ""),
            ("", ""),
        ] {
            let expected = if kept.is_empty() { text } else { kept };
            assert_eq!(mask(text), expected);
            assert_eq!(mask(&mask(text)), expected, "a second time");
        }
    }
}
