//! The power goes, or a call fails, at every place of what engines do with the queue.

use std::collections::{BTreeMap, BTreeSet};

use super::simulated::{Random, Simulated};
use super::tests::{NOW, entry as small, spool};
use super::{Entry, Spool, Taken};

/// Steps of a life. A life makes about ninety calls.
const STEPS: usize = 20;

/// Returns a message of one to five sectors.
fn entry(number: u32) -> Entry {
    let mut random = Random(number.into());
    let length = random.below(4) * random.below(700);
    let mut body = number.to_le_bytes().to_vec();
    body.extend((0..length).map(|_| u8::try_from(random.below(256)).unwrap()));
    Entry { body, ..small(number) }
}

fn number(taken: &Taken) -> u32 {
    let number = u32::from_le_bytes(taken.entry.body[..4].try_into().unwrap());
    assert_eq!(taken.entry, entry(number), "another message than was saved");
    number
}

/// One engine with the files that it was told are safe.
struct Engine {
    spool: Spool,
    safe: BTreeMap<u32, String>,
}

/// The life of a folder with two engines and those after them, and the messages that are safe.
struct Life {
    disk: Simulated,
    engines: [Engine; 2],
    random: Random,
    next: u32,
    /// Messages that were acknowledged to an engine that ended, and were not delivered.
    left: BTreeSet<u32>,
    /// Messages that may have been delivered, or were never acknowledged.
    perhaps: BTreeSet<u32>,
}

impl Life {
    fn new(seed: u64, disk: Simulated) -> Self {
        let engine = || Engine { spool: spool(&disk), safe: BTreeMap::new() };
        let engines = [engine(), engine()];
        let (left, perhaps) = (BTreeSet::new(), BTreeSet::new());
        Self { disk, engines, random: Random(seed), next: 0, left, perhaps }
    }

    /// Begins anew on a disk that this life left.
    fn again(&self, seed: u64, disk: Simulated) -> Self {
        let mut life = Self::new(seed, disk);
        life.next = self.next;
        life.left.clone_from(&self.left);
        life.left.extend(self.engines.iter().flat_map(|engine| engine.safe.keys()));
        life.perhaps.clone_from(&self.perhaps);
        life
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            let which = self.random.below(2);
            match self.random.below(8) {
                0..=3 => self.save(which),
                4..=5 => self.deliver(which),
                6 => self.take_over(which),
                _ => self.restart(which),
            }
        }
    }

    fn save(&mut self, which: usize) {
        let count = 1 + u32::try_from(self.random.below(3)).unwrap();
        let numbers: Vec<u32> = (self.next..self.next + count).collect();
        self.next += count;
        let entries: Vec<Entry> = numbers.iter().copied().map(entry).collect();
        let engine = &mut self.engines[which];
        // An outbox tries again, too.
        for _ in 0..2 {
            if let Ok(names) = engine.spool.save(&entries) {
                engine.safe.extend(numbers.into_iter().zip(names));
                return;
            }
        }
        self.perhaps.extend(numbers);
    }

    fn deliver(&mut self, which: usize) {
        let engine = &mut self.engines[which];
        let place = self.random.below(engine.safe.len());
        if let Some((number, name)) = engine.safe.iter().nth(place) {
            let (number, name) = (*number, name.clone());
            engine.safe.remove(&number);
            self.perhaps.insert(number);
            engine.spool.remove(&name);
        }
    }

    fn take_over(&mut self, which: usize) {
        let engine = &mut self.engines[which];
        let _ = engine.spool.adopt(NOW);
        let Some(taken) = engine.spool.next(NOW, |_| true) else { return };
        let number = number(&taken);
        let theirs = self.engines.iter().any(|engine| engine.safe.contains_key(&number));
        assert!(!theirs, "{number} belongs to an engine that lives");
        // It is sent now, or waits for its server.
        if self.random.below(2) == 0 {
            self.left.remove(&number);
            self.perhaps.insert(number);
            self.engines[which].spool.remove(&taken.name);
        }
    }

    fn restart(&mut self, which: usize) {
        let engine = &mut self.engines[which];
        engine.spool = spool(&self.disk);
        self.left.extend(std::mem::take(&mut engine.safe).into_keys());
    }

    /// Opens what `disk` holds in a new process, and checks that it is what was acknowledged.
    fn check(&self, disk: &Simulated, context: &str) {
        let mut spool = spool(disk);
        let mut there = BTreeSet::new();
        // Each round takes over from eight engines, more than a life has.
        for _ in 0..4 {
            spool.adopt(NOW).unwrap();
            while let Some(taken) = spool.next(NOW, |_| true) {
                let number = number(&taken);
                assert!(there.insert(number), "{context}: {number} is sent twice");
                spool.remove(&taken.name);
            }
        }
        let safe = self.engines.iter().flat_map(|engine| engine.safe.keys());
        for number in safe.chain(&self.left) {
            assert!(there.contains(number), "{context}: {number} was acknowledged and is lost");
        }
        for number in &there {
            assert!(*number < self.next, "{context}: {number} was never saved");
        }
        assert_eq!(disk.names(), Vec::<String>::new(), "{context}: files are left");
    }
}

/// The number of cases that a long run asks for.
#[expect(clippy::disallowed_methods, reason = "a test")]
fn wanted(few: usize) -> usize {
    let asked = std::env::var("OTEL_USAGE_TEST_CASES");
    asked.map_or(few, |number| number.parse().unwrap())
}

/// Cuts the power at every call of a life, and at some of them again in the life after it. Returns how often.
fn cut_everywhere(seed: u64) -> usize {
    let mut whole = Life::new(seed, Simulated::default());
    whole.run();
    let mut cuts = 0;
    for at in 0..=whole.disk.calls() {
        let mut life = Life::new(seed, Simulated::default());
        life.disk.cut_at(at);
        life.run();
        // Attempts after the cut reached nothing.
        let mut random = Random(seed ^ at as u64);
        let context = format!("seed {seed}, call {at}");
        life.check(&life.disk.after_power_cut(&mut random), &context);
        cuts += 1;
        if at % 3 == 0 {
            let disk = life.disk.after_power_cut(&mut random);
            let mut second = life.again(seed + 1, disk);
            second.disk.cut_at(random.below(90));
            second.run();
            let disk = second.disk.after_power_cut(&mut random);
            second.check(&disk, &format!("{context}, and again"));
            cuts += 1;
        }
    }
    cuts
}

/// `cargo xtask torture` cuts it more often.
#[test]
fn a_power_cut_at_any_call_loses_nothing_that_was_acknowledged() {
    let wanted = wanted(2000);
    let mut cuts = 0;
    let mut seed = 0;
    while cuts < wanted {
        cuts += cut_everywhere(seed);
        seed += 1;
    }
    println!("{cuts} power cuts in {seed} lives");
}

const CODES: [i32; 6] =
    [libc::ENOSPC, libc::EROFS, libc::EACCES, libc::EIO, libc::EMFILE, libc::EFBIG];

#[test]
fn a_call_that_fails_at_any_place_loses_nothing_that_was_acknowledged() {
    let mut failures = 0;
    for seed in 0..1 {
        let mut whole = Life::new(seed, Simulated::default());
        whole.run();
        for at in 0..whole.disk.calls() {
            for code in CODES {
                for end in [at + 1, at + 5, usize::MAX] {
                    // A disk may fail after it did the work. No other of these errors comes so late.
                    for done in if code == libc::EIO { &[false, true][..] } else { &[false] } {
                        let mut life = Life::new(seed, Simulated::default());
                        life.disk.fail(at..end, code, *done);
                        life.run();
                        let context = format!("seed {seed}, call {at}..{end}, {code}, {done}");
                        life.check(&life.disk.after_kill(), &context);
                        failures += 1;
                    }
                }
            }
        }
    }
    assert!(failures >= 1500, "{failures}");
    println!("{failures} failures");
}

#[test]
fn a_call_that_fails_and_a_power_cut_after_it_lose_nothing_that_was_acknowledged() {
    for seed in 0..6 {
        let mut whole = Life::new(seed, Simulated::default());
        whole.run();
        let calls = whole.disk.calls();
        for at in 0..calls {
            let mut random = Random(seed ^ at as u64);
            let mut life = Life::new(seed, Simulated::default());
            let code = CODES[random.below(CODES.len())];
            life.disk.fail(at..at + 1 + random.below(5), code, random.below(2) == 0);
            life.disk.cut_at(at + random.below(30));
            life.run();
            let disk = life.disk.after_power_cut(&mut random);
            life.check(&disk, &format!("seed {seed}, call {at}"));
        }
    }
}

#[test]
fn an_opt_out_that_was_interrupted_is_finished_by_the_next_purge() {
    let purged = |failing: Option<usize>| {
        let disk = Simulated::default();
        let mut spool = spool(&disk);
        spool.save(&[entry(1), entry(2)]).unwrap();
        let before = disk.calls();
        if let Some(failing) = failing {
            let at = before + failing;
            disk.fail(at..at + 1, libc::EIO, failing % 2 == 0);
            if spool.purge().is_err() {
                spool.purge().unwrap();
            }
        } else {
            spool.purge().unwrap();
        }
        for seed in 0..20 {
            let left = disk.after_power_cut(&mut Random(seed)).names();
            let left: Vec<_> = left.iter().filter(|name| !name.ends_with(".lock")).collect();
            assert!(left.is_empty(), "call {failing:?}: a power cut brings back {left:?}");
        }
        disk.calls() - before
    };
    for failing in 0..purged(None) {
        purged(Some(failing));
    }
}
