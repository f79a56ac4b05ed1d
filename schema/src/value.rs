//! Coerces one attribute value to its declared type, and runs its sanitizers.

use std::borrow::Cow;

use opentelemetry::{Array, StringValue, Value};

use crate::sanitize::LIST;
use crate::{Loss, Sanitizer, Type};

/// Coerces `value` to the declared type.
///
/// `tracing` gives unsigned numbers as text and lists in their `{:?}` form, so text is parsed if the
/// contract declares a number, a switch or a list.
///
/// The second part is why something of the value was cut: a list has more entries than are read.
///
/// # Errors
///
/// The value has another type, it is a number beyond 64 bits, or it is a number that is not finite.
pub(crate) fn coerce(value: Value, ty: Type) -> Result<(Value, Option<Loss>), Loss> {
    let value = match (ty, value) {
        (Type::Bool, value @ Value::Bool(_))
        | (Type::Int, value @ Value::I64(_))
        | (Type::Str, value @ Value::String(_))
        | (Type::Ints | Type::Histogram, value @ Value::Array(Array::I64(_)))
        | (Type::Strs, value @ Value::Array(Array::String(_))) => value,
        // An empty list loses its type on its way over OTLP.
        (Type::Ints | Type::Histogram, Value::Array(list)) if is_empty(&list) => {
            Value::Array(Array::I64(Vec::new()))
        }
        (Type::Strs, Value::Array(list)) if is_empty(&list) => {
            Value::Array(Array::String(Vec::new()))
        }
        (Type::Float, Value::F64(number)) if number.is_finite() => Value::F64(number),
        (Type::Float, Value::F64(_)) => return Err(Loss::NotFinite),
        #[expect(
            clippy::cast_precision_loss,
            reason = "a float field takes whole numbers as they are"
        )]
        (Type::Float, Value::I64(number)) => Value::F64(number as f64),
        (Type::Bool, Value::String(text)) => parse(text.as_str()).map(Value::Bool)?,
        (Type::Int, Value::String(text)) => parse(text.as_str()).map(Value::I64)?,
        (Type::Float, Value::String(text)) => match parse::<f64>(text.as_str())? {
            number if number.is_finite() => Value::F64(number),
            _ => return Err(Loss::NotFinite),
        },
        (Type::Ints | Type::Histogram, Value::String(text)) => {
            Value::Array(Array::I64(list(text.as_str())?))
        }
        (Type::Strs, Value::String(text)) => {
            let words: Vec<String> = list(text.as_str())?;
            Value::Array(Array::String(words.into_iter().map(StringValue::from).collect()))
        }
        _ => return Err(Loss::WrongType),
    };
    Ok(match value {
        Value::Array(Array::I64(mut numbers)) => {
            let cut = cut(&mut numbers);
            (Value::Array(Array::I64(numbers)), cut)
        }
        Value::Array(Array::String(mut words)) => {
            let cut = cut(&mut words);
            (Value::Array(Array::String(words)), cut)
        }
        value => (value, None),
    })
}

/// Leaves at most [`LIST`] entries.
fn cut<T>(list: &mut Vec<T>) -> Option<Loss> {
    let long = list.len() > LIST;
    list.truncate(LIST);
    long.then_some(Loss::TooLong)
}

fn is_empty(list: &Array) -> bool {
    match list {
        Array::Bool(all) => all.is_empty(),
        Array::F64(all) => all.is_empty(),
        Array::I64(all) => all.is_empty(),
        Array::String(all) => all.is_empty(),
        _ => false,
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Loss> {
    text.parse().map_err(|_| Loss::WrongType)
}

fn list<T: serde::de::DeserializeOwned>(text: &str) -> Result<Vec<T>, Loss> {
    // The `{:?}` form of a list of numbers or plain words is also JSON.
    serde_json::from_str(text).map_err(|_| Loss::WrongType)
}

/// Runs all `steps` over `value`. A text that they do not change is not copied.
pub(crate) fn sanitize(value: Value, steps: &[Sanitizer]) -> Value {
    let replaced = |text: &StringValue| {
        let mut clean = Cow::Borrowed(text.as_str());
        for step in steps {
            clean = match clean {
                Cow::Borrowed(text) => step.text(text),
                Cow::Owned(text) => Cow::Owned(step.text(&text).into_owned()),
            };
        }
        (clean != text.as_str()).then(|| StringValue::from(clean.into_owned()))
    };
    match value {
        Value::String(text) => Value::String(replaced(&text).unwrap_or(text)),
        Value::Array(Array::String(words)) => Value::Array(Array::String(
            words.into_iter().map(|word| replaced(&word).unwrap_or(word)).collect(),
        )),
        Value::I64(number) => {
            Value::I64(steps.iter().fold(number, |number, step| step.int(number)))
        }
        Value::F64(number) => {
            Value::F64(steps.iter().fold(number, |number, step| step.float(number)))
        }
        value => value,
    }
}
