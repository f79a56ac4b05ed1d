//! Parses the options of `#[usage(..)]` on a field, or returns an error at the wrong word.
//!
//! Each option stands at most once. [`crate::record`] checks whether the options fit together.

use proc_macro2::{Group, Span};
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Attribute, Ident, LitInt, LitStr, Token, parenthesized, token};

use crate::constant::Constant;

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) private: Option<Span>,
    pub(crate) sent: Option<LitStr>,
    pub(crate) wire: Option<LitStr>,
    pub(crate) unit: Option<LitStr>,
    pub(crate) absent: Option<Constant>,
    pub(crate) left_out: Option<Span>,
    pub(crate) sanitize: Option<Vec<Step>>,
    pub(crate) free_text: Option<Span>,
    pub(crate) privacy: Option<DataClass>,
    pub(crate) example: Option<Constant>,
    pub(crate) since: Option<LitStr>,
    /// The place of the first option that is a mistake on a field without `sent`.
    pub(crate) needs_sent: Option<Span>,
}

/// One step of `sanitize(..)`.
pub(crate) struct Step {
    pub(crate) span: Span,
    pub(crate) sanitizer: Sanitizer,
}

pub(crate) enum Sanitizer {
    CapLen(LitInt),
    Choice(Vec<LitStr>),
    PathOrRepoId,
    RoundSignificant(LitInt),
    SchemeOnly,
    Uuid,
}

/// A variant of the library's `Privacy`.
pub(crate) struct DataClass(pub(crate) Ident);

impl Options {
    pub(crate) fn of(attributes: &[Attribute]) -> syn::Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|one| one.path().is_ident("usage")) {
            attribute.parse_nested_meta(|meta| options.take(&meta))?;
        }
        Ok(options)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<()> {
        let span = meta.path.span();
        let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match word.as_str() {
            "private" => return once(&mut self.private, span, meta),
            "sent" => return once(&mut self.sent, named(meta)?, meta),
            "wire" => once(&mut self.wire, named(meta)?, meta),
            "unit" => once(&mut self.unit, named(meta)?, meta),
            "absent" => once(&mut self.absent, meta.value()?.parse()?, meta),
            "left_out" => once(&mut self.left_out, span, meta),
            "sanitize" => once(&mut self.sanitize, steps(meta)?, meta),
            "free_text" => once(&mut self.free_text, span, meta),
            "privacy" => once(&mut self.privacy, data_class(meta)?, meta),
            "example" => once(&mut self.example, meta.value()?.parse()?, meta),
            "since" => once(&mut self.since, named(meta)?, meta),
            _ => Err(meta.error(
                "no such option; there are `sent`, `private`, and beside `sent`: `wire`, `unit`, \
                 `absent`, `left_out`, `sanitize`, `free_text`, `privacy`, `example`, `since`",
            )),
        }?;
        self.needs_sent.get_or_insert(span);
        Ok(())
    }
}

/// Stores the value of an option.
///
/// # Errors
///
/// The option has a value already.
pub(crate) fn once<T>(
    place: &mut Option<T>,
    value: T,
    meta: &ParseNestedMeta<'_>,
) -> syn::Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("said twice; keep one")),
    }
}

/// Returns the text after `=`.
pub(crate) fn named(meta: &ParseNestedMeta<'_>) -> syn::Result<LitStr> {
    let text: LitStr = meta.value()?.parse()?;
    if text.value().trim().is_empty() {
        return Err(syn::Error::new(text.span(), "an empty text says nothing"));
    }
    Ok(text)
}

fn data_class(meta: &ParseNestedMeta<'_>) -> syn::Result<DataClass> {
    let word: Ident = meta.value()?.parse()?;
    let variant = match word.to_string().as_str() {
        "configuration" => "Configuration",
        "identity" => "Identity",
        "machine" => "Machine",
        "workload" => "Workload",
        _ => {
            return Err(syn::Error::new(
                word.span(),
                "no such data class; there are `configuration`, `identity`, `machine`, `workload`",
            ));
        }
    };
    Ok(DataClass(Ident::new(variant, word.span())))
}

fn steps(meta: &ParseNestedMeta<'_>) -> syn::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let ahead = meta.input.fork();
    if !ahead.peek(token::Paren) || ahead.parse::<Group>()?.stream().is_empty() {
        return Err(meta.error("names no sanitizer; if the text is free, say `free_text`"));
    }
    meta.parse_nested_meta(|step| {
        let span = step.path.span();
        let word = step.path.get_ident().map(ToString::to_string).unwrap_or_default();
        let sanitizer = match word.as_str() {
            "cap_len" => Sanitizer::CapLen(number(&step)?),
            "choice" => Sanitizer::Choice(words(&step)?),
            "path_or_repo_id" => Sanitizer::PathOrRepoId,
            "round_significant" => Sanitizer::RoundSignificant(number(&step)?),
            "scheme_only" => Sanitizer::SchemeOnly,
            "uuid" => Sanitizer::Uuid,
            _ => {
                return Err(step.error(
                    "no such sanitizer; there are `cap_len(64)`, `choice(\"a\", \"b\")`, \
                     `path_or_repo_id`, `round_significant(2)`, `scheme_only`, `uuid`",
                ));
            }
        };
        steps.push(Step { span, sanitizer });
        Ok(())
    })?;
    Ok(steps)
}

fn number(step: &ParseNestedMeta<'_>) -> syn::Result<LitInt> {
    let inside;
    parenthesized!(inside in step.input);
    let number: LitInt = inside.parse()?;
    if !inside.is_empty() {
        return Err(inside.error("one number is enough"));
    }
    if number.base10_parse::<u64>()? == 0 {
        return Err(syn::Error::new(number.span(), "nothing would be left"));
    }
    Ok(number)
}

fn words(step: &ParseNestedMeta<'_>) -> syn::Result<Vec<LitStr>> {
    let inside;
    parenthesized!(inside in step.input);
    let words: Vec<LitStr> =
        Punctuated::<LitStr, Token![,]>::parse_terminated(&inside)?.into_iter().collect();
    if words.is_empty() {
        return Err(step.error("a choice needs words; anything else becomes `other`"));
    }
    Ok(words)
}
