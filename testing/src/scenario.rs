//! An engine of this library that plays a scenario of the comparison with the Python originals.
//!
//! A scenario (`tests/interop/wire/scenarios`) is an engine's configuration in the words of its
//! original. The engine sends the same records as the original does with that configuration.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use otel_usage::detectors::Runtime;
use otel_usage::export::{ExportRecord, Exporter, Outcome};
use otel_usage::instruments::Series;
use otel_usage::schema::lmcache::usage as names;
use otel_usage::schema::{Contract, Field, Source, Trigger, Type, lmcache, vllm};
use otel_usage::settings::Env;
use otel_usage::{Accelerators, Attributes, Builder, Error, Usage};
use serde_json::Value;

use crate::sample;

/// Seconds between heartbeats and between intervals. Ten minutes otherwise.
const SECONDS: u32 = 2;

/// The running engine of a scenario.
#[derive(Debug)]
pub struct Engine<'a> {
    /// Its handle.
    pub usage: Usage,
    scenario: &'a Value,
    /// Receives a signal for each message of the schedule.
    later: Receiver<()>,
    /// The adapter types of a server's second level. Those that are not removed live until its end.
    adapters: RefCell<BTreeMap<String, Series>>,
}

impl<'a> Engine<'a> {
    /// Starts the engine. It sends to `url` only if that is on this machine.
    pub fn start(
        scenario: &'a Value,
        environment: impl IntoIterator<Item = (String, String)>,
        url: &str,
    ) -> Result<Self, Error> {
        let environment = Env::given(environment.into_iter().chain([
            ("OTEL_USAGE_MODE".to_owned(), "on".to_owned()),
            ("VLLM_USAGE_STATS_SERVER".to_owned(), url.to_owned()),
            ("LMCACHE_USAGE_TRACK_URL".to_owned(), url.to_owned()),
            ("LMCACHE_USAGE_TRACK_INTERVAL".to_owned(), SECONDS.to_string()),
        ]));
        let (tell, later) = channel();
        let builder = |contract: &Contract, version| {
            let builder = Usage::builder(contract)
                .with_sample_data()
                .with_environment(environment)
                .with_version(version)
                .on_notice(crate::to_test_runner)
                .with_exporter(Later(tell));
            with_accelerators(builder, &scenario["accelerator"])
        };
        let usage = match scenario["engine"].as_str() {
            Some("vllm") => {
                let usage = builder(&vllm_contract(scenario), sample::VLLM_VERSION).try_init()?;
                usage.record(vllm_report(scenario));
                usage
            }
            Some("lmcache") => {
                let usage = builder(&lmcache::V1, sample::LMCACHE_VERSION).try_init()?;
                usage.record(lmcache_engine(scenario));
                usage
            }
            _ => {
                let builder = builder(&lmcache::V1, sample::LMCACHE_VERSION);
                let usage =
                    builder.with_attribute(lmcache::DEPLOYMENT_MODE, "mp_server").try_init()?;
                usage.record(lmcache_server(scenario));
                usage
            }
        };
        Ok(Self { usage, scenario, later, adapters: RefCell::default() })
    }

    /// Plays the scenario's heartbeats or intervals. A server's last interval is still open afterwards, and
    /// its end sends it.
    pub fn run(&self) {
        for beat in items(&self.scenario["heartbeats"]) {
            self.usage.set_heartbeat(vllm_heartbeat(beat));
            self.wait_for(1);
        }
        let server = self.scenario["mp_config"].is_object();
        let mut intervals = items(&self.scenario["intervals"]).peekable();
        while let Some(interval) = intervals.next() {
            if !server {
                self.engine_interval(interval);
                self.wait_for(2);
                continue;
            }
            // Messages for cache usage, the first level, and every adapter type that exists or was used.
            let messages = self.server_interval(interval).saturating_add(2);
            if intervals.peek().is_some() {
                self.wait_for(messages);
            }
        }
    }

    fn wait_for(&self, messages: usize) {
        // The timer of the worker makes the messages. Without a worker there are no more.
        for _ in 0..messages {
            let _ = self.later.recv();
        }
    }

    fn engine_interval(&self, interval: &Value) {
        let tokens = unsigned(&interval["interval_stored_tokens"]);
        let each = lmcache_engine(self.scenario).bytes_per_token();
        self.usage.counter(names::TOKENS_STORED).add(tokens);
        self.usage.counter(names::BYTES_STORED).add(tokens.saturating_mul(each));
        self.usage.counter(names::TOKENS_HIT).add(unsigned(&interval["interval_hit_tokens"]));
        let lifespan = self.usage.histogram(names::LIFESPAN_MINUTES);
        for minutes in items(&interval["interval_request_cache_lifespan"]) {
            lifespan.record(minutes.as_f64().unwrap_or_default());
        }
    }

    /// Plays one interval of a server. Returns how many adapter types existed or were used.
    fn server_interval(&self, interval: &Value) -> usize {
        let mut adapters = self.adapters.borrow_mut();
        let usage = &self.usage;
        let chunk = unsigned(&self.scenario["mp_config"]["chunk_size"]);
        let adapter = |name: &str| usage.series(names::L2_ADAPTER, name);
        for (name, group) in interval["l2"].as_object().into_iter().flatten() {
            let series = adapters.entry(name.clone()).or_insert_with(|| adapter(name));
            let sum = |place: usize| items(group).map(|pair| int(&pair[place]).max(0)).sum();
            let unbounded = items(group).filter(|pair| int(&pair[1]) <= 0).count();
            series.gauge(names::L2_BYTES_USED).set(sum(0));
            series.gauge(names::L2_BYTES_CAPACITY).set(sum(1));
            let unbounded = i64::try_from(unbounded).unwrap_or_default();
            series.gauge(names::L2_ADAPTERS_UNBOUNDED).set(unbounded);
        }
        for event in items(&interval["events"]) {
            let said = &event["metadata"];
            let series = said["l2_name"]
                .as_str()
                .map(|name| {
                    adapters.entry(name.to_owned()).or_insert_with(|| adapter(name)).clone()
                })
                .unwrap_or_default();
            let add = |name, key: &str| series.counter(name).add(unsigned(&said[key]));
            match event["type"].as_str() {
                Some("MP_STORE_END") => {
                    let tokens = unsigned(&said["stored_count"]).saturating_mul(chunk);
                    usage.counter(names::TOKENS_STORED).add(tokens);
                    usage.counter(names::BYTES_STORED).add(unsigned(&said["total_bytes"]));
                }
                Some("MP_RETRIEVE_END") => {
                    let tokens = unsigned(&said["retrieved_count"]).saturating_mul(chunk);
                    usage.counter(names::TOKENS_HIT).add(tokens);
                }
                Some("L2_STORE_COMPLETED") => {
                    add(names::L2_BYTES_STORED, "bytes_transferred");
                    add(names::L2_KEYS_STORED, "succeeded_count");
                    add(names::L2_KEYS_FAILED, "failed_count");
                }
                _ => {
                    add(names::L2_KEYS_LOADING, "key_count");
                    add(names::L2_BYTES_LOADING, "total_bytes");
                }
            }
        }
        let level = [(names::L1_BYTES_USED, 0), (names::L1_BYTES_CAPACITY, 1)];
        for (name, place) in level {
            match interval["l1"][place].as_i64() {
                Some(bytes) => usage.gauge(name).set(bytes),
                None => usage.gauge(name).unset(),
            }
        }
        let reported = adapters.len();
        // An adapter that was removed meanwhile still sends its counts.
        adapters.retain(|name, _| interval["l2"].get(name).is_some());
        reported
    }
}

/// An exporter that signals each message of the schedule: heartbeats and intervals.
#[derive(Debug)]
struct Later(Sender<()>);

impl Exporter for Later {
    fn name(&self) -> &'static str {
        "later"
    }

    fn is_network(&self) -> bool {
        false
    }

    fn export(&mut self, record: &ExportRecord) -> Outcome {
        let later = [
            vllm::HEARTBEAT,
            names::CACHE_USAGE,
            names::LIFESPAN,
            names::L1_USAGE,
            names::L2_USAGE,
        ];
        if later.contains(&record.kind()) {
            let _ = self.0.send(());
        }
        Outcome::Delivered
    }
}

fn with_accelerators(builder: Builder, device: &Value) -> Builder {
    if device.is_null() {
        return builder;
    }
    let seen =
        Accelerators::new(int(&device["count"]), text(&device["name"]), int(&device["memory"]));
    builder.with_accelerators(match (device["kind"].as_str(), maybe_text(&device["runtime"])) {
        (Some("cuda"), Some(version)) => seen.with_runtime(Runtime::Cuda(version)),
        (Some("xpu"), Some(version)) => seen.with_runtime(Runtime::Xpu(version)),
        // vLLM sends this text in the field of CUDA's version.
        (Some("tpu"), None) => seen.with_runtime(Runtime::Cuda("tpu_inference".to_owned())),
        _ => seen,
    })
}

/// Returns the contract with this engine's own keys of a heartbeat.
fn vllm_contract(scenario: &Value) -> Contract {
    let mut contract = vllm::CURRENT.clone();
    let mut known: Vec<&String> = Vec::new();
    for (key, value) in items(&scenario["heartbeats"]).filter_map(Value::as_object).flatten() {
        if !known.contains(&key) {
            known.push(key);
            let ty = match value {
                Value::Bool(_) => Type::Bool,
                Value::String(_) => Type::Str,
                _ => Type::Int,
            };
            let mut field = Field::record("", ty, "", "This engine's own.").left_out_when_absent();
            field.name = key.clone().into();
            field.source = Source::Record(format!("vllm.{key}").into());
            contract = contract.with_field("heartbeat", field);
        }
    }
    for message in contract.messages.to_mut() {
        if matches!(message.trigger, Trigger::Heartbeat { .. }) {
            message.trigger = Trigger::Heartbeat { seconds: SECONDS };
        }
    }
    contract
}

fn vllm_heartbeat(beat: &Value) -> Attributes {
    let mut attributes = Attributes::new(vllm::HEARTBEAT);
    for (key, value) in beat.as_object().into_iter().flatten() {
        let key = format!("vllm.{key}");
        attributes = match value {
            Value::Bool(value) => attributes.with(key, *value),
            Value::String(value) => attributes.with(key, value.clone()),
            _ => attributes.with(key, int(value)),
        };
    }
    attributes
}

fn vllm_report(scenario: &Value) -> vllm::Report {
    let config = &scenario["vllm_config"];
    let (model, cache) = (&config["model_config"], &config["cache_config"]);
    let (parallel, scheduler) = (&config["parallel_config"], &config["scheduler_config"]);
    let speculative = &config["speculative_config"];
    let wrapped = text(&model["architectures"][0]);
    let backend = maybe_text(&model["_model_info"]["architecture"]);
    vllm::Report {
        model_architecture: match backend {
            Some(name) => format!("{name}({wrapped})"),
            None => wrapped,
        },
        context: text(&scenario["usage_context"]),
        env_var_json: Some(vllm_settings(&scenario["environment"])),
        dtype: text(&model["dtype"]),
        block_size: cache["block_size"].as_i64(),
        gpu_memory_utilization: cache["gpu_memory_utilization"].as_f64(),
        kv_cache_memory_bytes: cache["kv_cache_memory_bytes"].as_i64(),
        quantization: maybe_text(&model["quantization"]),
        kv_cache_dtype: text(&cache["cache_dtype"]),
        enable_lora: !config["lora_config"].is_null(),
        enable_prefix_caching: cache["enable_prefix_caching"].as_bool(),
        enforce_eager: flag(&model["enforce_eager"]),
        disable_custom_all_reduce: flag(&parallel["disable_custom_all_reduce"]),
        tensor_parallel_size: int(&parallel["tensor_parallel_size"]),
        data_parallel_size: int(&parallel["data_parallel_size"]),
        pipeline_parallel_size: int(&parallel["pipeline_parallel_size"]),
        enable_expert_parallel: flag(&parallel["enable_expert_parallel"]),
        all2all_backend: maybe_text(&parallel["all2all_backend"]),
        kv_connector: maybe_text(&config["kv_transfer_config"]["kv_connector"]),
        max_model_len: Some(int(&model["max_model_len"])),
        max_num_seqs: Some(int(&scheduler["max_num_seqs"])),
        max_num_batched_tokens: Some(int(&scheduler["max_num_batched_tokens"])),
        attention_backend: maybe_text(&config["attention_config"]["backend"]["name"]),
        compilation_mode: maybe_text(&config["compilation_config"]["mode"]["name"]),
        spec_decode_method: maybe_text(&speculative["method"]),
        num_speculative_tokens: speculative["num_speculative_tokens"].as_i64(),
        enable_eplb: flag(&parallel["enable_eplb"]),
        num_redundant_experts: int(&parallel["eplb_config"]["num_redundant_experts"]),
        num_experts: int(&model["num_experts"]),
    }
}

/// Returns the five settings as vLLM resolves them from its environment.
fn vllm_settings(environment: &Value) -> vllm::EnvironmentSettings {
    let on = |name: &str, otherwise| {
        environment[name].as_str().map_or(otherwise, |value| matches!(value, "1" | "True"))
    };
    vllm::EnvironmentSettings {
        use_modelscope: on("VLLM_USE_MODELSCOPE", false),
        use_flashinfer_sampler: Some(on("VLLM_USE_FLASHINFER_SAMPLER", true)),
        pp_layer_partition: maybe_text(&environment["VLLM_PP_LAYER_PARTITION"]),
        use_triton_awq: on("VLLM_USE_TRITON_AWQ", false),
        enable_v1_multiprocessing: on("VLLM_ENABLE_V1_MULTIPROCESSING", true),
    }
}

fn lmcache_engine(scenario: &Value) -> lmcache::Engine {
    let (config, metadata) = (&scenario["config"], &scenario["metadata"]);
    let device = maybe_text(&scenario["accelerator"]["kind"]).unwrap_or_else(|| "cpu".to_owned());
    lmcache::Engine {
        chunk_size: int(&config["chunk_size"]),
        local_device: if flag(&config["local_cpu"]) { "cpu".to_owned() } else { device },
        max_local_cache_size: config["max_local_cpu_size"].as_f64().unwrap_or_default() as i64,
        remote_url: maybe_text(&config["remote_url"]),
        remote_serde: maybe_text(&config["remote_serde"]),
        save_decode_cache: flag(&config["save_decode_cache"]),
        enable_blending: flag(&config["enable_blending"]),
        blend_min_tokens: int(&config["blend_min_tokens"]),
        model_name: text(&metadata["model_name"]),
        world_size: int(&metadata["world_size"]),
        worker_id: int(&metadata["worker_id"]),
        kv_dtype: text(&metadata["kv_dtype"]),
        kv_shape: items(&metadata["kv_shape"]).map(int).collect(),
    }
}

fn lmcache_server(scenario: &Value) -> lmcache::MpServer {
    let (server, storage) = (&scenario["mp_config"], &scenario["storage_manager_config"]);
    let levels: Vec<&Value> = items(&storage["l1_manager_configs"]).collect();
    let sizes = || levels.iter().filter_map(|level| level["capacities"].as_object()).flatten();
    let mut media: Vec<&str> = sizes().map(|(medium, _)| medium.as_str()).collect();
    media.sort_by_key(|medium| (*medium != "dram", *medium));
    media.dedup();
    let policies = levels.iter().filter_map(|l1| maybe_text(&l1["eviction"]["eviction_policy"]));
    let adapters = || items(&storage["l2_adapter_config"]["adapters"]);
    let shared = |level: &&Value| !text(&level["memory_config"]["shm_name"]).is_empty();
    lmcache::MpServer {
        chunk_size: int(&server["chunk_size"]),
        hash_algorithm: text(&server["hash_algorithm"]),
        engine_type: text(&server["engine_type"]),
        enable_segmented_prefix: flag(&server["enable_segmented_prefix"]),
        enable_dedup_content: flag(&server["enable_dedup_content"]),
        supported_transfer_mode: text(&server["supported_transfer_mode"]),
        separate_object_groups: flag(&server["separate_object_groups"]),
        max_gpu_workers: int(&server["max_gpu_workers"]),
        max_cpu_workers: int(&server["max_cpu_workers"]),
        p2p_enabled: flag(&server["p2p_config"]["enabled"]),
        l1_size_bytes: sizes().map(|(_, size)| int(size)).sum(),
        l1_medium: media.join("+"),
        l1_shm_enabled: levels.len() == 1 && levels.iter().all(shared),
        eviction_policy: policies.collect::<Vec<_>>().join(","),
        l2_adapter_types: join(adapters().map(|adapter| text(&adapter["type_name"]))),
        l2_serde_types: join(adapters().map(|adapter| text(&adapter["serde_config"]["type"]))),
        l2_store_policy: text(&storage["store_policy"]),
        l2_prefetch_policy: text(&storage["prefetch_policy"]),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(",")
}

fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn unsigned(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

fn text(value: &Value) -> String {
    maybe_text(value).unwrap_or_default()
}

fn maybe_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}
