//! Runs a fleet of engines in front of a collector while everything behind it fails in turn.
//!
//! Engines start during more than half of the time, so that start records arrive in every phase. The
//! usage server is unavailable, then busy. Collector and bridge are killed meanwhile, and once more each
//! while the queue empties. `cargo xtask demo fleet` runs it large, and the test here small.

mod cost;
mod engines;
mod ledger;
mod outcome;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bridge::Bridge;
use crate::otelcol::{Otelcol, find, free};
use crate::peers;
use cost::Cost;
use engines::{Engines, Living};
use ledger::Ledger;
use outcome::Outcome;
use server::Server;

/// Longer than every pause of collector and bridge between two attempts. If nothing happens for this time,
/// nothing will.
const PATIENCE: Duration = Duration::from_secs(120);

/// Number of records that arrive before a kill: one request of the collector and half of the next.
const FLOWING: u64 = 150;

#[derive(Debug)]
struct Plan {
    engines: usize,
    /// Time from the first start to the last heartbeat.
    time: Duration,
    /// Time between the heartbeats of an engine, shorter than vLLM's ten minutes.
    beat: Duration,
}

impl Plan {
    /// Time in which the engines start, one after another.
    fn starting(&self) -> Duration {
        self.time.mul_f64(0.6)
    }

    fn run(&self, otelcol: &Path, command: &Path) -> Outcome {
        let ledger = Arc::new(Ledger::new());
        let mut server = Server::start(free(), &ledger);
        let mut bridge = Bridge::new(command, &server.url()).started();
        let mut otelcol = Otelcol::new(otelcol, "direct.yaml")
            .with("COLLECTOR_BRIDGE", bridge.url())
            // The default.
            .with("COLLECTOR_FLUSH", "1s")
            .started();
        let [mut collector_cost, mut bridge_cost] = [Cost::default(); 2];
        let mut queued = 0;
        let engines = Engines::new(self, otelcol.http, &ledger);
        let begun = Instant::now();
        let at = |share: f64, what: &str| {
            let when = begun + self.time.mul_f64(share);
            std::thread::sleep(when.saturating_duration_since(Instant::now()));
            say(begun, what);
        };
        let flows = || {
            let enough = ledger.arrived() + FLOWING;
            until(&ledger, || ledger.arrived() >= enough);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| engines.run());
            let living = Living(&engines);
            at(0.2, "the usage server is gone: connections are refused");
            server.leave();
            at(0.35, "the collector is killed, and away for a moment");
            collector_cost.add(otelcol.process());
            otelcol.kill();
            at(0.36, "the collector starts on the same queue");
            otelcol.start();
            at(0.45, "the usage server is back, and answers 503 to everything");
            server.come_back_busy();
            at(0.5, "the bridge is killed, and away for a moment");
            bridge_cost.add(bridge.process());
            bridge.kill();
            server.expect_another_bridge();
            at(0.51, "the bridge starts");
            bridge.start();
            at(0.6, "the usage server answers 200 again");
            queued = ledger.waiting();
            server.recover();
            flows();
            say(begun, "the queue empties: the bridge is killed in the middle of it, and starts");
            bridge_cost.add(bridge.process());
            bridge.kill();
            server.expect_another_bridge();
            bridge.start();
            flows();
            say(begun, "the collector is killed in the middle of it, and starts");
            collector_cost.add(otelcol.process());
            otelcol.kill();
            otelcol.start();
            at(1.0, "the engines end");
            drop(living);
        });
        until(&ledger, || ledger.waiting() == 0);
        say(begun, "everything that was acknowledged is stored");
        // Repeated requests arrive before the collector ends.
        collector_cost.add(otelcol.process());
        otelcol.stop();
        bridge_cost.add(bridge.process());
        Outcome {
            queued,
            collector: collector_cost,
            bridge: bridge_cost,
            most_at_once: server.most_at_once(),
            away: self.time.mul_f64(0.4),
            ledger,
        }
    }
}

fn say(begun: Instant, what: &str) {
    println!("{:>6.1} s  {what}", begun.elapsed().as_secs_f64());
}

/// Waits until nothing more arrives.
fn until(ledger: &Ledger, is: impl Fn() -> bool) {
    let mut last = (ledger.arrived(), Instant::now());
    while !is() {
        let arrived = ledger.arrived();
        if arrived > last.0 {
            last = (arrived, Instant::now());
        }
        assert!(
            last.1.elapsed() < PATIENCE,
            "{} acknowledged records do not arrive",
            ledger.waiting()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
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
