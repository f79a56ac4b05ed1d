//! The account of a network exporter after every step of random histories: what its server answers, when callers
//! wait, which files other processes delete, and which calls of the disk fail.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use otel_usage_schema::{Consent, Destination, Loss};
use proptest::prelude::*;

use super::client::{Answer, Request};
use super::flight::Post;
use super::hosts::Host;
use super::ledger::Ledger;
use super::outbox::Outbox;
use crate::clock::Clock;
use crate::cutoff::Cutoff;
use crate::export::{ActiveExporter, ExportRecord, Exporter, Need, Outcome, Turn, Wake};
use crate::spool::{Address, Entry, Simulated, Spool, Taken};

/// A server whose answers the test gives one by one.
#[derive(Debug)]
struct Server(Mutex<Receiver<u8>>);

impl Post for Server {
    fn post(&self, _: &Request, _: i64, _: Option<Duration>, _: &mut Option<u16>) -> Answer {
        match self.0.lock().unwrap().recv() {
            Ok(0..=1) => Answer::Delivered,
            Ok(2) => Answer::Refused,
            _ => Answer::Later(None),
        }
    }
}

#[derive(Debug, Clone)]
struct Shared(Arc<Mutex<Outbox>>);

impl Exporter for Shared {
    fn name(&self) -> &str {
        "shared"
    }

    fn is_network(&self) -> bool {
        true
    }

    fn export(&mut self, _: &ExportRecord) -> Outcome {
        Outcome::Ignored
    }

    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        self.0.lock().unwrap().send(turn, |spool, now| {
            let Taken { name, entry } = spool.next(now, |_| true)?;
            Some(Request { file: Some(name), ..request(entry) })
        })
    }

    fn discard_queued(&mut self) {
        self.0.lock().unwrap().discard();
    }
}

fn request(entry: Entry) -> Request {
    let destination = Destination::parse("http://127.0.0.1:9/").unwrap();
    let (headers, file, late_at, mark) = (Vec::new(), None, None, None);
    Request { destination, headers, entry, file, late_at, mark, is_taken_over: false }
}

fn entry(number: u64, newest_only: bool, bytes: usize) -> Entry {
    let mut identity = [0; 16];
    identity[..8].copy_from_slice(&number.to_le_bytes());
    let (contract, message) = ("engine/1".to_owned(), "start".to_owned());
    let body = vec![b'x'; bytes];
    let address = Address([7; 32]);
    let (time, lifetime, gzip) = (0, 600, false);
    Entry { contract, message, address, identity, time, lifetime, newest_only, gzip, body }
}

#[derive(Debug, Clone)]
enum Step {
    Push { newest_only: bool, bytes: usize },
    Turn { urgent: bool, save: bool },
    Answer(u8),
    FailDisk(usize),
    LoseFile(usize),
    Withdraw,
    Restart,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), prop_oneof![9 => 1_usize..2000, 1 => 60_000_usize..300_000])
            .prop_map(|(newest_only, bytes)| Step::Push { newest_only, bytes }),
        3 => any::<(bool, bool)>().prop_map(|(urgent, save)| Step::Turn { urgent, save }),
        3 => (0_u8..6).prop_map(Step::Answer),
        1 => (1_usize..9).prop_map(Step::FailDisk),
        1 => any::<usize>().prop_map(Step::LoseFile),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Restart),
    ]
}

/// One process after another with the same disk.
struct Run {
    disk: Simulated,
    outbox: Shared,
    active: ActiveExporter,
    answers: Sender<u8>,
    woken: Receiver<()>,
    wake: Wake,
    accepted: u64,
    pushed: u64,
}

impl Run {
    fn new(disk: Simulated) -> Self {
        let (answers, given) = channel();
        let (call, woken) = channel();
        let spool = Spool::new(Box::new(disk.clone()), "engine/1", Address([7; 32]));
        let server = Arc::new(Server(Mutex::new(given)));
        let ledger = Ledger {
            exporter: "shared",
            text: |_, _| None,
            instance_keys: Vec::new(),
            instance_id: |_, _, _| None,
            journal: None,
        };
        let outbox = Outbox::new(Host::alone(), server, ledger, Some(spool), Cutoff::default());
        let outbox = Shared(Arc::new(Mutex::new(outbox)));
        Self {
            disk,
            active: ActiveExporter::new(Box::new(outbox.clone())),
            outbox,
            answers,
            woken,
            wake: Wake::new(move || {
                let _ = call.send(());
            }),
            accepted: 0,
            pushed: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Push { newest_only, bytes } => {
                self.pushed += 1;
                let request = request(entry(self.pushed, newest_only, bytes));
                let outcome = self.outbox.0.lock().unwrap().push(request);
                let counters = self.active.counters();
                counters.accepted();
                if let Outcome::Dropped(loss) = outcome {
                    counters.dropped(loss, 1);
                }
                self.accepted += 1;
            }
            Step::Turn { urgent, save } => self.turn(urgent, save, Consent::Granted),
            Step::Answer(answer) => {
                if self.outbox.0.lock().unwrap().has_flight() {
                    self.answers.send(answer).unwrap();
                    self.woken.recv().unwrap();
                    self.turn(false, false, Consent::Granted);
                }
            }
            Step::FailDisk(calls) => {
                let from = self.disk.calls();
                self.disk.fail(from..from + calls, libc::ENOSPC, false);
            }
            Step::LoseFile(which) => {
                let names = self.disk.names();
                if let Some(name) = names.get(which % names.len().max(1)) {
                    self.disk.lose(name);
                }
            }
            Step::Withdraw => self.turn(false, false, Consent::Off),
            Step::Restart => {
                // A message that the ending process has in flight is in no account here.
                *self = Self::new(self.disk.after_kill());
            }
        }
    }

    fn turn(&mut self, urgent: bool, save: bool, consent: Consent) {
        let need = Need { urgent, save, within: None };
        let calls = self.disk.calls();
        self.active.send_queued(&Clock::system(), need, &self.wake, &mut || consent);
        self.check_places();
        if save && urgent && !self.disk.failed_since(calls) {
            let there = self.disk.names();
            let outbox = self.outbox.0.lock().unwrap();
            assert!(outbox.files().all(|file| there.contains(file)), "deleted, and called safe");
        }
    }

    /// Checks each place of the account by what the outbox holds.
    fn check_places(&mut self) {
        let account = self.active.counters().counts();
        let outbox = self.outbox.0.lock().unwrap();
        let (memory, flying, disk) = outbox.places();
        assert_eq!((account.queued, account.in_flight, account.spooled), (memory, flying, disk));
        // The exporter accepts, too, the messages that it takes over.
        assert!(account.accepted >= self.accepted);
        self.accepted = account.accepted;
    }

    fn check(&self) {
        let account = self.active.counters().counts();
        let dropped: u64 = account.dropped.values().sum();
        let waiting = account.queued + account.in_flight + account.spooled;
        assert_eq!(account.accepted, account.delivered + waiting + dropped);
        assert_eq!(account.accepted, self.accepted);
        assert_eq!(account.dropped.get(&Loss::Panicked), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn accepted_is_delivered_queued_in_flight_spooled_and_dropped_after_every_step(
        steps in prop::collection::vec(any_step(), 1..80),
    ) {
        let mut run = Run::new(Simulated::default());
        for step in &steps {
            run.step(step);
            run.check();
        }
    }
}
