//! Writes the two implementations for a record, and checks of its types.
//!
//! The code uses only public constructors of the library. A check that needs to know a type is a constant
//! whose evaluation fails if the type is wrong.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::Path;

use crate::options::{DataClass, Options, Sanitizer, Step};
use crate::record::{Member, Record, Row};

pub(crate) fn expand(record: &Record) -> TokenStream {
    let Record { ident, kind, schema, members } = record;
    let sent: Vec<(usize, &Member, &Row)> = members
        .iter()
        .enumerate()
        .filter_map(|(place, member)| Some((place, member, member.row.as_ref()?)))
        .collect();
    let checks = sent.iter().map(|(_, member, row)| checks(member, row, schema));
    // A named constant, because a value with a destructor cannot be an argument in a constant.
    let steps = sent.iter().map(|(place, _, row)| {
        let steps = row.options.steps().iter().map(|step| step.expression(schema));
        let name = steps_of(*place);
        quote!(const #name: &[#schema::Sanitizer] = &[#(#steps),*];)
    });
    let rows = sent.iter().map(|(place, member, row)| field(*place, member, row, schema));
    let parts = members.iter().map(|Member { ident, row, .. }| match row {
        Some(_) => quote!(#ident),
        None => quote!(#ident: _),
    });
    let attributes = sent
        .iter()
        .map(|(_, Member { ident, .. }, Row { attribute, .. })| quote!(.with(#attribute, #ident)));
    quote! {
        const _: () = {
            #(#checks)*
            #(#steps)*

            #[automatically_derived]
            impl #schema::DescribedRecord for #ident {
                const KIND: &'static str = #kind;
                const FIELDS: &'static [#schema::Field] = &[#(#rows),*];
            }

            #[automatically_derived]
            impl #schema::UsageRecord for #ident {
                fn kind(&self) -> &str {
                    #kind
                }

                fn attributes(self) -> ::std::vec::Vec<#schema::KeyValue> {
                    let Self { #(#parts),* } = self;
                    #schema::UsageRecord::attributes(#schema::Attributes::new(#kind)#(#attributes)*)
                }
            }
        };
    }
}

fn steps_of(place: usize) -> Ident {
    format_ident!("SANITIZE_{place}")
}

/// Returns the contract's row for one member.
fn field(place: usize, member: &Member, row: &Row, schema: &Path) -> TokenStream {
    let Row { attribute, wire, meaning, options } = row;
    let ty = type_of(member, schema);
    let constant = |constant: &crate::constant::Constant| constant.expression(schema);
    let unit = options.unit.as_ref().map(|unit| quote!(.in_unit(#unit)));
    let absent = options.absent.as_ref().map(constant).map(|absent| quote!(.when_absent(#absent)));
    let left_out = options.left_out.map(|_| quote!(.left_out_when_absent()));
    let steps = steps_of(place);
    let sanitized = options.sanitize.as_ref().map(|_| quote!(.sanitized(#steps)));
    let privacy =
        options.privacy.as_ref().map(|DataClass(class)| quote!(.privacy(#schema::Privacy::#class)));
    let example = options.example.as_ref().map(constant).map(|value| quote!(.example(#value)));
    let since = options.since.as_ref().map(|version| quote!(.since(#version)));
    quote! {
        #schema::Field::record(#wire, #ty, #attribute, #meaning)
            #unit #absent #left_out #sanitized #privacy #example #since
    }
}

fn type_of(Member { ty, .. }: &Member, schema: &Path) -> TokenStream {
    quote!(<#ty as #schema::TypedAttribute>::TYPE)
}

/// Returns the checks that only the compiler can make: whether the options fit the type.
fn checks(member: &Member, row: &Row, schema: &Path) -> TokenStream {
    let name = member.ident.to_string();
    let ty = type_of(member, schema);
    let options = &row.options;
    let text = match options.free_text {
        Some(span) => {
            let what = format!("`{name}` is no text; remove `free_text`");
            quote_spanned!(span=> const _: () = ::core::assert!(#ty.is_text(), #what);)
        }
        None if options.steps().iter().all(Step::leaves_free_text) => {
            let what = format!(
                "`{name}` is text: say what is done to it by `sanitize(..)`, or that its writer decides \
                 what is in it by `free_text`"
            );
            let span = member.ident.span();
            quote_spanned!(span=> const _: () = ::core::assert!(!#ty.is_text(), #what);)
        }
        None => TokenStream::new(),
    };
    let steps = options.steps().iter().map(|step| {
        let what = format!("this sanitizer has no effect on the type of `{name}`; remove it");
        let sanitizer = step.expression(schema);
        quote_spanned! {step.span=>
            const _: () = {
                const STEP: &[#schema::Sanitizer] = &[#sanitizer];
                ::core::assert!(::core::matches!(STEP, [step] if step.has_effect_on(#ty)), #what);
            };
        }
    });
    quote!(#text #(#steps)*)
}

impl Options {
    pub(crate) fn steps(&self) -> &[Step] {
        self.sanitize.as_deref().unwrap_or_default()
    }
}

impl Step {
    /// Returns the same as the library's `Sanitizer::leaves_free_text`.
    pub(crate) const fn leaves_free_text(&self) -> bool {
        matches!(self.sanitizer, Sanitizer::CapLen(_) | Sanitizer::RoundSignificant(_))
    }

    fn expression(&self, schema: &Path) -> TokenStream {
        match &self.sanitizer {
            Sanitizer::CapLen(limit) => quote!(#schema::Sanitizer::CapLen(#limit)),
            Sanitizer::Choice(words) => quote! {
                #schema::Sanitizer::choice(&[#(::std::borrow::Cow::Borrowed(#words)),*])
            },
            Sanitizer::PathOrRepoId => quote!(#schema::Sanitizer::PathOrRepoId),
            Sanitizer::RoundSignificant(digits) => {
                quote!(#schema::Sanitizer::RoundSignificant(#digits))
            }
            Sanitizer::SchemeOnly => quote!(#schema::Sanitizer::SchemeOnly),
            Sanitizer::Uuid => quote!(#schema::Sanitizer::Uuid),
        }
    }
}
