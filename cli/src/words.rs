//! Guesses the word that somebody meant.

/// Returns `; did you mean …?` if one of the known words is much like `word`, else nothing.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    // The measure and the limit by which clap guesses a misspelt subcommand.
    let likeness = |other: &str| strsim::jaro(&word.to_lowercase(), &other.to_lowercase());
    known
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, other)| format!("; did you mean `{other}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_guessed_and_another_is_not() {
        let known = ["server", "otlp", "file", "console"];
        let guess = |word| did_you_mean(word, known.into_iter());
        for (word, meant) in
            [("fiel", "file"), ("sever", "server"), ("oltp", "otlp"), ("FILE", "file")]
        {
            assert_eq!(guess(word), format!("; did you mean `{meant}`?"));
        }
        assert_eq!(guess("kafka"), "");
        assert_eq!(guess(""), "");
    }
}
