//! Finds the first mistake in a contract's tables, in words that name the row.
//!
//! Names are compared one by one, because hashing the few dozen names of a contract takes longer
//! than the rest of compiling it.

use crate::sanitize::LIST;
use crate::{
    Attribute, Contract, Field, Instrument, MessageSpec, Sanitizer, Trigger, Type, transport,
};

pub(crate) fn contract(contract: &Contract, resource: &[Attribute]) -> Result<(), String> {
    if contract.id.is_empty() || contract.system.is_empty() {
        return Err("it needs an id and a system".to_owned());
    }
    // Both are printed, and the id is typed after `--contract`.
    if contract.id.contains(|c: char| c.is_whitespace() || c.is_control())
        || contract.system.contains(char::is_control)
    {
        return Err("its id and system must be words without white space".to_owned());
    }
    if let Some(url) = contract.notice_url.as_deref() {
        let page = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        if page.is_none_or(|page| page.is_empty() || !page.chars().all(|c| c.is_ascii_graphic())) {
            return Err("`notice_url` is not a URL; write https://host/page".to_owned());
        }
    }
    if let Some(name) = duplicate(resource.iter().map(|attribute| attribute.name.as_ref())) {
        return Err(format!("resource attribute `{name}` is declared twice"));
    }
    for attribute in resource {
        fits(&attribute.sanitize, attribute.ty)
            .map_err(|what| format!("resource attribute `{}`: {what}", attribute.name))?;
        if attribute.ty == Type::Histogram {
            return Err(format!("resource attribute `{}` cannot be a histogram", attribute.name));
        }
    }
    if let Some(kind) = duplicate(contract.messages.iter().map(|spec| spec.record.as_ref())) {
        return Err(format!("two messages are made from records of kind `{kind}`"));
    }
    for spec in contract.messages.iter() {
        let after = match &spec.trigger {
            Trigger::After(kind) => vec![kind],
            Trigger::Interval { schedules, .. } => schedules.iter().map(|one| &one.after).collect(),
            _ => Vec::new(),
        };
        for kind in after {
            if !contract.messages.iter().any(|other| other.record == *kind) {
                return Err(format!("message `{}` waits for the unknown kind `{kind}`", spec.name));
            }
        }
    }
    Ok(())
}

pub(crate) fn message(spec: &MessageSpec) -> Result<(), String> {
    if spec.record.is_empty() {
        return Err("the contract has no such message to add a field to".to_owned());
    }
    if spec.record == transport::RUN {
        return Err(format!("`{}` is the kind of the whole run; choose another", transport::RUN));
    }
    if let Some(name) = duplicate(spec.fields.iter().map(|field| field.name.as_ref())) {
        return Err(format!("field `{name}` is declared twice"));
    }
    for (place, one) in spec.fields.iter().enumerate() {
        field(one, place, &spec.trigger).map_err(|what| format!("field `{}`: {what}", one.name))?;
    }
    let keys = spec.fields.iter().filter(|one| one.instrument == Some(Instrument::Dimension));
    if keys.count() > 1 {
        return Err("has several dimensions; a series has one name".to_owned());
    }
    Ok(())
}

fn field(field: &Field, place: usize, trigger: &Trigger) -> Result<(), String> {
    if field.optional && place == 0 {
        return Err("the first field of a message cannot be left out".to_owned());
    }
    if field.source.record().is_some_and(|name| transport::names().any(|own| own == name)) {
        return Err("reads an attribute that the library sets itself".to_owned());
    }
    fits(&field.sanitize, field.ty)?;
    if field.ty == Type::Histogram {
        let ascend = field.bounds.is_sorted_by(|one, next| one < next);
        let finite = field.bounds.iter().all(|bound| bound.is_finite());
        if field.bounds.len() < 2 || !ascend || !finite {
            return Err("a histogram needs two or more finite bounds that ascend".to_owned());
        }
        // Room for `+Inf`.
        if field.bounds.len() >= LIST {
            return Err(format!("a histogram has fewer than {LIST} bounds"));
        }
    }
    let Some(instrument) = field.instrument else { return Ok(()) };
    let right = match instrument {
        Instrument::Counter | Instrument::Gauge => field.ty == Type::Int,
        Instrument::Dimension => field.ty == Type::Str,
        Instrument::Histogram => field.ty == Type::Histogram,
    };
    if !right {
        return Err(format!("a {instrument:?} cannot have the type {:?}", field.ty));
    }
    if field.source.record().is_none() || !matches!(trigger, Trigger::Interval { .. }) {
        return Err("only an attribute of a message at intervals has an instrument".to_owned());
    }
    Ok(())
}

/// Refuses a step for text on a number: it would do nothing, and its author thinks that it does.
fn fits(steps: &[Sanitizer], ty: Type) -> Result<(), String> {
    let wrong = steps.iter().find(|step| !step.has_effect_on(ty));
    wrong.map_or(Ok(()), |step| Err(format!("the sanitizer `{step}` has no effect on {ty:?}")))
}

/// Returns the first name that occurs twice.
fn duplicate<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen: Vec<&str> = Vec::with_capacity(64);
    for name in names {
        if seen.contains(&name) {
            return Some(name);
        }
        seen.push(name);
    }
    None
}
