//! Parses a constant in an attribute (`0`, `-1`, `0.5`, `"none"`, `true`, `null`, `[1, 2]`) and writes the
//! library's `Literal` for it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, Lit, Path, Token, bracketed, token};

pub(crate) enum Constant {
    List(Vec<Lit>),
    Null,
    One(Lit),
}

impl Parse for Constant {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.peek(token::Bracket) {
            let items;
            bracketed!(items in input);
            let list: Vec<Lit> =
                Punctuated::<Lit, Token![,]>::parse_terminated(&items)?.into_iter().collect();
            let alike = |one: &Lit| match list.first() {
                Some(Lit::Str(_)) => matches!(one, Lit::Str(_)),
                _ => matches!(one, Lit::Int(_)),
            };
            return match list.iter().find(|one| !alike(one)) {
                Some(odd) => Err(syn::Error::new(
                    odd.span(),
                    "a list holds whole numbers only, or texts only",
                )),
                None => Ok(Self::List(list)),
            };
        }
        if input.peek(Lit) || input.peek(Token![-]) {
            return match input.parse()? {
                one @ (Lit::Bool(_) | Lit::Float(_) | Lit::Int(_) | Lit::Str(_)) => {
                    Ok(Self::One(one))
                }
                odd => Err(syn::Error::new(odd.span(), NOT_ONE)),
            };
        }
        match input.parse::<Ident>() {
            Ok(word) if word == "null" => Ok(Self::Null),
            Ok(word) => Err(syn::Error::new(word.span(), NOT_ONE)),
            Err(_) => Err(input.error(NOT_ONE)),
        }
    }
}

const NOT_ONE: &str =
    "expected a number, a text, `true`, `false`, `null` or a list of numbers or texts";

impl Constant {
    /// Returns the expression of the `Literal`. `schema` is the path to the library's tables.
    pub(crate) fn expression(&self, schema: &Path) -> TokenStream {
        match self {
            Self::Null => quote!(#schema::Literal::Null),
            Self::One(Lit::Bool(one)) => quote!(#schema::Literal::Bool(#one)),
            Self::One(Lit::Float(one)) => quote!(#schema::Literal::Float(#one)),
            Self::One(Lit::Str(one)) => quote!(#schema::Literal::text(#one)),
            Self::One(one) => quote!(#schema::Literal::Int(#one)),
            Self::List(list) if matches!(list.first(), Some(Lit::Str(_))) => {
                quote!(#schema::Literal::texts(&[#(::std::borrow::Cow::Borrowed(#list)),*]))
            }
            Self::List(list) => quote!(#schema::Literal::ints(&[#(#list),*])),
        }
    }
}
