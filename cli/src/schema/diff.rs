//! `otel-usage schema diff`: shows what a contract sends that another one does not.
//!
//! It answers whether people who agreed to the first contract must be asked again.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::ensure;
use otel_usage::Contract;
use otel_usage::schema::{Field, MessageSpec};

use super::markdown::{data_class, source, steps, type_name};
use crate::{contract, exit, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The old contract: a name (vllm/0.4.0) or a contract file
    before: String,
    /// The new contract
    after: String,
}

/// The effect of a difference on the people whose engines send the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// The same or less is sent.
    Less,
    /// More or other data is sent, of a class that was sent before.
    More,
    /// A new class of data, free text, one sanitizer less, or another destination.
    NewClass,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<u8> {
    let (before, after) = (contract::given(&args.before)?, contract::given(&args.after)?);
    ensure!(
        before.system == after.system,
        "{} is a contract of {}, and {} is one of {}: compare two contracts of one engine",
        before.id,
        before.system,
        after.id,
        after.system
    );
    let differences = compare(&before, &after);
    let heaviest = differences.iter().map(|(weight, _)| *weight).max();
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for (weight, what) in &differences {
        let mark = match weight {
            Weight::Less => "  ",
            Weight::More => "+ ",
            Weight::NewClass => "! ",
        };
        let _ = writeln!(text, "{mark}{what}");
    }
    let (verdict, code) = match heaviest {
        None => ("nothing that is sent differs", exit::SUCCESS),
        Some(Weight::Less) => ("nothing more is sent", exit::SUCCESS),
        Some(Weight::More) => ("more is sent, of the classes that were sent before", exit::MORE),
        Some(Weight::NewClass) => ("a new class of data is sent (marked !)", exit::NEW_CLASS),
    };
    let _ = writeln!(text, "{} -> {}: {verdict}", before.id, after.id);
    output::print(&text)?;
    Ok(code)
}

fn compare(before: &Contract, after: &Contract) -> Vec<(Weight, String)> {
    let mut found = Vec::new();
    if before.server != after.server && after.server.is_some() {
        let server = |contract: &Contract| contract.server.as_deref().unwrap_or("none").to_owned();
        let what = format!("the server is {} instead of {}", server(after), server(before));
        found.push((Weight::NewClass, what));
    }
    let known: BTreeSet<String> =
        rows(before).map(|(_, field)| data_class(before, field)).collect();
    for (spec, field) in rows(after) {
        let place = format!("{} `{}`", spec.name, field.name);
        match find(before, spec, field) {
            None => {
                let class = data_class(after, field);
                let new = class.contains("free text") || !known.contains(&class);
                let weight = if new { Weight::NewClass } else { Weight::More };
                found.push((weight, format!("{place} is new ({class}): {}", field.doc)));
            }
            Some(old) => found.extend(
                changes(before, old, after, field)
                    .map(|(weight, what)| (weight, format!("{place} {what}"))),
            ),
        }
    }
    for (spec, field) in rows(before) {
        if find(after, spec, field).is_none() {
            found.push((Weight::Less, format!("{} `{}` is no longer sent", spec.name, field.name)));
        }
    }
    found
}

fn rows(contract: &Contract) -> impl Iterator<Item = (&MessageSpec, &Field)> {
    contract.messages.iter().flat_map(|spec| spec.fields.iter().map(move |field| (spec, field)))
}

fn find<'a>(contract: &'a Contract, spec: &MessageSpec, field: &Field) -> Option<&'a Field> {
    rows(contract).find(|(s, f)| s.name == spec.name && f.name == field.name).map(|(_, f)| f)
}

/// Returns the differences between two fields of the same name. The wording of their meaning does not count.
fn changes(
    before: &Contract,
    old: &Field,
    after: &Contract,
    new: &Field,
) -> impl Iterator<Item = (Weight, String)> {
    let mut found = Vec::new();
    if (old.ty, &old.unit) != (new.ty, &new.unit) {
        let shown =
            |field: &Field| format!("{} {}", type_name(field.ty), field.unit).trim().to_owned();
        found.push((Weight::More, format!("is {} instead of {}", shown(new), shown(old))));
    }
    if old.source != new.source {
        let what = format!("is read from {} instead of {}", source(new), source(old));
        found.push((Weight::More, what));
    }
    let gone: Vec<String> = before
        .sanitizers_of(old)
        .into_iter()
        .filter(|step| !after.sanitizers_of(new).contains(step))
        .map(ToString::to_string)
        .collect();
    if !gone.is_empty() {
        let now = steps(after, new);
        let what = format!("is no longer sanitized by {}; now by: {now}", gone.join(", "));
        found.push((Weight::NewClass, what));
    } else if steps(before, old) != steps(after, new) {
        found.push((Weight::Less, format!("is sanitized by {}", steps(after, new))));
    }
    if (&old.absent, old.optional) != (&new.absent, new.optional) {
        found.push((Weight::Less, "has another value if it is absent".to_owned()));
    }
    found.into_iter()
}

#[cfg(test)]
mod tests {
    use otel_usage::schema::{Field, Privacy, Sanitizer, Type, lmcache, vllm};

    use super::*;

    fn heaviest(before: &Contract, after: &Contract) -> Option<Weight> {
        compare(before, after).into_iter().map(|(weight, _)| weight).max()
    }

    #[test]
    fn a_contract_does_not_differ_from_itself() {
        for contract in Contract::built_in() {
            assert_eq!(heaviest(contract, contract), None, "{}", contract.id);
        }
    }

    #[test]
    fn differences_are_weighed_by_what_they_reveal() {
        let base = &vllm::CURRENT;
        let count = Field::record("layers", Type::Int, "vllm.layers", "Layers.");
        assert_eq!(
            heaviest(base, &base.clone().with_field("report", count.clone())),
            Some(Weight::More)
        );
        let text = Field::record("note", Type::Str, "vllm.note", "A note.");
        assert_eq!(
            heaviest(base, &base.clone().with_field("report", text)),
            Some(Weight::NewClass)
        );
        let work = count.privacy(Privacy::Workload);
        assert_eq!(
            heaviest(base, &base.clone().with_field("report", work)),
            Some(Weight::NewClass)
        );
        assert_eq!(
            heaviest(base, &base.clone().with_server("http://127.0.0.1:1")),
            Some(Weight::NewClass)
        );
        assert_eq!(heaviest(&vllm::V0_4_0, &vllm::CURRENT), Some(Weight::NewClass));

        let with = |steps: &'static [Sanitizer]| {
            let field = Field::record("url", Type::Str, "x.url", "A URL.").sanitized(steps);
            lmcache::DOC.clone().with_field("EngineMessage", field)
        };
        let (strict, loose) = (with(&[Sanitizer::SchemeOnly]), with(&[Sanitizer::CapLen(9)]));
        assert_eq!(heaviest(&strict, &loose), Some(Weight::NewClass));
        let both = with(&[Sanitizer::SchemeOnly, Sanitizer::CapLen(9)]);
        assert_eq!(heaviest(&strict, &both), Some(Weight::Less));
    }
}
