//! The contract of one engine: its messages, its switches, and where its data goes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    Attribute, DescribedRecord, Field, Origin, Privacy, RESOURCE_ATTRIBUTES, Trigger, lmcache, vllm,
};

/// The wire contract of one engine: what it may send, when, and where to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Contract {
    /// Name and version, for example `vllm/current`. Travels as `otel_usage.contract`.
    pub id: Cow<'static, str>,
    /// The engine, for example `vllm`. Becomes `service.name`.
    pub system: Cow<'static, str>,
    /// Base URL of the usage server. `None` if the contract names none; the operator or the builder
    /// must then name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Cow<'static, str>>,
    /// Environment variable that replaces [`Self::server`], as the engine's users know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_variable: Option<Cow<'static, str>>,
    /// Name of the local JSON-lines file in the engine's configuration directory; written by
    /// default. `None` if no local file is written unless it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_file: Option<Cow<'static, str>>,
    /// Switches of the engine that turn collection off, beside those for every engine.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub switches: Cow<'static, [Switch]>,
    /// The engine's configuration directory, which may hold a `do_not_track` file.
    #[serde(default)]
    pub directory: Directory,
    /// Resource attributes of this engine, beside [`crate::RESOURCE_ATTRIBUTES`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub attributes: Cow<'static, [Attribute]>,
    /// The messages, in the order in which they are sent at start.
    pub messages: Cow<'static, [MessageSpec]>,
    /// Environment variable that sets the interval of messages that are sent at intervals, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_variable: Option<Cow<'static, str>>,
    /// Environment variable of the engine that allows collection in a CI run when it is set. With `None`,
    /// only `OTEL_USAGE_MODE=on` allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_variable: Option<Cow<'static, str>>,
    /// The page that tells people what is collected and why. The notice before the first message names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice_url: Option<Cow<'static, str>>,
    /// Attributes that the operator leaves out, by [`Contract::without`].
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    pub omitted: Cow<'static, [Cow<'static, str>]>,
}

/// One message of a contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MessageSpec {
    /// The receiver's name of the message, for example `EnvMessage`.
    pub name: Cow<'static, str>,
    /// The kind of the records that become this message, for example `lmcache.engine`.
    pub record: Cow<'static, str>,
    /// Path below the base URL; empty for the base URL itself.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub endpoint: Cow<'static, str>,
    /// The event that makes the library send it.
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
    /// The values that mean off.
    pub off: OffWhen,
}

impl Switch {
    /// Returns what to set to turn collection off, for example `VLLM_NO_USAGE_STATS=1`.
    #[must_use]
    pub fn setting(&self) -> String {
        let value = match self.off {
            OffWhen::Present | OffWhen::True => "1",
            OffWhen::NotTrue => "false",
        };
        format!("{}={value}", self.variable)
    }
}

/// The values of a [`Switch`] that turn collection off. Words are trimmed, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffWhen {
    /// Any value, if the variable is set.
    Present,
    /// Any value but `1`, `true`, `yes` and `on`, if the variable is set.
    NotTrue,
    /// Any value but the empty one, `0`, `false`, `no` and `off`.
    True,
}

/// The directory in which an engine keeps its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Directory {
    /// `~/.config/<name>`, whatever `XDG_CONFIG_HOME` says, as LMCache has it.
    Home(Cow<'static, str>),
    /// None: the engine has no directory.
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
    /// Returns a contract without messages, server and switches: the start of an engine's own.
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
            ci_variable: None,
            notice_url: None,
            omitted: Cow::Borrowed(&[]),
        }
    }

    /// Sets the usage server that is used by default.
    #[must_use]
    pub fn with_server(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.server = Some(url.into());
        self
    }

    /// Sets an environment variable that names another usage server.
    #[must_use]
    pub fn with_server_variable(mut self, variable: impl Into<Cow<'static, str>>) -> Self {
        self.server_variable = Some(variable.into());
        self
    }

    /// Sets the page that the notice names: what is collected, why, and how to stop it.
    #[must_use]
    pub fn with_notice_url(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.notice_url = Some(url.into());
        self
    }

    /// Adds a switch of the engine, beside those that turn every engine off.
    #[must_use]
    pub fn with_switch(mut self, variable: impl Into<Cow<'static, str>>, off: OffWhen) -> Self {
        self.switches.to_mut().push(Switch { variable: variable.into(), off });
        self
    }

    /// Adds a Resource attribute of the engine.
    #[must_use]
    pub fn with_attribute(mut self, attribute: Attribute) -> Self {
        self.attributes.to_mut().push(attribute);
        self
    }

    /// Adds a message.
    #[must_use]
    pub fn with_message(mut self, message: MessageSpec) -> Self {
        self.messages.to_mut().push(message);
        self
    }

    /// Adds a field at the end of `message`, for a value that the built-in contract does not have.
    ///
    /// A message that the contract does not have is an error when the contract is compiled.
    #[must_use]
    pub fn with_field(mut self, message: &str, field: Field) -> Self {
        for spec in self.messages.to_mut() {
            if spec.name == message {
                spec.fields.to_mut().push(field);
                return self;
            }
        }
        // The impossible message makes `CompiledContract::new` name the mistake.
        let mut impossible = MessageSpec::new("", "", Trigger::Record);
        impossible.name = Cow::Owned(message.to_owned());
        self.with_message(impossible)
    }

    /// Returns whether both contracts hold the same tables. Only the addresses of tables are compared,
    /// so that equal copies count as different.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && std::ptr::eq(&*self.messages, &*other.messages)
            && std::ptr::eq(&*self.attributes, &*other.attributes)
            && self.omitted == other.omitted
            && (&self.system, &self.server, &self.server_variable, &self.local_file)
                == (&other.system, &other.server, &other.server_variable, &other.local_file)
            && (&self.switches, &self.directory) == (&other.switches, &other.directory)
            && (&self.interval_variable, &self.ci_variable, &self.notice_url)
                == (&other.interval_variable, &other.ci_variable, &other.notice_url)
    }

    /// Returns the classes of data that its messages and their Resource hold, in alphabetical order, apart from the
    /// envelope that every message has.
    #[must_use]
    pub fn data_classes(&self) -> Vec<Privacy> {
        let fields = self.messages.iter().flat_map(|message| message.fields.iter());
        let of_fields = fields.map(|field| field.privacy);
        let attributes = self.attributes.iter().chain(RESOURCE_ATTRIBUTES);
        let all = of_fields.chain(attributes.map(|one| one.privacy));
        let classes: BTreeSet<Privacy> = all.filter(|class| *class != Privacy::Envelope).collect();
        classes.into_iter().collect()
    }

    /// Returns the environment variables that the contract names.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let directory = match &self.directory {
            Directory::Xdg { variable: Some(variable), .. } => Some(variable),
            _ => None,
        };
        let of_attributes = self.attributes.iter().filter_map(|one| match &one.origin {
            Origin::Variable(variable) => Some(variable),
            _ => None,
        });
        let switches = self.switches.iter().map(|switch| &switch.variable);
        let single = [&self.server_variable, &self.interval_variable, &self.ci_variable];
        let all = switches.chain(single.into_iter().flatten()).chain(directory);
        all.chain(of_attributes).map(AsRef::as_ref)
    }

    /// Returns the contracts that are built in.
    #[must_use]
    pub const fn built_in() -> [&'static Self; 7] {
        [
            &vllm::CURRENT,
            &vllm::V0_11,
            &vllm::V0_7,
            &vllm::V0_4_0,
            &lmcache::V1,
            &lmcache::DOC,
            &lmcache::LEGACY,
        ]
    }
}

impl MessageSpec {
    /// Returns a message without fields, made from records of the kind `record`.
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

    /// Returns the message that each record of the type `R` becomes.
    #[must_use]
    pub const fn from_record<R: DescribedRecord>(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            record: Cow::Borrowed(R::KIND),
            endpoint: Cow::Borrowed(""),
            trigger: Trigger::Record,
            fields: Cow::Borrowed(R::FIELDS),
        }
    }

    /// Sets the path below the server's base URL.
    #[must_use]
    pub fn at(mut self, endpoint: impl Into<Cow<'static, str>>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Puts these fields before the others.
    #[must_use]
    pub fn with_header(mut self, fields: &[Field]) -> Self {
        self.fields.to_mut().splice(0..0, fields.iter().cloned());
        self
    }
}
