//! Contracts: what may leave, as tables.
//!
//! A [`Contract`] says for one engine which messages it sends, to which endpoint and when, and for
//! each field its wire name, type, unit, source, null rule, sanitizers and one line of
//! documentation. The flattener, the preview and the closed world of every sink follow from these
//! tables and from nothing else: an attribute that no table declares does not leave the process.
//!
//! The built-in contracts ([`vllm`], [`lmcache`]) are constants of the same public types that an
//! engine of your own uses; [`Contract::with_field`] extends one at initialisation.

mod compile;
mod environment;
mod field;
pub mod lmcache;
mod omit;
pub(crate) mod record;
pub mod sanitize;
mod value;
pub mod vllm;

use std::borrow::Cow;

pub use compile::{CompiledContract, Environment, Loss, Record, TraceIds};
pub use environment::ENVIRONMENT;
pub(crate) use environment::PROBE_ACCELERATOR;
pub use field::{Attribute, Field, Literal, Source, Type};
pub use record::{Attributes, IntoAttribute, UsageRecord};
pub use sanitize::Sanitizer;

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
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Name and version, for example `vllm/current`. Travels as `usage.contract`.
    pub id: Cow<'static, str>,
    /// The engine, for example `vllm`. Becomes `service.name`.
    pub system: Cow<'static, str>,
    /// Base URL of the usage server. `None`: there is none, and `server` must be given one.
    pub server: Option<Cow<'static, str>>,
    /// Environment variable that replaces [`Self::server`], as the engine's users know it.
    pub server_variable: Option<Cow<'static, str>>,
    /// Name of the local JSON-lines file in the engine's configuration directory; written by
    /// default. `None`: no local file unless asked for.
    pub local_file: Option<Cow<'static, str>>,
    /// Switches of the engine's own that turn collection off, beside those for every engine.
    pub switches: Cow<'static, [Switch]>,
    /// Where the engine keeps its configuration: it may hold a `do_not_track` file.
    pub directory: Directory,
    /// Resource attributes of this engine, beside [`ENVIRONMENT`].
    pub attributes: Cow<'static, [Attribute]>,
    /// The messages, in the order in which they are sent at start.
    pub messages: Cow<'static, [MessageSpec]>,
    /// Attributes that the operator leaves out; see [`Contract::without`].
    pub omitted: Cow<'static, [Cow<'static, str>]>,
}

/// One message of a contract.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageSpec {
    /// The receiver's name for it, for example `EnvMessage`.
    pub name: Cow<'static, str>,
    /// The kind of record it is made from: the name of the span or event, for example
    /// `lmcache.engine`.
    pub record: Cow<'static, str>,
    /// Path below the base URL. Empty: the base URL itself.
    pub endpoint: Cow<'static, str>,
    /// When it is sent.
    pub trigger: Trigger,
    /// The fields, in the order of the wire.
    pub fields: Cow<'static, [Field]>,
}

/// When a message is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// Once, right after the first record of this kind: `MetadataMessage` follows `EngineMessage`.
    After(Cow<'static, str>),
    /// Once, when the run finishes.
    Finish,
    /// Every so many seconds once the first report is made. An engine may also record one itself.
    Heartbeat {
        /// Seconds between two beats.
        seconds: u32,
    },
    /// Whenever the engine records one.
    Record,
    /// Once, before the first record of any kind.
    Start,
}

/// An environment variable of one engine that turns collection off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The variable.
    pub variable: Cow<'static, str>,
    /// Which of its values mean off.
    pub off: OffWhen,
}

/// Which values of a [`Switch`] turn collection off. Words are trimmed, any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Directory {
    /// `~/.config/<name>`, whatever `XDG_CONFIG_HOME` says, as LMCache has it.
    Home(Cow<'static, str>),
    /// The engine has none of its own.
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
        self.messages.to_mut().push(MessageSpec {
            name: Cow::Owned(message.to_owned()),
            record: Cow::Borrowed(""),
            endpoint: Cow::Borrowed(""),
            trigger: Trigger::Record,
            fields: Cow::Owned(vec![field]),
        });
        self
    }

    /// The contracts this crate knows.
    #[must_use]
    pub fn built_in() -> [&'static Self; 4] {
        [&vllm::CURRENT, &vllm::V0_4_0, &lmcache::V1, &lmcache::DOC]
    }
}
