//! Which fields are free text: what their writer puts there is sent, cut in length and otherwise as it is.
//!
//! It follows from a field's type, source and sanitizers, so that no table can forget to say it.

use super::{Attribute, Contract, ENVIRONMENT, Field, Sanitizer, Source, Type};

impl Contract {
    /// Whether `field`, one of this contract's, is free text.
    #[must_use]
    pub fn is_free_text(&self, field: &Field) -> bool {
        match &field.source {
            // A word of the table's own.
            Source::Constant(_) | Source::Time | Source::ResourceMapped(..) => false,
            Source::Record(_) => is_free(field.ty, &field.sanitize),
            Source::Resource(_) | Source::ResourceOr { .. } | Source::ResourceJoined(_) => {
                let behind = field.source.resources();
                behind.iter().filter_map(|name| self.attribute(name)).any(Attribute::is_free_text)
            }
        }
    }

    /// The Resource attribute of this name, of every contract or of this one's own.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        ENVIRONMENT.iter().chain(self.attributes.iter()).find(|attribute| attribute.name == name)
    }

    /// What is done to a field's value before it leaves: its own steps, or those of the Resource
    /// attributes behind it.
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
    /// Whether it is free text.
    #[must_use]
    pub fn is_free_text(&self) -> bool {
        is_free(self.ty, &self.sanitize)
    }
}

fn is_free(ty: Type, steps: &[Sanitizer]) -> bool {
    ty.is_text() && steps.iter().all(Sanitizer::leaves_free_text)
}
