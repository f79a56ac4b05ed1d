//! Leaves fields out of a contract, by an operator's list of wire names.
//!
//! An omitted field sends its null or sentinel. The attributes that only omitted fields read leave
//! through no exporter, OTLP included.

use std::borrow::Cow;

use crate::resource::INSTANCE_ID;
use crate::{Contract, Field, Instrument, Privacy, Source};

impl Contract {
    /// Returns this contract without the fields of these wire names.
    ///
    /// Fields that tell messages apart stay: constants, the time, the instance's id, and sequence
    /// numbers.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        let fields = || self.messages.iter().flat_map(|spec| spec.fields.iter());
        let goes = |field: &Field| names.contains(&field.name.as_ref()) && may_go(field);
        let kept: Vec<&str> = fields().filter(|field| !goes(field)).flat_map(read_by).collect();
        let omitted: Vec<Cow<'static, str>> = fields()
            .filter(|field| goes(field))
            .flat_map(read_by)
            .filter(|name| !kept.contains(name))
            .map(|name| Cow::Owned(name.to_owned()))
            .collect();
        if omitted.is_empty() && !fields().any(goes) {
            return self;
        }
        for spec in self.messages.to_mut() {
            for field in spec.fields.to_mut() {
                if goes(field) {
                    field.source = Source::Constant(field.absent.clone());
                    // A value that is not sent is not counted either.
                    field.instrument = None;
                }
            }
        }
        self.omitted.to_mut().extend(omitted);
        self
    }

    /// Returns whether the field of this wire name can be left out, or `None` if the
    /// contract has no such field.
    #[must_use]
    pub fn may_omit(&self, name: &str) -> Option<bool> {
        let mut fields = self.messages.iter().flat_map(|spec| spec.fields.iter());
        fields.find(|field| field.name == name).map(may_go)
    }
}

fn may_go(field: &Field) -> bool {
    if field.privacy == Privacy::Envelope || field.instrument == Some(Instrument::Dimension) {
        return false;
    }
    match &field.source {
        Source::Constant(_) | Source::Time => false,
        Source::Resource(name) => name != INSTANCE_ID,
        _ => true,
    }
}

/// Returns the attributes whose values a field sends.
fn read_by(field: &Field) -> Vec<&str> {
    field.source.record().into_iter().chain(field.source.resources()).collect()
}
