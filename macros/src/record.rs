//! Reads the struct of a record, and checks that every field is classified and its options fit together.
//!
//! [`crate::expand`] writes the code for it. A field's type may be an alias, so the compiler checks what
//! depends on the type, in constants that the expansion contains.

use proc_macro2::Span;
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{
    Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Ident, Lit, LitStr, Meta,
    Path, Type, parse_quote,
};

use crate::options::{self, Options};

pub(crate) struct Record {
    pub(crate) ident: Ident,
    pub(crate) kind: LitStr,
    /// The path to the library's tables.
    pub(crate) schema: Path,
    pub(crate) members: Vec<Member>,
}

/// A field of the struct.
pub(crate) struct Member {
    pub(crate) ident: Ident,
    pub(crate) ty: Type,
    /// `None` if the field is private.
    pub(crate) row: Option<Row>,
}

/// The contract's row for a field that is sent.
pub(crate) struct Row {
    pub(crate) attribute: LitStr,
    pub(crate) wire: LitStr,
    pub(crate) meaning: String,
    pub(crate) options: Options,
}

impl Record {
    pub(crate) fn new(input: &DeriveInput) -> syn::Result<Self> {
        let Data::Struct(data) = &input.data else {
            return Err(Error::new(
                input.ident.span(),
                "a record is a struct with named fields; an enum or a union has no fixed list of them",
            ));
        };
        let fields = match &data.fields {
            Fields::Named(fields) => &fields.named,
            Fields::Unit | Fields::Unnamed(_) => {
                return Err(Error::new(
                    input.ident.span(),
                    "a record is a struct with named fields, so that each has a name on the wire",
                ));
            }
        };
        if !input.generics.params.is_empty() {
            return Err(Error::new(
                input.generics.span(),
                "a record has no parameters, because its rows are constants; own what it holds, or use \
                 `&'static str`",
            ));
        }
        let (kind, library) = on_struct(input)?;
        let mut mistakes = Mistakes(None);
        let members: Vec<Member> =
            fields.iter().filter_map(|field| mistakes.note(member(field, &kind.value()))).collect();
        for row in duplicates(&members, |row| &row.attribute) {
            mistakes.add(row, "another field is sent as this attribute already");
        }
        for row in duplicates(&members, |row| &row.wire) {
            mistakes.add(row, "another field has this key on the wire already");
        }
        let schema = parse_quote!(#library::schema);
        let record = Self { ident: input.ident.clone(), kind, schema, members };
        mistakes.0.map_or(Ok(record), Err)
    }
}

/// Collects all mistakes, so that an author sees them in one build.
struct Mistakes(Option<Error>);

impl Mistakes {
    fn note<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.combine(error)).ok()
    }

    fn add(&mut self, span: Span, what: &str) {
        self.combine(Error::new(span, what));
    }

    fn combine(&mut self, error: Error) {
        match &mut self.0 {
            Some(mistakes) => mistakes.combine(error),
            None => self.0 = Some(error),
        }
    }
}

/// Returns the record's kind and the path to the library.
fn on_struct(input: &DeriveInput) -> syn::Result<(LitStr, Path)> {
    let (mut kind, mut library) = (None, None);
    for attribute in input.attrs.iter().filter(|one| one.path().is_ident("usage")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("record") {
                options::once(&mut kind, options::named(&meta)?, &meta)
            } else if meta.path.is_ident("crate") {
                let path = options::named(&meta)?.parse_with(Path::parse_mod_style)?;
                options::once(&mut library, path, &meta)
            } else {
                Err(meta.error("no such option; on the struct there are `record` and `crate`"))
            }
        })?;
    }
    let kind = kind.ok_or_else(|| {
        let example = input.ident.to_string().to_lowercase();
        Error::new(
            input.ident.span(),
            format!(
                "the record's kind is missing: add `#[usage(record = \"my_engine.{example}\")]` to the \
                 struct"
            ),
        )
    })?;
    Ok((kind, library.unwrap_or_else(|| parse_quote!(::otel_usage))))
}

fn member(field: &Field, kind: &str) -> syn::Result<Member> {
    // A field of a struct with named fields has a name.
    let ident = field.ident.clone().ok_or_else(|| Error::new(field.span(), "it has no name"))?;
    let options = Options::of(&field.attrs)?;
    let row = match (options.private, &options.sent) {
        (None, Some(attribute)) => {
            let attribute = attribute.clone();
            Some(row(field, &ident, attribute, options)?)
        }
        (Some(_), None) => match options.needs_sent {
            None => None,
            Some(span) => {
                return Err(Error::new(span, "goes with `sent`; a private field has no row"));
            }
        },
        (Some(span), Some(_)) => {
            return Err(Error::new(span, "either `sent` or `private`, not both"));
        }
        (None, None) => return Err(unclassified(&ident, kind)),
    };
    Ok(Member { ident, ty: field.ty.clone(), row })
}

/// Returns the error for a field without classification, the mistake that the macro exists for.
fn unclassified(ident: &Ident, kind: &str) -> Error {
    let name = ident.unraw();
    let system = kind.split('.').next().unwrap_or(kind);
    Error::new(
        ident.span(),
        format!(
            "may `{name}` leave this machine? Choose one:\n\
             `#[usage(sent = \"{system}.{name}\")]` for a number, a switch or a list of numbers that is sent,\n\
             `#[usage(sent = \"{system}.{name}\", sanitize(..))]`, or `free_text` in place of `sanitize(..)`, \
             for text that is sent,\n\
             `#[usage(private)]` for what never leaves"
        ),
    )
}

fn row(field: &Field, ident: &Ident, attribute: LitStr, options: Options) -> syn::Result<Row> {
    let meaning = meaning(&field.attrs);
    if meaning.is_empty() {
        return Err(Error::new(
            ident.span(),
            "it is sent, so it needs a doc comment that says what it means (`/// Layers of the model.`)",
        ));
    }
    if let (Some(span), Some(_)) = (options.left_out, &options.absent) {
        return Err(Error::new(span, "either `absent` or `left_out`, not both"));
    }
    let more = options.steps().iter().find(|step| !step.leaves_free_text());
    if let (Some(_), Some(step)) = (options.free_text, more) {
        return Err(Error::new(
            step.span,
            "after this step the text is no longer free; remove `free_text`",
        ));
    }
    let wire = options.wire.clone();
    let wire = wire.unwrap_or_else(|| LitStr::new(&ident.unraw().to_string(), ident.span()));
    Ok(Row { attribute, wire, meaning, options })
}

/// Returns the first paragraph of the doc comment, in one line.
fn meaning(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let lines = text.lines().map(str::trim);
    let paragraph = lines.skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    paragraph.collect::<Vec<_>>().join(" ")
}

/// Returns the places of names that an earlier row has too.
fn duplicates(members: &[Member], name: impl Fn(&Row) -> &LitStr) -> Vec<Span> {
    let mut seen: Vec<String> = Vec::new();
    let mut twice = Vec::new();
    for row in members.iter().filter_map(|member| member.row.as_ref()) {
        let name = name(row);
        if seen.contains(&name.value()) {
            twice.push(name.span());
        }
        seen.push(name.value());
    }
    twice
}
