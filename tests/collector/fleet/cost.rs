//! Measures CPU time and peak memory of a child process over all its runs. On other systems than Linux
//! it counts nothing.

use std::time::Duration;

/// Ticks per second of the CPU times in `/proc`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    pub(super) cpu: Duration,
    pub(super) peak_mib: f64,
}

impl Cost {
    /// Adds a run that is about to end.
    pub(super) fn add(&mut self, process: Option<u32>) {
        let Some((cpu, peak_mib)) = process.and_then(read) else { return };
        self.cpu += cpu;
        self.peak_mib = self.peak_mib.max(peak_mib);
    }
}

fn read(process: u32) -> Option<(Duration, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain spaces, so the fields are counted after it.
    let mut fields = stat.rsplit(") ").next()?.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kib: f64 = peak.split_whitespace().nth(1)?.parse().ok()?;
    Some((Duration::from_secs_f64((user + system) / TICKS_PER_SECOND), kib / 1024.0))
}
