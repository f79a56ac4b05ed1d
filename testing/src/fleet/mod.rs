//! A made-up fleet of engines, which reports slot by slot of ten minutes on a clock that the caller moves.
//!
//! Its parts are those that real fleets have and that a count has to survive: lives with a heavy tail (most engines end
//! within minutes, some stay for weeks), a new version that spreads, operators of very different size, weekends, days
//! that arrive late, clocks that are wrong, and a flood of made-up identities. The same seed gives the same fleet.

mod choices;
mod messages;

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

/// Networks of operators. The first of them are large.
const NETWORKS: f64 = 240.0;

impl Fleet {
    /// Makes a fleet in which engines run already.
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut fleet =
            Self { plan, random: Random::new(seed), engines: Vec::new(), late: Vec::new() };
        // Engines that started in the thirty days before and still live. Their start reports arrive first.
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
            sent.push(messages::made_up(&id, from, now));
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
            Kind::Vllm => vec![messages::report(random, &engine, began.max(self.plan.begin), day)],
            Kind::Cache | Kind::CacheServer => messages::cache_reports(random, &engine),
        };
        self.engines.push(engine);
        reports
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
                vec![messages::heartbeat(engine, now)]
            }
            Kind::Cache | Kind::CacheServer => {
                engine.sequence += 1;
                // One of two hundred is lost on its way.
                if random.share() < 0.005 {
                    return None;
                }
                messages::interval(engine, random, now)
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
