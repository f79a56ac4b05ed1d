//! Runs a fleet of engines in front of a collector while everything behind it fails in turn.
//!
//! Engines start during more than half of the time, so that start records arrive in every phase. The
//! usage server is killed, then busy. Collector and bridge are killed meanwhile, and once more each
//! while the queue empties. `cargo xtask demo fleet` runs it large, and the test here small.

mod cost;
mod engines;
mod ledger;
mod outcome;
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::otelcol::{Otelcol, find};
use crate::peers;
use crate::program::Program;
use cost::Cost;
use engines::{Engines, Living};
use ledger::Ledger;
use outcome::Outcome;
use server::Server;

/// Longer than every pause of collector and bridge between two attempts. If nothing happens for this time,
/// nothing will.
const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two heartbeats of vLLM.
const HEARTBEAT: Duration = Duration::from_secs(600);

/// Number of records that arrive before a kill: one request of the collector and half of the next.
const FLOWING: u64 = 150;

#[derive(Debug)]
struct Plan {
    engines: usize,
    /// Time from the first start to the last heartbeat.
    time: Duration,
    /// Time between the heartbeats of an engine, which stands for [`HEARTBEAT`].
    beat: Duration,
}

impl Plan {
    /// Time in which the engines start, one after another.
    fn starting(&self) -> Duration {
        self.time.mul_f64(0.6)
    }

    /// Returns the milliseconds of an engine's life for which a time of the run stands.
    fn stands_for(&self, time: Duration) -> i64 {
        millis(time.mul_f64(HEARTBEAT.as_secs_f64() / self.beat.as_secs_f64()))
    }

    fn run(&self, otelcol: &Path, command: &Path) -> Outcome {
        let ledger = Ledger::new();
        let mut server = Server::start(command);
        let mut bridge = Program::bridge(command, &server.url()).started();
        let mut otelcol = Otelcol::new(otelcol, "direct.yaml")
            .with("COLLECTOR_BRIDGE", bridge.url())
            // The default.
            .with("COLLECTOR_FLUSH", "1s")
            .started();
        let [mut collector_cost, mut bridge_cost] = [Cost::default(); 2];
        let (mut queued, mut most_at_once) = (0, 0);
        let engines = Engines::new(self, otelcol.http, &ledger);
        let begun = Instant::now();
        let at = |share: f64, what: &str| {
            let when = begun + self.time.mul_f64(share);
            std::thread::sleep(when.saturating_duration_since(Instant::now()));
            say(begun, what);
        };
        let mut flows = |server: &Server| {
            let arrived = || server.metric(r#"records_delivered_total{sink="store"}"#);
            let enough = arrived() + FLOWING;
            let flow = happens(arrived, |arrived| {
                most_at_once = most_at_once.max(server.metric(AT_WORK));
                arrived >= enough
            });
            assert!(flow, "no message arrives");
        };
        std::thread::scope(|scope| {
            scope.spawn(|| engines.run());
            let living = Living(&engines);
            at(0.2, "the usage server is killed: connections break, then are refused");
            server.kill();
            ledger.killed();
            at(0.35, "the collector is killed, and away for a moment");
            collector_cost.add(otelcol.process());
            otelcol.kill();
            at(0.36, "the collector starts on the same queue");
            otelcol.start();
            at(0.45, "everything is answered 503 in the usage server's place");
            server.be_busy();
            at(0.5, "the bridge is killed, and away for a moment");
            bridge_cost.add(bridge.process());
            bridge.kill();
            ledger.killed();
            at(0.51, "the bridge starts");
            bridge.start();
            at(0.6, "the usage server starts on the same file");
            server.recover();
            queued = ledger.acknowledged_so_far() - server.counted().all();
            flows(&server);
            say(begun, "the queue empties: the bridge is killed in the middle of it, and starts");
            bridge_cost.add(bridge.process());
            bridge.kill();
            // The bytes that it had sent belong to its run, also those that the server has not read yet.
            let (at_work, mut idle) = (|| server.metric(AT_WORK), 0);
            let answered = happens(at_work, |requests| {
                idle = if requests == 0 { idle + 1 } else { 0 };
                idle > 20
            });
            assert!(answered, "the server does not answer");
            ledger.killed();
            bridge.start();
            flows(&server);
            say(begun, "the collector is killed in the middle of it, and starts");
            collector_cost.add(otelcol.process());
            otelcol.kill();
            otelcol.start();
            at(1.0, "the engines end");
            drop(living);
        });
        let counted = || server.counted().all();
        if happens(counted, |counted| counted >= ledger.acknowledged_so_far()) {
            say(begun, "everything that was acknowledged is counted");
        }
        // Repeated requests arrive before the collector ends.
        collector_cost.add(otelcol.process());
        otelcol.stop();
        bridge_cost.add(bridge.process());
        server.messages(|received, body| ledger.stored(received, body));
        let counted = server.counted();
        server.kill();
        Outcome {
            queued,
            counted,
            collector: collector_cost,
            bridge: bridge_cost,
            server: server.cost,
            most_at_once,
            away: self.time.mul_f64(0.4),
            ledger,
        }
    }
}

/// The gauge of requests in the usage server that have no answer yet.
const AT_WORK: &str = "requests_in_flight";

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

fn say(begun: Instant, what: &str) {
    println!("{:>6.1} s  {what}", begun.elapsed().as_secs_f64());
}

/// Waits until the number is as wanted. Returns `false` if it does not change for long.
fn happens(number: impl Fn() -> u64, mut is: impl FnMut(u64) -> bool) -> bool {
    let mut last = (number(), Instant::now());
    while !is(last.0) {
        if last.1.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
        let number = number();
        if number != last.0 {
            last = (number, Instant::now());
        }
    }
    true
}

#[test]
fn a_fleet_loses_nothing_and_no_bridge_sends_twice() {
    let (Some(otelcol), Some(command)) = (find(), peers::command()) else { return };
    let plan = Plan { engines: 200, time: Duration::from_secs(12), beat: Duration::from_secs(1) };
    let outcome = plan.run(&otelcol, &command);
    outcome.print(&plan);
    assert_eq!(outcome.wrong(&plan), [""; 0]);
    // The outage happened, and engines noticed that the collector was unavailable.
    assert!(outcome.queued > 0);
    assert!(outcome.refused_at_first() > 0);
}

#[test]
#[ignore = "takes minutes: `cargo xtask demo fleet`"]
fn demo() {
    let (Some(otelcol), Some(command)) = (find(), peers::command()) else { return };
    let number = |name: &str, otherwise: f64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
    };
    let minutes = number("OTEL_USAGE_FLEET_MINUTES", 5.0);
    let plan = Plan {
        engines: number("OTEL_USAGE_FLEET_ENGINES", 10_000.0) as usize,
        time: Duration::from_secs_f64(minutes * 60.0),
        beat: Duration::from_secs(20),
    };
    let outcome = plan.run(&otelcol, &command);
    outcome.print(&plan);
    assert_eq!(outcome.wrong(&plan), [""; 0]);
}
