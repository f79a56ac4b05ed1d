//! Times of cases that take turns, and their table.

use super::support::{self, Times};

/// Returns the wall time and CPU time of one call on this thread.
pub(super) fn timed<T>(call: impl FnOnce() -> T) -> (T, f64, f64) {
    let (wall, cpu) = (support::machine_time(), support::thread_cpu());
    let result = call();
    let cpu = support::thread_cpu().saturating_sub(cpu);
    let wall = support::machine_time().saturating_sub(wall);
    (result, wall as f64, cpu as f64)
}

/// Wall and CPU times of several cases that take turns, and their table.
#[derive(Default)]
pub(super) struct Turns(Vec<(&'static str, Times, Times)>);

impl Turns {
    pub(super) fn add(&mut self, name: &'static str, wall: f64, cpu: f64) {
        let index = self.0.iter().position(|(known, ..)| *known == name);
        let index = index.unwrap_or_else(|| {
            self.0.push((name, Times::default(), Times::default()));
            self.0.len().saturating_sub(1)
        });
        if let Some((_, walls, cpus)) = self.0.get_mut(index) {
            walls.0.push(wall);
            cpus.0.push(cpu);
        }
    }

    /// Prints a table in microseconds with ratios to the first row.
    pub(super) fn print(&self, title: &str) {
        println!("\n{title}");
        println!(
            "  {:<46} {:>9} {:>9} {:>7} {:>9} {:>9} {:>7}",
            "us per call", "wall med", "wall p99", "ratio", "CPU med", "CPU least", "ratio"
        );
        let Some((_, wall_floor, cpu_floor)) = self.0.first() else {
            return;
        };
        for (name, wall, cpu) in &self.0 {
            println!(
                "  {name:<46} {:>9.2} {:>9.2} {:>7.2} {:>9.2} {:>9.2} {:>7.2}",
                wall.median() / 1e3,
                wall.quantile(0.99) / 1e3,
                wall.median() / wall_floor.median(),
                cpu.median() / 1e3,
                cpu.least() / 1e3,
                cpu.median() / cpu_floor.median(),
            );
        }
    }
}
