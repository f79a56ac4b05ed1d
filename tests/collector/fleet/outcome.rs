//! The result of a fleet's run: a table for a reader, and the mistakes for a test.

use std::time::Duration;

use super::Plan;
use super::cost::Cost;
use super::ledger::Ledger;
use super::server::Counted;

/// Largest number of POSTs that a bridge has in flight by default.
const POSTS: u64 = 64;

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ledger: Ledger,
    /// Messages that were acknowledged and not stored when the usage server recovered.
    pub(super) queued: u64,
    pub(super) counted: Counted,
    pub(super) collector: Cost,
    pub(super) bridge: Cost,
    pub(super) server: Cost,
    /// Largest number of requests that were seen at work in the usage server.
    pub(super) most_at_once: u64,
    pub(super) away: Duration,
}

impl Outcome {
    /// Mistakes; empty if everything is as expected.
    pub(super) fn wrong(&self, plan: &Plan) -> Vec<String> {
        let mut wrong: Vec<String> = self
            .ledger
            .wrong()
            .into_iter()
            .filter(|(_, times)| *times > 0)
            .map(|(what, times)| format!("{what}: {times}"))
            .collect();
        let (starts, beats) = (self.ledger.count(true), self.ledger.count(false));
        if starts.stored != plan.engines as u64 {
            wrong.push(format!("{} start messages of {} engines", starts.stored, plan.engines));
        }
        let Counted { starts: engines, heartbeats } = self.counted;
        if (engines, heartbeats) != (starts.made, beats.made) {
            wrong.push(format!("the server counts {engines} starts and {heartbeats} heartbeats"));
        }
        if self.most_at_once > POSTS {
            wrong.push(format!("{} POSTs at once", self.most_at_once));
        }
        wrong
    }

    /// Number of requests that engines had to send again.
    pub(super) fn refused_at_first(&self) -> u64 {
        self.ledger.tries()
            - self.ledger.count(true).acknowledged
            - self.ledger.count(false).acknowledged
    }

    pub(super) fn print(&self, plan: &Plan) {
        let (starts, beats) = (self.ledger.count(true), self.ledger.count(false));
        let line = |what: &str, start: u64, beat: u64| {
            println!("{what:<52} {start:>9} {beat:>10}");
        };
        println!("\n{:<52} {:>9} {:>10}", "records", "starts", "heartbeats");
        line("made by the engines", starts.made, beats.made);
        line("acknowledged to them", starts.acknowledged, beats.acknowledged);
        line("stored, after de-duplication by uuid and log_time", starts.stored, beats.stored);
        line("acknowledged and missing", starts.missing, beats.missing);
        line("stored once more, before de-duplication", starts.repeated, beats.repeated);
        line("counted by the usage server", self.counted.starts, self.counted.heartbeats);

        let [tried, arrived] = self.ledger.most_in_a_second();
        let steady = plan.engines as f64 / plan.beat.as_secs_f64();
        println!("\nrates");
        let rate = |what: &str, value: String| println!("{what:<52} {value:>9}");
        rate("heartbeats a second of all engines", format!("{steady:.0}"));
        rate("engines to collector, most in a second", tried.to_string());
        rate("requests that engines had to send again", self.refused_at_first().to_string());
        rate("queued when the usage server recovered", self.queued.to_string());
        rate("collector and bridge to server, most in a second", arrived.to_string());
        rate("requests at work in the server, most seen", self.most_at_once.to_string());
        println!("  the bound: {POSTS} POSTs of the bridge at once");

        println!("\n{:<52} {:>9} {:>10}", "cost, all runs together", "CPU s", "peak MiB");
        let costs =
            [("collector", self.collector), ("bridge", self.bridge), ("usage server", self.server)];
        for (what, cost) in costs {
            println!("{what:<52} {:>9.1} {:>10.0}", cost.cpu.as_secs_f64(), cost.peak_mib);
        }
        println!(
            "\n{} engines, usage server away or busy for {:.0} s; a heartbeat every {:.0} s stands for vLLM's every 600 s,\n\
             and its time says so.",
            plan.engines,
            self.away.as_secs_f64(),
            plan.beat.as_secs_f64()
        );
        println!(
            "A message is stored once more if a bridge was killed after it had delivered a part of a request, because the\n\
             collector repeats the whole request and the next bridge remembers nothing, or if the server was killed\n\
             before it answered. The server counts it once, because it counts each ten minutes of an engine once. A bridge\n\
             that lives on sends nothing twice to a server that lives on: that is among the checks."
        );
        let wrong = self.wrong(plan);
        if wrong.is_empty() {
            println!("The oracle agrees.");
        }
        for what in wrong {
            println!("WRONG  {what}");
        }
    }
}
