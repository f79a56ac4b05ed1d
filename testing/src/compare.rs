//! Compares the requests of a Python original with ours in the same scenario, field by field.
//!
//! A field is equal to the byte, or differs as `docs/receiver/compatibility.md` says, or is a difference.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::receiver::Request;

/// A field, the condition on its two values (original, ours, as text) under which they may differ, and the
/// line of the document that allows it.
pub type Difference = (&'static str, fn(&str, &str) -> bool, &'static str);

/// The differences that the engines of the scenarios may show.
pub const DIFFERENCES: [Difference; 7] = [
    (
        "remote_url",
        |original, ours| original.starts_with("\"redis://") && ours == "\"redis://\"",
        "| LMCache `remote_url` |",
    ),
    (
        "model_name",
        |original, ours| original.starts_with("\"/") && ours == "\"<local>\"",
        "| LMCache `model_name` |",
    ),
    ("gpu_type", |_, ours| ours == "\"\"", "| LMCache `gpu_type` without accelerator |"),
    // The library reads existing devices from the driver. The originals are told that there are none.
    ("gpu_type", |_, _| has_accelerator(), "| `gpu_*`, `cuda_runtime` |"),
    ("gpu_count", |_, _| has_accelerator(), "| `gpu_*`, `cuda_runtime` |"),
    ("gpu_memory_per_device", |_, _| has_accelerator(), "| `gpu_*`, `cuda_runtime` |"),
    (
        "cpu_family_model_stepping",
        |original, ours| original.trim_end_matches('"') == ours.trim_end_matches("0\""),
        "| `cpu_family_model_stepping` with a zero |",
    ),
];

/// Messages at intervals, which have no order among each other.
const INTERVALS: [&str; 4] = [
    "ContinuousContextMessage",
    "CacheLifespanMessage",
    "L1UsageMessage",
    "L2ConnectorUsageMessage",
];

type Form = fn(&str) -> bool;

/// Fields that are random or hold a time. Both values must have this form.
const VARIES: [(&str, Form); 7] = [
    ("uuid", is_uuid),
    ("session_id", is_uuid),
    ("log_time", is_now),
    ("start_time", is_local_time),
    ("duration", is_seconds),
    ("active_seconds", is_seconds),
    ("uptime_seconds", is_seconds),
];

/// One message, compared.
#[derive(Debug)]
pub struct Compared {
    /// Its name, with a number if the message is repeated.
    pub message: String,
    /// Fields of the original.
    pub fields: usize,
    /// Fields that differ as documented.
    pub documented: Vec<&'static str>,
    /// Differences that are not documented.
    pub differences: Vec<String>,
}

/// Compares all requests of an original with all of ours.
pub fn compare(original: &[Request], ours: &[Request]) -> Result<Vec<Compared>, String> {
    let (original, ours) = (messages(original)?, messages(ours)?);
    let mut compared: Vec<Compared> = original
        .iter()
        .map(|theirs| match ours.iter().find(|message| message.name == theirs.name) {
            Some(message) => theirs.against(message),
            None => theirs.alone(),
        })
        .collect();
    let order = |all: &[Message], others: &[Message]| {
        all.iter()
            .map(|message| message.name.clone())
            .filter(|name| !INTERVALS.iter().any(|interval| name.starts_with(interval)))
            .filter(|name| others.iter().any(|other| other.name == *name))
            .collect::<Vec<_>>()
    };
    let (theirs, mine) = (order(&original, &ours), order(&ours, &original));
    let mut whole = Compared::new("run", 0);
    whole.unless(theirs == mine, || format!("messages in the order {theirs:?}, ours {mine:?}"));
    for message in &ours {
        let known = original.iter().any(|theirs| theirs.name == message.name);
        whole.unless(known, || format!("{}: only we send it", message.name));
        let same = message.identity == ours.first().and_then(|first| first.identity.clone());
        whole.unless(same, || format!("{}: another identity in one run", message.name));
    }
    if !whole.differences.is_empty() {
        compared.push(whole);
    }
    Ok(compared)
}

impl Compared {
    fn new(message: &str, fields: usize) -> Self {
        let message = message.to_owned();
        Self { message, fields, documented: Vec::new(), differences: Vec::new() }
    }

    fn unless(&mut self, equal: bool, difference: impl FnOnce() -> String) {
        if !equal {
            self.differences.push(difference());
        }
    }
}

/// One request, read.
struct Message {
    name: String,
    path: String,
    content_type: Option<String>,
    body: String,
    fields: Fields,
    identity: Option<String>,
}

impl Message {
    fn against(&self, ours: &Self) -> Compared {
        let mut compared = Compared::new(&self.name, self.fields.0.len());
        compared
            .unless(self.path == ours.path, || format!("path {}, ours {}", self.path, ours.path));
        compared.unless(self.content_type == ours.content_type, || {
            format!("content type {:?}, ours {:?}", self.content_type, ours.content_type)
        });
        let keys = |message: &Self| {
            message.fields.0.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        let (theirs, mine) = (keys(self), keys(ours));
        compared.unless(theirs == mine, || format!("keys {theirs:?}, ours {mine:?}"));
        compared.unless(ours.body == ours.fields.text(), || "spaces of our text".to_owned());
        compared.unless(self.body == self.fields.text(), || "spaces of the original's".to_owned());
        for (key, theirs) in &self.fields.0 {
            let Some(mine) = ours.fields.get(key) else { continue };
            let theirs = theirs.get();
            // The same on both sides, and not the empty one of a machine that cannot store it.
            compared.unless(key != "machine_id" || is_uuid(theirs), || format!("{key}: {theirs}"));
            if let Some((_, form)) = VARIES.iter().find(|(name, _)| name == key) {
                compared.unless(form(theirs), || format!("{key}: the original's form {theirs}"));
                compared.unless(form(mine), || format!("{key}: our form {mine}"));
            } else if theirs != mine {
                let excused =
                    |(name, excused, _): &&Difference| name == key && excused(theirs, mine);
                match DIFFERENCES.iter().find(excused) {
                    Some((name, ..)) => compared.documented.push(name),
                    None => compared.differences.push(format!("{key}: {theirs}, ours {mine}")),
                }
            }
        }
        compared
    }

    fn alone(&self) -> Compared {
        let mut compared = Compared::new(&self.name, self.fields.0.len());
        compared.differences.push("we do not send it".to_owned());
        compared
    }
}

fn messages(requests: &[Request]) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    for request in requests {
        let body = request.text();
        let fields: Fields =
            serde_json::from_str(&body).map_err(|error| format!("{error} in {body}"))?;
        let word = |key| fields.get(key).map(|text| text.trim_matches('"').to_owned());
        // vLLM's messages have no name, so the keys identify the start message.
        let vllm = if fields.get("provider").is_some() { "report" } else { "heartbeat" };
        let mut name = word("message_type").unwrap_or_else(|| vllm.to_owned());
        name.extend(word("l2_name").map(|adapter| format!(" {adapter}")));
        let times = messages
            .iter()
            .filter(|before| before.name.split(" #").next() == Some(name.as_str()))
            .count();
        if times > 0 {
            name = format!("{name} #{}", times.saturating_add(1));
        }
        messages.push(Message {
            name,
            path: request.path.clone(),
            content_type: request.header("content-type").map(str::to_owned),
            identity: word("session_id").or_else(|| word("uuid")),
            body,
            fields,
        });
    }
    Ok(messages)
}

/// A flat JSON object: its keys in order, each with the text of its value.
struct Fields(Vec<(String, Box<RawValue>)>);

impl Fields {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.get())
    }

    /// The whole text, with spaces as the originals' encoder writes them.
    fn text(&self) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(key, value)| format!("\"{key}\": {}", value.get())).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    fields.push(pair);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn is_uuid(text: &str) -> bool {
    let words: Vec<&str> = text.trim_matches('"').split('-').collect();
    let lengths: Vec<usize> = words.iter().map(|word| word.len()).collect();
    let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.starts_with('"')
        && lengths == [8, 4, 4, 4, 12]
        && words.iter().all(|word| word.chars().all(hexadecimal))
        && words.get(2).is_some_and(|word| word.starts_with('4'))
        && words.get(3).is_some_and(|word| word.starts_with(['8', '9', 'a', 'b']))
}

/// Returns whether the value is nanoseconds since the epoch, at most a few minutes ago.
fn is_now(text: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = text.parse().map(Duration::from_nanos);
    then.is_ok_and(|then| now.abs_diff(then) < Duration::from_secs(600))
}

/// `YYYY-MM-DD HH:MM:SS`
fn is_local_time(text: &str) -> bool {
    let digits: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    digits == "\"0000-00-00 00:00:00\""
}

/// A float, not an integer, and not below zero.
fn is_seconds(text: &str) -> bool {
    text.contains(['.', 'e']) && text.parse::<f64>().is_ok_and(|seconds| seconds >= 0.0)
}

/// Returns whether this machine has a device with a driver that the library asks.
pub fn has_accelerator() -> bool {
    ["/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD128", "/dev/accel0", "/dev/vfio/0"]
        .iter()
        .any(|path| std::path::Path::new(path).exists())
}
