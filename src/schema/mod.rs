//! Contracts: what may leave, as tables.
//!
//! A [`Contract`] says for one engine which messages it sends, to which endpoint and when, and for
//! each field its wire name, type, unit, source, null rule, sanitizers and one line of
//! documentation. The flattener, the preview and the closed world of every sink follow from these
//! tables and from nothing else: an attribute that no table declares does not leave the process.
//!
//! The built-in contracts ([`vllm`], [`lmcache`]) are constants of the same public types that an
//! engine of your own uses; [`Contract::with_field`] extends one at initialisation.

mod check;
mod compile;
pub mod environment;
mod field;
mod file;
mod freedom;
mod kind;
pub mod lmcache;
mod omit;
mod read;
pub(crate) mod record;
pub mod sanitize;
mod table;
mod trigger;
mod value;
pub mod vllm;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// An attribute and its value, as OpenTelemetry has them: what a record is made of.
pub use opentelemetry::{KeyValue, Value};

pub use compile::CompiledContract;
pub use environment::ENVIRONMENT;
pub(crate) use environment::PROBE_ACCELERATOR;
pub use field::{Attribute, Field};
pub use kind::{Instrument, Literal, Privacy, Source, Type};
pub use read::{Environment, Loss, Record, TraceIds};
pub use record::{Attributes, DescribedRecord, IntoAttribute, TypedAttribute, UsageRecord};
pub use sanitize::Sanitizer;
pub use trigger::{Schedule, Trigger};

pub(crate) use compile::{CompiledField, CompiledMessage, Slot};

/// Attributes that every exported span carries beside those of its contract: the bridge and the
/// collector route by them. They never reach flat JSON.
pub mod transport {
    /// The contract's id, for example `vllm/current`. Shape: string.
    pub const CONTRACT: &str = "usage.contract";
    /// The record's kind, for example `lmcache.engine`. Shape: string.
    pub const RECORD: &str = "usage.record";
    /// The record's identity. Shape: UUID v4 in lower case.
    pub const RECORD_ID: &str = "usage.record.id";
    /// `direct` when this process also posts to the usage server itself, so that a bridge does not
    /// deliver the record a second time. Shape: string. Absent otherwise.
    pub const DELIVERY: &str = "usage.delivery";
    /// The kind of the span that lasts from start to finish of the run; OTLP only.
    pub const RUN: &str = "run";
}

/// The wire contract of one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Contract {
    /// Name and version, for example `vllm/current`. Travels as `usage.contract`.
    pub id: Cow<'static, str>,
    /// The engine, for example `vllm`. Becomes `service.name`.
    pub system: Cow<'static, str>,
    /// Base URL of the usage server. `None`: there is none, and `server` must be given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Cow<'static, str>>,
    /// Environment variable that replaces [`Self::server`], as the engine's users know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_variable: Option<Cow<'static, str>>,
    /// Name of the local JSON-lines file in the engine's configuration directory; written by
    /// default. `None`: no local file unless asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_file: Option<Cow<'static, str>>,
    /// Switches of the engine's own that turn collection off, beside those for every engine.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub switches: Cow<'static, [Switch]>,
    /// Where the engine keeps its configuration: it may hold a `do_not_track` file.
    #[serde(default)]
    pub directory: Directory,
    /// Resource attributes of this engine, beside [`ENVIRONMENT`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub attributes: Cow<'static, [Attribute]>,
    /// The messages, in the order in which they are sent at start.
    pub messages: Cow<'static, [MessageSpec]>,
    /// Environment variable that sets the interval of messages that are sent at intervals, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_variable: Option<Cow<'static, str>>,
    /// Attributes that the operator leaves out; see [`Contract::without`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub omitted: Cow<'static, [Cow<'static, str>]>,
}

/// One message of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MessageSpec {
    /// The receiver's name for it, for example `EnvMessage`.
    pub name: Cow<'static, str>,
    /// The kind of record it is made from: the name of the span or event, for example
    /// `lmcache.engine`.
    pub record: Cow<'static, str>,
    /// Path below the base URL. Empty: the base URL itself.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub endpoint: Cow<'static, str>,
    /// When it is sent.
    pub trigger: Trigger,
    /// The fields, in the order of the wire.
    pub fields: Cow<'static, [Field]>,
}

/// An environment variable of one engine that turns collection off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// The variable.
    pub variable: Cow<'static, str>,
    /// Which of its values mean off.
    pub off: OffWhen,
}

/// Which values of a [`Switch`] turn collection off. Words are trimmed, any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OffWhen {
    /// The variable is there, whatever its value.
    Present,
    /// The variable is there and says anything but `1`, `true`, `yes` or `on`.
    NotTrue,
    /// The variable says anything but nothing, `0`, `false`, `no` or `off`.
    True,
}

/// Where an engine keeps its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Directory {
    /// `~/.config/<name>`, whatever `XDG_CONFIG_HOME` says, as LMCache has it.
    Home(Cow<'static, str>),
    /// The engine has none of its own.
    #[default]
    None,
    /// `${XDG_CONFIG_HOME:-~/.config}/<name>`, or the value of `variable` if that is set.
    Xdg {
        /// A variable that names the whole directory, for example `VLLM_CONFIG_ROOT`.
        variable: Option<Cow<'static, str>>,
        /// The directory's name.
        name: Cow<'static, str>,
    },
}

impl Contract {
    /// A contract without messages, server or switches: what an engine of your own begins with.
    #[must_use]
    pub const fn new(id: &'static str, system: &'static str) -> Self {
        Self {
            id: Cow::Borrowed(id),
            system: Cow::Borrowed(system),
            server: None,
            server_variable: None,
            local_file: None,
            switches: Cow::Borrowed(&[]),
            directory: Directory::None,
            attributes: Cow::Borrowed(&[]),
            messages: Cow::Borrowed(&[]),
            interval_variable: None,
            omitted: Cow::Borrowed(&[]),
        }
    }

    /// This contract with a usage server by default.
    #[must_use]
    pub fn with_server(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.server = Some(url.into());
        self
    }

    /// This contract with an environment variable that names another usage server.
    #[must_use]
    pub fn with_server_variable(mut self, variable: impl Into<Cow<'static, str>>) -> Self {
        self.server_variable = Some(variable.into());
        self
    }

    /// This contract with a switch of the engine's own, beside those that turn every engine off.
    #[must_use]
    pub fn with_switch(mut self, variable: impl Into<Cow<'static, str>>, off: OffWhen) -> Self {
        self.switches.to_mut().push(Switch { variable: variable.into(), off });
        self
    }

    /// This contract with a Resource attribute of the engine's own.
    #[must_use]
    pub fn with_attribute(mut self, attribute: Attribute) -> Self {
        self.attributes.to_mut().push(attribute);
        self
    }

    /// This contract with one more message.
    #[must_use]
    pub fn with_message(mut self, message: MessageSpec) -> Self {
        self.messages.to_mut().push(message);
        self
    }

    /// This contract with one more field at the end of `message`.
    ///
    /// Serves values that only the engine knows (vLLM's `extra_kvs`, runtime keys of a heartbeat).
    /// A message that the contract does not have is reported when the contract is used.
    #[must_use]
    pub fn with_field(mut self, message: &str, field: Field) -> Self {
        for spec in self.messages.to_mut() {
            if spec.name == message {
                spec.fields.to_mut().push(field);
                return self;
            }
        }
        // Kept as an impossible message, so that `compile` can name the mistake.
        let mut impossible = MessageSpec::new("", "", Trigger::Record);
        impossible.name = Cow::Owned(message.to_owned());
        self.with_message(impossible)
    }

    /// The contracts this crate knows.
    #[must_use]
    pub fn built_in() -> [&'static Self; 5] {
        [&vllm::CURRENT, &vllm::V0_4_0, &lmcache::V1, &lmcache::DOC, &lmcache::LEGACY]
    }
}

impl MessageSpec {
    /// A message without fields, made from records of the kind `record`.
    #[must_use]
    pub const fn new(name: &'static str, record: &'static str, trigger: Trigger) -> Self {
        Self {
            name: Cow::Borrowed(name),
            record: Cow::Borrowed(record),
            endpoint: Cow::Borrowed(""),
            trigger,
            fields: Cow::Borrowed(&[]),
        }
    }

    /// The message that a described record becomes whenever the engine records one.
    #[must_use]
    pub const fn of<R: DescribedRecord>(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            record: Cow::Borrowed(R::KIND),
            endpoint: Cow::Borrowed(""),
            trigger: Trigger::Record,
            fields: Cow::Borrowed(R::FIELDS),
        }
    }

    /// The message at this path below the server's base URL.
    #[must_use]
    pub fn at(mut self, endpoint: impl Into<Cow<'static, str>>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// The message with these fields before its others: what every message of an engine begins with.
    #[must_use]
    pub fn with_header(mut self, fields: &[Field]) -> Self {
        self.fields.to_mut().splice(0..0, fields.iter().cloned());
        self
    }
}
