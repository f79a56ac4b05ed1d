//! Tells which fields are free text: they are sent as their writer wrote them, cut in length only.
//!
//! The answer follows from a field's type, source and sanitizers, so that no table can forget it.

use crate::{Attribute, Contract, Field, RESOURCE_ATTRIBUTES, Sanitizer, Source, Type};

impl Contract {
    /// Returns whether `field` of this contract is free text.
    #[must_use]
    pub fn is_free_text(&self, field: &Field) -> bool {
        match &field.source {
            // The table holds every word that these can have.
            Source::Constant(_) | Source::Time | Source::ResourceMapped(..) => false,
            Source::Record(_) => is_free(field.ty, &field.sanitize),
            Source::Resource(_) | Source::ResourceOr { .. } | Source::ResourceJoined(_) => {
                let behind = field.source.resources();
                behind.iter().filter_map(|name| self.attribute(name)).any(Attribute::is_free_text)
            }
        }
    }

    /// Returns the Resource attribute of this name, shared or the contract's own.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        RESOURCE_ATTRIBUTES
            .iter()
            .chain(self.attributes.iter())
            .find(|attribute| attribute.name == name)
    }

    /// Returns the sanitizers of a field: its own, or those of the Resource attributes that it reads.
    #[must_use]
    pub fn sanitizers_of<'a>(&'a self, field: &'a Field) -> Vec<&'a Sanitizer> {
        let behind = field.source.resources();
        let mut steps: Vec<&Sanitizer> = field.sanitize.iter().collect();
        for step in
            behind.iter().filter_map(|name| self.attribute(name)).flat_map(|a| a.sanitize.iter())
        {
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        steps
    }
}

impl Attribute {
    /// Returns whether the attribute is free text.
    #[must_use]
    pub fn is_free_text(&self) -> bool {
        is_free(self.ty, &self.sanitize)
    }
}

fn is_free(ty: Type, steps: &[Sanitizer]) -> bool {
    ty.is_text() && steps.iter().all(Sanitizer::leaves_free_text)
}
