//! Guesses the word that somebody meant.

/// Returns ` (did you mean …?)` if one of the known words is much like `word`, else nothing.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    // The measure and the limit by which clap guesses a misspelt subcommand.
    let likeness = |other: &str| strsim::jaro(&word.to_lowercase(), &other.to_lowercase());
    known
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, other)| format!(" (did you mean `{other}`?)"))
        .unwrap_or_default()
}

/// Adds a guess to a warning of the library that quotes an unknown word and lists the known ones.
pub(crate) fn guessed(warning: &str) -> String {
    let parts = || {
        let (before, rest) = warning.split_once('`')?;
        let (word, after) = rest.split_once('`')?;
        let (_, list) = after.split_once("known are ").or_else(|| after.split_once("use "))?;
        let known = list.split(';').next()?.split([',', ' ']).filter(|word| !word.is_empty());
        Some(format!("{before}`{word}`{}{after}", did_you_mean(word, known)))
    };
    parts().unwrap_or_else(|| warning.to_owned())
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
            assert_eq!(guess(word), format!(" (did you mean `{meant}`?)"));
        }
        assert_eq!(guess("kafka"), "");
        assert_eq!(guess(""), "");
    }

    #[test]
    fn warnings_of_the_library_get_a_guess() {
        for (warning, guess) in [
            (
                "X names the unknown exporter `fiel`; use server, otlp, file or none, separated by commas",
                "file",
            ),
            (
                "OTEL_USAGE_MODE is `locla`, which is no mode; reporting is off; use on, local or off",
                "local",
            ),
            (
                "f.yaml:1:2 `usage_fiel` is not a key here; known are console, usage_file",
                "usage_file",
            ),
        ] {
            let said = guessed(warning);
            assert!(said.contains(&format!("` (did you mean `{guess}`?)")), "{said}");
        }
        for warning in ["no quote; use this", "`kafka` is unknown; use server, otlp", "`x"] {
            assert_eq!(guessed(warning), warning);
        }
    }
}
