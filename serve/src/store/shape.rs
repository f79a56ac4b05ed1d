//! The parts of each message that the store reads, by the contracts: whose it is, when it counts, and what it tells.

use std::collections::HashMap;

use otel_usage_schema::resource::INSTANCE_ID;
use otel_usage_schema::run::SEQUENCE_NUMBER;
use otel_usage_schema::{Contract, Instrument, MessageSpec, Origin, Source, Trigger};
use sha2::{Digest as _, Sha256};

/// The keys of start reports that become facets. A key means the same in every contract that has it.
pub(crate) const FACETS: &[(&str, &str)] = &[
    ("context", "context"),
    ("data_parallel_size", "data_parallel_size"),
    ("deployment_mode", "deployment_mode"),
    ("dtype", "dtype"),
    ("gpu_count", "accelerators"),
    ("gpu_type", "accelerator"),
    ("l1_size_bytes", "l1_bytes"),
    ("l2_adapter_types", "l2_adapters"),
    ("lmcache_version", "version"),
    ("model_architecture", "model_architecture"),
    ("model_name", "model_name"),
    ("pipeline_parallel_size", "pipeline_parallel_size"),
    ("provider", "provider"),
    ("quantization", "quantization"),
    ("source", "source"),
    ("tensor_parallel_size", "tensor_parallel_size"),
    ("vllm_version", "version"),
];

/// The parts of one message of a contract that the store reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) contract: String,
    pub(crate) message: String,
    /// The system of the contract, such as `vllm`.
    pub(crate) engine: String,
    /// The key with the identity of the process.
    pub(crate) id: Option<String>,
    /// The key with the identity of the machine.
    pub(crate) machine: Option<String>,
    pub(crate) kind: Kind,
}

/// The kinds of messages, by what they tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The engine is alive.
    Beat,
    /// The numbers of an interval. The keys hold its number and what distinguishes two messages of one number.
    Interval { sequence: String, series: Vec<String> },
    /// The engine has started. `first` if it is the first message of a start.
    Start { first: bool },
    /// Nothing that is asked for.
    Other,
}

/// The shapes of all messages.
#[derive(Debug)]
pub(crate) struct Shapes {
    list: Vec<Shape>,
    places: HashMap<String, HashMap<String, usize>>,
    hash: [u8; 32],
}

impl Shapes {
    /// Reads the built-in contracts and `own`, which replace built-in ones of the same id.
    pub(crate) fn new(own: &[Contract]) -> Self {
        let built_in = Contract::built_in();
        let built_in = built_in.into_iter().filter(|c| own.iter().all(|own| own.id != c.id));
        let mut all: Vec<&Contract> = built_in.chain(own).collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        let mut hash = Sha256::new();
        all.iter().for_each(|contract| hash.update(contract.to_json()));
        let hash = hash.finalize().into();
        let mut shapes = Self { list: Vec::new(), places: HashMap::new(), hash };
        for contract in all {
            for message in contract.messages.iter() {
                shapes
                    .places
                    .entry(contract.id.to_string())
                    .or_default()
                    .insert(message.name.to_string(), shapes.list.len());
                shapes.list.push(shape(contract, message));
            }
        }
        shapes
    }

    /// Returns the place of a message.
    pub(crate) fn find(&self, contract: &str, message: &str) -> Option<usize> {
        self.places.get(contract)?.get(message).copied()
    }

    /// Returns the ids of all contracts.
    pub(crate) fn contracts(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Returns the hash of all contracts with their fields.
    pub(crate) const fn contracts_hash(&self) -> [u8; 32] {
        self.hash
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Shape> {
        self.list.get(place)
    }
}

fn shape(contract: &Contract, message: &MessageSpec) -> Shape {
    let key = |is: &dyn Fn(&Source) -> bool| {
        let field = message.fields.iter().find(|field| is(&field.source))?;
        Some(field.name.to_string())
    };
    let resource = |name: &str| key(&|source| source.resources() == [name]);
    let machine = contract.attributes.iter().find(|one| one.origin == Origin::MachineId);
    let sequence = key(&|source| source.record() == Some(SEQUENCE_NUMBER));
    let id = resource(INSTANCE_ID);
    let kind = match (&message.trigger, sequence) {
        (Trigger::Heartbeat { .. }, _) if id.is_some() => Kind::Beat,
        (Trigger::Interval { .. }, Some(sequence)) if id.is_some() => {
            let dimensions = message
                .fields
                .iter()
                .filter(|field| field.instrument == Some(Instrument::Dimension));
            Kind::Interval { sequence, series: dimensions.map(|f| f.name.to_string()).collect() }
        }
        (Trigger::Heartbeat { .. } | Trigger::Interval { .. } | Trigger::Finish, _) => Kind::Other,
        (trigger, _) => Kind::Start { first: *trigger == Trigger::Start },
    };
    Shape {
        contract: contract.id.to_string(),
        message: message.name.to_string(),
        engine: contract.system.to_string(),
        id,
        machine: machine.and_then(|machine| resource(&machine.name)),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_say_what_a_message_tells() {
        let shapes = Shapes::new(&[]);
        let of = |contract, message| {
            shapes.get(shapes.find(contract, message).unwrap()).unwrap().clone()
        };
        let beat = of("vllm/current", "heartbeat");
        assert_eq!((beat.id.as_deref(), beat.kind), (Some("uuid"), Kind::Beat));
        let report = of("vllm/0.11", "report");
        assert_eq!((report.engine.as_str(), report.kind), ("vllm", Kind::Start { first: false }));
        let l2 = of("lmcache/1", "L2ConnectorUsageMessage");
        assert_eq!(
            (l2.id.as_deref(), l2.machine.as_deref()),
            (Some("session_id"), Some("machine_id"))
        );
        let interval =
            Kind::Interval { sequence: "sequence_number".into(), series: vec!["l2_name".into()] };
        assert_eq!(l2.kind, interval);
        let old = of("lmcache/legacy", "EnvMessage");
        assert_eq!((old.id, old.kind), (None, Kind::Start { first: true }));
        assert_eq!(of("lmcache/legacy", "ContinuousContextMessage").kind, Kind::Other);
    }
}
