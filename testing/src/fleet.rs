//! A made-up fleet of engines, which reports slot by slot of ten minutes on a clock that the caller moves.
//!
//! Its parts are those that real fleets have and that a count has to survive: lives with a heavy tail (most engines end
//! within minutes, some stay for weeks), a new version that spreads, operators of very different size, weekends, days
//! that arrive late, clocks that are wrong, and a flood of made-up identities. The same seed gives the same fleet.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::random::Random;

const MINUTE: i64 = 60_000;
/// Time between two heartbeats, and between two interval messages. Unit: milliseconds.
pub const SLOT: i64 = 10 * MINUTE;
const DAY: i64 = 1_440 * MINUTE;

/// A message on its way to a usage server.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The sender: its network is an operator.
    pub from: std::net::IpAddr,
    /// The contract and the message in it.
    pub contract: &'static str,
    /// Name of the message in its contract.
    pub message: &'static str,
    /// Flat JSON, as the engine posts it.
    pub body: String,
    /// Time of the message by the engine's own clock, 0 if it says none. Unit: nanoseconds since the Unix epoch.
    pub time_nanos: i64,
}

/// How large the fleet is, and when it lives.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The first slot of the first day. Unit: milliseconds since the Unix epoch.
    pub begin: i64,
    /// Days that the fleet lives.
    pub days: i64,
    /// Engines that start on a weekday.
    pub starts: u32,
    /// Made-up identities on each of the last seven days but two.
    pub flood: u32,
}

/// The engines that are alive, and the messages that are late.
#[derive(Debug)]
pub struct Fleet {
    plan: Plan,
    random: Random,
    engines: Vec<Engine>,
    late: Vec<(i64, Sent)>,
}

#[derive(Debug)]
struct Engine {
    kind: Kind,
    id: String,
    machine: String,
    from: std::net::IpAddr,
    /// When it ends, and what its clock is wrong by.
    ends: i64,
    wrong: i64,
    began: i64,
    sequence: i64,
    /// Messages of this engine wait so long before they arrive.
    delay: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vllm,
    Cache,
    CacheServer,
}

/// The versions of vLLM, with the day on which each was released, counted from the first day.
const VERSIONS: [(&str, i64); 6] = [
    ("0.28.1", -160),
    ("0.29.0", -110),
    ("0.30.2", -75),
    ("0.31.0", -45),
    ("0.32.1", -16),
    ("0.33.0", 9),
];

const ACCELERATORS: [(f64, &str, u64); 12] = [
    (34.0, "NVIDIA H100 80GB HBM3", 80),
    (17.0, "NVIDIA H200", 141),
    (12.0, "NVIDIA A100-SXM4-80GB", 80),
    (9.0, "NVIDIA B200", 180),
    (7.0, "AMD Instinct MI300X", 192),
    (6.0, "NVIDIA L40S", 48),
    (5.0, "NVIDIA GeForce RTX 4090", 24),
    (4.0, "NVIDIA L4", 24),
    (3.0, "NVIDIA A10G", 24),
    (2.0, "NVIDIA RTX PRO 6000 Blackwell Server Edition", 96),
    (0.7, "Tesla T4", 16),
    // Nothing of this shape may ever be shown.
    (0.3, "/dev/accel0 at 10.1.2.3", 16),
];

const ARCHITECTURES: [(f64, &str); 10] = [
    (24.0, "Qwen3ForCausalLM"),
    (19.0, "LlamaForCausalLM"),
    (13.0, "Qwen3MoeForCausalLM"),
    (11.0, "DeepseekV3ForCausalLM"),
    (9.0, "GptOssForCausalLM"),
    (8.0, "Qwen2_5_VLForConditionalGeneration"),
    (6.0, "Gemma3ForConditionalGeneration"),
    (5.0, "MistralForCausalLM"),
    (3.0, "Glm4MoeForCausalLM"),
    (2.0, "TransformersForCausalLM"),
];

const DTYPES: [(f64, &str); 3] =
    [(86.0, "torch.bfloat16"), (12.0, "torch.float16"), (2.0, "torch.float32")];
const QUANTIZED: [(f64, &str); 6] = [
    (52.0, ""),
    (24.0, "fp8"),
    (9.0, "mxfp4"),
    (7.0, "awq_marlin"),
    (5.0, "compressed-tensors"),
    (3.0, "gptq_marlin"),
];
const PROVIDERS: [(f64, &str); 6] = [
    (46.0, "UNKNOWN"),
    (24.0, "AWS"),
    (13.0, "GCP"),
    (9.0, "AZURE"),
    (5.0, "RUNPOD"),
    (3.0, "OCI"),
];
const CONTEXTS: [(f64, &str); 3] =
    [(71.0, "OPENAI_API_SERVER"), (22.0, "LLM_CLASS"), (7.0, "ENGINE_CONTEXT")];
const SOURCES: [(f64, &str); 3] =
    [(62.0, "production-docker-image"), (34.0, "production"), (4.0, "ci")];
const PARALLEL: [(f64, i64); 4] = [(55.0, 1), (14.0, 2), (13.0, 4), (18.0, 8)];
const MODELS: [(f64, &str); 4] = [
    (40.0, "meta-llama/Llama-3.1-8B-Instruct"),
    (30.0, "Qwen/Qwen3-32B"),
    (20.0, "deepseek-ai/DeepSeek-V3.1"),
    (10.0, "/srv/models/private"),
];

/// Networks of operators. The first of them are large.
const NETWORKS: f64 = 240.0;

/// A golden message, which the engines fill in. It is read once.
macro_rules! golden {
    ($name:literal) => {{
        static READ: LazyLock<Map<String, Value>> = LazyLock::new(|| {
            let text = include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../tests/golden/",
                $name,
                ".json"
            ));
            serde_json::from_str(text).expect("a golden message is an object")
        });
        READ.clone()
    }};
}

impl Fleet {
    /// Makes a fleet in which engines run already.
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut fleet =
            Self { plan, random: Random::new(seed), engines: Vec::new(), late: Vec::new() };
        // What started in the thirty days before, as far as it still lives. Its start reports arrive first.
        for day in -30..0 {
            for _ in 0..plan.starts {
                let began = plan.begin + day * DAY + fleet.random.below(144) as i64 * SLOT;
                let ends = began + fleet.life();
                if ends > plan.begin {
                    for sent in fleet.start(began, ends) {
                        fleet.late.push((plan.begin, sent));
                    }
                }
            }
        }
        fleet
    }

    /// Returns the slots of the plan: the time at the end of each.
    pub fn slots(&self) -> impl Iterator<Item = i64> + use<> {
        let begin = self.plan.begin;
        (1..=self.plan.days * 144).map(move |slot| begin + slot * SLOT)
    }

    /// Returns what arrives in the slot that ends at `now`.
    pub fn arriving(&mut self, now: i64) -> Vec<Sent> {
        let since = now - self.plan.begin;
        let (day, slot) = ((since - 1) / DAY, (since - 1) % DAY / SLOT);
        let mut sent = self.starts(now, day, slot);
        self.flood(now, day, slot, &mut sent);
        for at in 0..self.engines.len() {
            if let Some(messages) = self.alive(at, now) {
                sent.extend(messages);
            }
        }
        self.engines.retain(|engine| engine.ends > now);
        let due = |(time, _): &mut (i64, Sent)| *time <= now;
        sent.extend(self.late.extract_if(.., due).map(|(_, sent)| sent));
        sent
    }

    /// Starts the engines of a slot: more by day, fewer on two days of seven.
    fn starts(&mut self, now: i64, day: i64, slot: i64) -> Vec<Sent> {
        let weekday = if matches!((now / DAY + 4) % 7, 0 | 6) { 0.62 } else { 1.0 };
        let hour = 1.0 + 0.35 * (slot as f64 / 144.0 * std::f64::consts::TAU - 2.0).sin();
        let growth = 1.0 + day as f64 / 180.0;
        let mean = f64::from(self.plan.starts) / 144.0 * weekday * hour * growth;
        let count = mean as usize + usize::from(self.random.share() < mean.fract());
        let mut sent = Vec::new();
        for _ in 0..count {
            let ends = now + self.life();
            sent.extend(self.start(now, ends));
        }
        sent
    }

    /// Made-up identities without engines, from ten networks. A tenth of them also sends heartbeats for two hours.
    fn flood(&mut self, now: i64, day: i64, slot: i64, sent: &mut Vec<Sent>) {
        if day < self.plan.days - 7 || day >= self.plan.days - 2 {
            return;
        }
        for nth in 0..self.plan.flood / 144 {
            let id = self.random.uuid();
            let from = [198, 19, (nth % 10) as u8, 7].into();
            let mut report = golden!("vllm-current");
            set(&mut report, "uuid", id.as_str());
            set(&mut report, "gpu_type", "Made-up 9000");
            set(&mut report, "vllm_version", "9.9.9");
            sent.push(vllm("report", from, report, now));
            if nth % 10 == 0 && slot < 132 {
                self.engines.push(Engine {
                    kind: Kind::Vllm,
                    id,
                    machine: String::new(),
                    from,
                    ends: now + 12 * SLOT,
                    wrong: 0,
                    began: now,
                    sequence: 0,
                    delay: 0,
                });
            }
        }
    }

    /// Returns how long an engine lives: half end within minutes, one of ten lives for days.
    fn life(&mut self) -> i64 {
        let minutes = 4.0 / self.random.share().max(1e-4).powf(1.55);
        (minutes.min(45.0 * 1_440.0) * MINUTE as f64) as i64
    }

    /// Starts an engine and returns its reports.
    fn start(&mut self, began: i64, ends: i64) -> Vec<Sent> {
        let random = &mut self.random;
        let kind = match random.share() {
            share if share < 0.72 => Kind::Vllm,
            share if share < 0.9 => Kind::Cache,
            _ => Kind::CacheServer,
        };
        // A few operators run much, most run little.
        let network = (NETWORKS * random.share().powf(2.2)) as u8;
        let from = [198, 18, network, 1 + random.below(200) as u8];
        let engine = Engine {
            kind,
            id: random.uuid(),
            machine: random.uuid(),
            from: from.into(),
            ends,
            wrong: if random.share() < 0.004 { -40 * DAY } else { 0 },
            began,
            sequence: 0,
            delay: if random.share() < 0.02 { 30 * 60 * MINUTE } else { 0 },
        };
        let day = (began - self.plan.begin).div_euclid(DAY);
        let reports = match kind {
            Kind::Vllm => vec![self.report(&engine, began.max(self.plan.begin), day)],
            Kind::Cache | Kind::CacheServer => self.cache_reports(&engine),
        };
        self.engines.push(engine);
        reports
    }

    fn report(&mut self, engine: &Engine, now: i64, day: i64) -> Sent {
        let random = &mut self.random;
        let mut report = golden!("vllm-current");
        set(&mut report, "uuid", engine.id.as_str());
        set(&mut report, "vllm_version", version(random, day));
        let (name, memory) =
            random.weighted(ACCELERATORS.map(|(weight, name, memory)| (weight, (name, memory))));
        let tensor = random.weighted(PARALLEL);
        set(&mut report, "gpu_type", name);
        set(&mut report, "gpu_memory_per_device", memory * 1_063_004_405);
        set(&mut report, "gpu_count", tensor.max(random.weighted(PARALLEL)));
        set(&mut report, "tensor_parallel_size", tensor);
        set(&mut report, "data_parallel_size", if random.share() < 0.06 { 8 } else { 1 });
        set(&mut report, "pipeline_parallel_size", if random.share() < 0.03 { 2 } else { 1 });
        set(&mut report, "model_architecture", random.weighted(ARCHITECTURES));
        set(&mut report, "dtype", random.weighted(DTYPES));
        match random.weighted(QUANTIZED) {
            "" => set(&mut report, "quantization", Value::Null),
            method => set(&mut report, "quantization", method),
        }
        set(&mut report, "provider", random.weighted(PROVIDERS));
        set(&mut report, "context", random.weighted(CONTEXTS));
        set(&mut report, "source", random.weighted(SOURCES));
        vllm("report", engine.from, report, now + engine.wrong)
    }

    fn cache_reports(&mut self, engine: &Engine) -> Vec<Sent> {
        let random = &mut self.random;
        let server = engine.kind == Kind::CacheServer;
        let mut env = if server { golden!("lmcache-v1-env-mp") } else { golden!("lmcache-v1-env") };
        set(
            &mut env,
            "gpu_type",
            random.weighted(ACCELERATORS.map(|(weight, name, _)| (weight, name))),
        );
        set(&mut env, "gpu_count", random.weighted(PARALLEL));
        set(&mut env, "provider", random.weighted(PROVIDERS));
        let (message, about) = if server {
            let mut about = golden!("lmcache-v1-mp-server");
            let sizes = [(30.0, 16_u64), (40.0, 64), (20.0, 256), (10.0, 1_024)];
            set(&mut about, "l1_size_bytes", random.weighted(sizes) << 30);
            let adapters =
                [(50.0, ""), (25.0, "fs"), (15.0, "nixl_store"), (10.0, "fs,nixl_store")];
            set(&mut about, "l2_adapter_types", random.weighted(adapters));
            set(
                &mut about,
                "lmcache_version",
                if random.share() < 0.7 { "0.5.6" } else { "0.4.2" },
            );
            ("MPServerMessage", about)
        } else {
            let mut about = golden!("lmcache-v1-engine");
            set(&mut about, "model_name", random.weighted(MODELS));
            ("EngineMessage", about)
        };
        [("EnvMessage", env), (message, about)].map(|(name, body)| cache(name, engine, body)).into()
    }

    /// Returns what an engine sends in a slot, if it lives. A late engine's messages wait.
    fn alive(&mut self, at: usize, now: i64) -> Option<Vec<Sent>> {
        let random = &mut self.random;
        let engine = self.engines.get_mut(at)?;
        if now - engine.began < SLOT || engine.ends <= now {
            return None;
        }
        let sent = match engine.kind {
            Kind::Vllm => {
                let nanos = (now + engine.wrong) * 1_000_000;
                let body = format!("{{\"uuid\": \"{}\", \"log_time\": {nanos}}}", engine.id);
                vec![Sent {
                    from: engine.from,
                    contract: "vllm/current",
                    message: "heartbeat",
                    body,
                    time_nanos: nanos,
                }]
            }
            Kind::Cache | Kind::CacheServer => {
                engine.sequence += 1;
                // One of two hundred is lost on its way.
                if random.share() < 0.005 {
                    return None;
                }
                interval(engine, random, now)
            }
        };
        if engine.delay == 0 {
            return Some(sent);
        }
        let due = now + engine.delay;
        self.late.extend(sent.into_iter().map(|sent| (due, sent)));
        None
    }
}

/// The interval messages of LMCache.
fn interval(engine: &Engine, random: &mut Random, now: i64) -> Vec<Sent> {
    let uptime = (now - engine.began) as f64 / 1_000.0;
    let number = |body: &mut Map<String, Value>| {
        set(body, "sequence_number", engine.sequence);
        set(body, "uptime_seconds", uptime);
    };
    let server = engine.kind == Kind::CacheServer;
    let mut usage = if server {
        golden!("lmcache-v1-continuous-context-mp")
    } else {
        golden!("lmcache-v1-continuous-context")
    };
    let stored = random.below(900_000) as i64;
    set(&mut usage, "interval_num_stored_tokens", stored);
    set(
        &mut usage,
        "interval_num_hit_tokens",
        (stored as f64 * (0.3 + 0.7 * random.share())) as i64,
    );
    number(&mut usage);
    let mut sent = vec![cache("ContinuousContextMessage", engine, usage)];
    if server {
        let mut l1 = golden!("lmcache-v1-l1-usage");
        number(&mut l1);
        sent.push(cache("L1UsageMessage", engine, l1));
    } else if engine.sequence % 6 == 0 {
        let mut lives = golden!("lmcache-v1-cache-lifespan");
        number(&mut lives);
        sent.push(cache("CacheLifespanMessage", engine, lives));
    }
    sent
}

/// A new engine runs a version that is out: mostly the newest, the longer it is out the more.
fn version(random: &mut Random, day: i64) -> &'static str {
    let out = VERSIONS.iter().rev().filter(|(_, released)| *released <= day);
    for (version, released) in out {
        let age = (day - released) as f64;
        if random.share() < 0.62 * (1.0 - (-(age + 1.0) / 9.0).exp()) {
            return version;
        }
    }
    VERSIONS[0].0
}

fn vllm(
    message: &'static str,
    from: std::net::IpAddr,
    mut body: Map<String, Value>,
    time: i64,
) -> Sent {
    let time_nanos = time * 1_000_000;
    set(&mut body, "log_time", time_nanos);
    Sent {
        from,
        contract: "vllm/current",
        message,
        body: Value::Object(body).to_string(),
        time_nanos,
    }
}

fn cache(message: &'static str, engine: &Engine, mut body: Map<String, Value>) -> Sent {
    set(&mut body, "session_id", engine.id.as_str());
    set(&mut body, "machine_id", engine.machine.as_str());
    let body = Value::Object(body).to_string();
    Sent { from: engine.from, contract: "lmcache/1", message, body, time_nanos: 0 }
}

fn set(body: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    assert!(body.contains_key(key), "no field {key}");
    body.insert(key.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seed: u64) -> Vec<usize> {
        let plan = Plan { begin: 20_780 * DAY, days: 10, starts: 300, flood: 1_440 };
        let mut fleet = Fleet::new(seed, plan);
        let slots: Vec<i64> = fleet.slots().collect();
        slots.into_iter().map(|now| fleet.arriving(now).len()).collect()
    }

    #[test]
    fn a_seed_gives_the_same_fleet() {
        assert_eq!(counts(1), counts(1));
        assert_ne!(counts(1), counts(2));
    }
}
