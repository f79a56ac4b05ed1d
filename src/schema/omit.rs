//! Leaving fields out: an operator's list of wire names makes a contract with less in it.
//!
//! In: a [`Contract`] and names. Out: the same contract in which each of these fields says its own null
//! or sentinel, and the attributes that only they read leave on no sink, OTLP included.

use std::borrow::Cow;

use super::environment::INSTANCE_ID;
use super::{Contract, Field, Instrument, Privacy, Source};

impl Contract {
    /// This contract without the fields of these wire names.
    ///
    /// What tells messages apart stays: constants, the time, the instance's id, sequence numbers.
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
                    // What is not sent is not counted either.
                    field.instrument = None;
                }
            }
        }
        self.omitted.to_mut().extend(omitted);
        self
    }

    /// Whether a field of this wire name can be left out. `None`: there is no such field.
    pub(crate) fn may_omit(&self, name: &str) -> Option<bool> {
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

/// The attributes a field is made of; what only decides about it is not among them.
fn read_by(field: &Field) -> Vec<&str> {
    field.source.record().into_iter().chain(field.source.resources()).collect()
}
