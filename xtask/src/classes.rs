//! Keeps a new class of data from being sent silently: the changelog has to name it first.

use otel_usage_schema::Contract;

/// The heading of the part of the changelog that says what is sent.
const HEADING: &str = "changes in what is sent";

/// Returns a line for each data class that a contract sends and that the changelog does not name beside it.
///
/// A line of the changelog names a class of a contract if it holds the contract's id in backticks, and the word.
pub(crate) fn unnamed<'a>(
    contracts: impl IntoIterator<Item = &'a Contract>,
    changelog: &str,
) -> Vec<String> {
    let lines = said(changelog);
    let mut unnamed = Vec::new();
    for contract in contracts {
        let id = format!("`{}`", contract.id);
        let of_contract: Vec<&&str> = lines.iter().filter(|line| line.contains(&id)).collect();
        for class in contract.data_classes() {
            let named = |line: &str| {
                line.split(|c: char| !c.is_alphanumeric()).any(|word| word == class.as_str())
            };
            if !of_contract.iter().any(|line| named(line)) {
                unnamed.push(format!(
                    "CHANGELOG.md does not say that {id} sends data of the class `{}`: add a line with both \
                     words under \"Changes in what is sent\"",
                    class.as_str()
                ));
            }
        }
    }
    unnamed
}

/// Returns the lines of each part that says what is sent.
fn said(changelog: &str) -> Vec<&str> {
    let mut inside = false;
    changelog
        .lines()
        .filter(|line| {
            if let Some(heading) = line.strip_prefix('#') {
                inside = heading.trim_start_matches('#').trim().eq_ignore_ascii_case(HEADING);
            }
            inside
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use otel_usage_schema::{Contract, Field, MessageSpec, Privacy, Source, Trigger, Type};

    use super::*;

    /// Returns a made-up contract with one field of each of these classes.
    fn contract(id: &'static str, classes: &[Privacy]) -> Contract {
        let field =
            |class: &Privacy| Field::new("field", Type::Int, Source::Time, *class, "made up");
        let mut message = MessageSpec::new("start", "made_up.start", Trigger::Record);
        message.fields = classes.iter().map(field).collect();
        let mut contract = Contract::new(id, "made-up");
        contract.messages = vec![message].into();
        contract
    }

    #[test]
    fn a_contract_with_a_new_data_class_fails_until_the_changelog_names_it() {
        let old = contract("made-up/1", &[Privacy::Machine]);
        let new = contract("made-up/2", &[Privacy::Machine, Privacy::Workload, Privacy::Envelope]);
        let before = "# Changelog\n## 1.0\n### Changes in what is sent\n\
            | `made-up/1` | start | configuration, identity, machine |\n\
            | `made-up/2` | start | configuration, identity |\n";
        assert_eq!(unnamed([&old], before), Vec::<String>::new());
        let missing = unnamed([&old, &new], before);
        assert_eq!(missing.len(), 2, "{missing:?}");
        assert!(missing.iter().all(|line| line.contains("`made-up/2`")), "{missing:?}");
        // Another contract's line, another part of the page, and a part of a word name nothing.
        for elsewhere in [
            "### For operators\n`made-up/2` sends machine and workload\n",
            "- `made-up/1` sends workload and machine\n",
            "- `made-up/2` sends machinery and workloads\n",
        ] {
            let page = format!("{before}{elsewhere}");
            assert_eq!(unnamed([&old, &new], &page), missing, "{elsewhere}");
        }
        let half = format!("{before}- `made-up/2` is made of the machine\n");
        assert_eq!(unnamed([&new], &half).len(), 1);
        let named = format!(
            "{half}### For operators\n\n### Changes in what is sent\n- `made-up/2`: workload\n"
        );
        assert_eq!(unnamed([&old, &new], &named), Vec::<String>::new());
    }
}
