//! An outbox on a simulated clock, with random answers and jumps of the wall clock.

#![expect(clippy::arithmetic_side_effects, reason = "simulated times are small")]

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use otel_usage_schema::{Consent, Destination};
use proptest::prelude::*;

use super::*;
use crate::clock::{Clock, Simulated};
use crate::export::{ActiveExporter, ExportRecord, Exporter, Need, Sent, Wake};
use crate::spool::{Address, Entry, Simulated as Disk, Taken};

/// A server whose answers a test chooses.
#[derive(Debug, Default)]
struct Server {
    answers: Mutex<VecDeque<Answer>>,
    requests: Mutex<u32>,
}

impl Post for Server {
    fn post(&self, _: &Request, _: i64, _: Option<Duration>, _: &mut Option<u16>) -> Answer {
        *self.requests.lock().unwrap() += 1;
        // After the last answer, the server is away.
        self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Later(None))
    }
}

/// A server that takes a request, and answers when a test drops the other end.
#[derive(Debug)]
struct Silent(Mutex<Receiver<()>>);

impl Post for Silent {
    fn post(&self, _: &Request, _: i64, _: Option<Duration>, _: &mut Option<u16>) -> Answer {
        let _ = self.0.lock().unwrap().recv();
        Answer::Delivered
    }
}

/// An exporter that queues what a test puts into `new`.
#[derive(Debug)]
struct Direct {
    outbox: Outbox,
    new: Arc<Mutex<Vec<Request>>>,
}

impl Exporter for Direct {
    fn name(&self) -> &str {
        "direct"
    }

    fn is_network(&self) -> bool {
        true
    }

    fn export(&mut self, _: &ExportRecord) -> Outcome {
        Outcome::Ignored
    }

    fn send_queued(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        for request in self.new.lock().unwrap().drain(..) {
            turn.taken_over();
            if let Outcome::Dropped(loss) = self.outbox.push(request) {
                turn.dropped(loss);
            }
        }
        self.outbox.send(turn, |spool, now| {
            let Taken { name, entry } = spool.next(now, |_| true)?;
            Some(Request { file: Some(name), is_taken_over: true, ..request(entry) })
        })
    }

    fn discard_queued(&mut self) {
        self.outbox.discard();
    }
}

struct World {
    active: ActiveExporter,
    clock: Clock,
    times: Arc<Simulated>,
    new: Arc<Mutex<Vec<Request>>>,
    server: Arc<Server>,
}

impl World {
    fn new(answers: Vec<Answer>) -> Self {
        let server = Arc::new(Server { answers: Mutex::new(answers.into()), ..Server::default() });
        let post = Arc::<Server>::clone(&server);
        Self { server, ..Self::with(post, None) }
    }

    fn with(post: Arc<dyn Post>, disk: Option<&Disk>) -> Self {
        let new = Arc::default();
        let (clock, times) = Clock::simulated();
        let ledger = Ledger {
            exporter: "direct",
            text: |_, _| None,
            instance_keys: Vec::new(),
            instance_id: |_, _, _| None,
            journal: None,
        };
        let spool = disk.map(spool);
        let outbox = Outbox::new(Host::alone(), post, ledger, spool, Cutoff::default());
        let exporter = Direct { outbox, new: Arc::clone(&new) };
        let active = ActiveExporter::new(Box::new(exporter));
        Self { active, clock, times, new, server: Arc::default() }
    }

    fn push(&self, lifetime: u32) {
        self.new.lock().unwrap().push(request(entry(lifetime)));
    }

    fn once(&mut self, need: Need, consent: Consent) -> Sent {
        let wake = Wake::new(|| {});
        self.active.send_queued(&self.clock, need, &wake, &mut || consent)
    }

    /// Runs turns until no request is on its way. Returns the time for which the worker then sleeps.
    fn turn(&mut self, urgent: bool) -> Option<Duration> {
        let mut need = Need { urgent, ..Need::default() };
        loop {
            let sent = self.once(need, Consent::Granted);
            if !sent.in_flight {
                return sent
                    .next
                    .map(|next| next.saturating_duration_since(self.clock.monotonic()));
            }
            need.urgent = false;
            std::thread::yield_now();
        }
    }

    fn sleep(&self, time: Duration) {
        // A millisecond more, because the simulated clock counts in milliseconds.
        let millis = u64::try_from(time.as_millis()).unwrap() + 1;
        self.times.passed.fetch_add(millis, Ordering::Relaxed);
    }
}

fn spool(disk: &Disk) -> Spool {
    Spool::new(Box::new(disk.clone()), "test", Address([7; 32]))
}

fn entry(lifetime: u32) -> Entry {
    let destination = Destination::parse("https://stats.example").unwrap();
    Entry {
        contract: "test".to_owned(),
        message: "test".to_owned(),
        address: Address::new("direct", "test", &destination),
        identity: [0; 16],
        time: 0,
        lifetime,
        newest_only: false,
        gzip: false,
        body: vec![0; 100],
    }
}

fn request(entry: Entry) -> Request {
    let destination = Destination::parse("https://stats.example").unwrap();
    let (headers, file, late_at, mark) = (Vec::new(), None, None, None);
    Request { destination, headers, entry, file, late_at, mark, is_taken_over: false }
}

#[test]
fn what_a_server_does_not_answer_for_ten_seconds_goes_to_disk() {
    let (answer, answers) = channel();
    let disk = Disk::default();
    let mut world = World::with(Arc::new(Silent(Mutex::new(answers))), Some(&disk));
    world.push(600);
    for (seconds, files) in [(0, 0), (9, 0), (1, 2)] {
        world.sleep(Duration::from_secs(seconds));
        assert!(world.once(Need::default(), Consent::Granted).in_flight);
        assert_eq!(disk.names().len(), files, "{seconds}");
    }
    // The answer still counts.
    drop(answer);
    world.turn(false);
    assert_eq!(world.active.waiting(), (0, 0));
    assert_eq!(world.active.counters().snapshot().delivered, 1);
    assert_eq!(disk.names(), Vec::<String>::new());
}

#[test]
fn what_waits_takes_256_kib_at_most() {
    let mut world = World::new(Vec::new());
    for _ in 0..10 {
        world.push(600);
        world.new.lock().unwrap().last_mut().unwrap().entry.body = vec![0; 60_000];
    }
    world.turn(false);
    assert_eq!(world.active.waiting(), (4, 0));
    assert_eq!(world.active.counters().snapshot().dropped[&Loss::QueueFull], 6);
}

#[test]
fn an_opt_out_deletes_what_processes_left_that_ended() {
    let disk = Disk::default();
    spool(&disk).save(&[entry(600)]).unwrap();
    assert_eq!(disk.names().len(), 2);
    let mut world = World::with(Arc::<Server>::default(), Some(&disk));
    world.push(600);
    world.once(Need::default(), Consent::Off);
    assert_eq!(disk.names(), Vec::<String>::new());
    assert_eq!(*world.server.requests.lock().unwrap(), 0);
}

#[test]
fn a_heartbeat_replaces_those_of_its_own_process_only() {
    let disk = Disk::default();
    let beat = |body: u8| Entry { newest_only: true, body: vec![body], ..entry(600) };
    let mut waiting = Waiting::new(Some(spool(&disk)), Cutoff::default());
    let left = Request { is_taken_over: true, ..request(beat(1)) };
    waiting.push(left, false).unwrap();
    for (body, saved) in [(2, true), (3, false), (4, false)] {
        waiting.replace(&beat(body), false);
        waiting.push(request(beat(body)), false).unwrap();
        if saved {
            waiting.save(false);
        }
        let bodies: Vec<u8> = waiting.requests().map(|request| request.entry.body[0]).collect();
        assert_eq!(bodies, [1, body]);
    }
}

#[test]
fn after_an_outage_longer_than_a_look_all_that_processes_left_is_delivered() {
    let disk = Disk::default();
    for number in 0..20 {
        let left = Entry { identity: [number; 16], ..entry(600_000) };
        spool(&disk).save(&[left]).unwrap();
    }
    let server = Arc::<Server>::default();
    let post = Arc::<Server>::clone(&server);
    let mut world = World { server, ..World::with(post, Some(&disk)) };
    // The server is away.
    for _ in 0..3 {
        world.turn(false);
        world.sleep(Duration::from_secs(700));
    }
    world.server.answers.lock().unwrap().extend((0..20).map(|_| Answer::Delivered));
    world.turn(true);
    assert_eq!(world.active.counters().snapshot().delivered, 20);
    assert_eq!(disk.names(), Vec::<String>::new());
}

fn any_answer() -> impl Strategy<Value = u8> {
    0_u8..6
}

fn answer(number: u8) -> Answer {
    match number {
        0 | 1 => Answer::Delivered,
        2 => Answer::Refused,
        3 => Answer::Later(Some(Duration::from_secs(3_000_000))),
        4 => Answer::Later(None),
        _ => Answer::Unreached,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 16, ..Default::default() })]

    #[test]
    fn every_message_ends_and_the_worker_sleeps_in_between_whatever_the_clocks_do(
        answers in prop::collection::vec(any_answer(), 0..40),
        steps in prop::collection::vec(
            (0_usize..4, 600_u32..700_000, any::<bool>(), 0_u64..4_000, any::<i64>()), 1..20),
        unreached in any::<bool>(),
    ) {
        let answers = if unreached { vec![5; 400] } else { answers };
        let mut world = World::new(answers.into_iter().map(answer).collect());
        for (messages, lifetime, urgent, seconds, wall) in steps {
            for _ in 0..messages {
                world.push(lifetime);
            }
            let _ = world.turn(urgent);
            world.sleep(Duration::from_secs(seconds));
            // To any year.
            world.times.unix_nanos.store(wall, Ordering::Relaxed);
        }
        // From here on the worker sleeps as long as it is told.
        let mut turns = 0;
        while world.active.waiting() != (0, 0) {
            let sleep = world.turn(false);
            if world.active.waiting() == (0, 0) {
                break;
            }
            let sleep = sleep.expect("what waits has a time");
            prop_assert!(!sleep.is_zero(), "a busy loop");
            world.sleep(sleep);
            turns += 1;
            prop_assert!(turns < 5_000, "messages wait for ever");
        }
        let stats = world.active.counters().snapshot();
        let dropped: u64 = stats.dropped.values().sum();
        prop_assert_eq!(stats.accepted, stats.delivered + dropped);
        if unreached {
            // Ten days at most.
            let requests = *world.server.requests.lock().unwrap();
            prop_assert!(requests <= 3 + 10, "{requests}");
            prop_assert_eq!(stats.delivered, 0);
        }
    }
}
