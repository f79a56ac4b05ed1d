//! Free text: fields that may hold anything their writer puts there.
//!
//! In: a field and the contract's Resource attributes. Out: whether a text reaches the wire as it was
//! written, but for its length. It follows from type, source and sanitizers, so that nobody can
//! forget to say it.

use super::{Attribute, Contract, ENVIRONMENT, Field, Sanitizer, Source};

impl Contract {
    /// Whether `field` is free text: text that no sanitizer does more to than to cap its length.
    ///
    /// For a field that is read from the Resource, the attribute's sanitizers count.
    #[must_use]
    pub fn is_free_text(&self, field: &Field) -> bool {
        field.ty.is_text()
            && match &field.source {
                // The wire's words are the contract's own.
                Source::Constant(_) | Source::ResourceMapped(..) | Source::Time => false,
                Source::Record(_) => is_free(&field.sanitize),
                Source::Resource(_) | Source::ResourceJoined(_) | Source::ResourceOr { .. } => {
                    let mut names = field.source.resources().into_iter();
                    names.any(|name| {
                        self.attribute(name).is_some_and(|found| is_free(&found.sanitize))
                    })
                }
            }
    }

    /// The Resource attribute of this name, of this contract or of every one.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        ENVIRONMENT.iter().chain(self.attributes.iter()).find(|attribute| attribute.name == name)
    }
}

/// Whether a text may come out as it went in, but for its length.
fn is_free(steps: &[Sanitizer]) -> bool {
    steps.iter().all(Sanitizer::leaves_free_text)
}
