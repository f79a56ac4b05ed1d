//! `cargo xtask python-costs`: what the Python package costs, beside the originals in the same run.
//!
//! Prints the tables of docs/project/performance.md. The package is the wheel, which is installed into a clean
//! environment; the originals are the published files over stand-ins. Each figure is of new processes, in which the
//! sides take turns.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, anyhow, ensure};
use otel_usage_testing::python::Originals;
use otel_usage_testing::receiver::Receiver;
use serde_json::Value;

use crate::demo::side::Side;
use crate::demo::silence::Marks;
use crate::demo::{children, package};
use crate::{tools, wheels};

/// Processes of each figure that is a median.
const TIMES: usize = 11;
/// Processes of the package whose first call is timed, for the 99th percentile. The original, which is slower, has fewer.
const CALLS: (usize, usize) = (11, 100);
/// Calls in one process that each report an interval.
const INTERVALS: usize = 200;

pub(crate) fn run() -> anyhow::Result<()> {
    let root = tools::root()?;
    let originals = match Originals::wheels() {
        Ok(originals) => originals,
        Err(because) => return tools::skip(&because),
    };
    let wheel = wheels::host_wheel(root)?;
    let package = package(root, &wheel)?;
    let Side::Package(python) = &package else { return Ok(()) };
    let costs = Costs { originals, python: python.clone(), sides: [Side::Original, package] };
    let mut table = Table::default();
    for (what, measure) in STEPS {
        tools::watched(&format!("measuring {what}"), || measure(&costs, &mut table))?;
    }
    table.print();
    println!("\nThe wheel has {:.2} MB.", std::fs::metadata(wheel)?.len() as f64 / 1e6);
    Ok(())
}

/// Rows of a figure: the original and the package, in vLLM and in LMCache.
#[derive(Default)]
struct Table(Vec<(String, [String; 4])>);

impl Table {
    fn add(&mut self, what: &str, mut cells: Vec<String>) -> anyhow::Result<()> {
        cells.resize(4, String::new());
        let cells = cells.try_into().map_err(|_| anyhow!("four cells"))?;
        self.0.push((what.to_owned(), cells));
        Ok(())
    }

    fn print(&self) {
        println!("| what | vLLM | the package | LMCache | the package |");
        println!("| --- | --- | --- | --- | --- |");
        for (what, cells) in &self.0 {
            println!("| {what} | {} |", cells.join(" | "));
        }
    }
}

struct Costs {
    originals: &'static Originals,
    python: PathBuf,
    sides: [Side; 2],
}

/// The measurements, one after the other.
type Step = fn(&Costs, &mut Table) -> anyhow::Result<()>;
const STEPS: [(&str, Step); 6] = [
    ("imports", Costs::imports),
    ("calls", Costs::calls),
    ("calls that report an interval", Costs::intervals),
    ("ends", Costs::ends),
    ("what an opt-out leaves", Costs::silence),
    ("the plug-in", Costs::door),
];

/// An engine, the scenario in which it starts, and the name of the side in `measure.py`.
const ENGINES: [(&str, &str); 2] = [("vllm", "vllm-rocm"), ("lmcache", "lmcache-single")];
const WHO: [&str; 2] = ["original", "package"];

impl Costs {
    /// Measures an import in a bare Python, and in one that has loaded what engines load.
    fn imports(&self, table: &mut Table) -> anyhow::Result<()> {
        for (case, what) in [
            ("import", "import in a bare Python, CPU ms"),
            ("inside", "import in an engine, CPU ms"),
        ] {
            let [mut cpu, mut memory]: [Vec<String>; 2] = Default::default();
            for (engine, _) in ENGINES {
                let mut found: [[Vec<f64>; 2]; 2] = Default::default();
                for _ in 0..TIMES {
                    for (who, [cpu, memory]) in WHO.iter().zip(&mut found) {
                        let measured = self.script(case, engine, who, "http://127.0.0.1:9")?;
                        cpu.push(number(&measured, "cpu_ms")?);
                        memory.push(number(&measured, "kib")?);
                    }
                }
                for [one_cpu, one_memory] in found {
                    cpu.push(spread(one_cpu, 1));
                    memory
                        .push(spread(one_memory.into_iter().map(|kib| kib / 1024.0).collect(), 1));
                }
            }
            table.add(what, cpu)?;
            table.add(&what.replace("CPU ms", "resident MiB"), memory)?;
        }
        let mut yardstick = Vec::new();
        for _ in 0..TIMES {
            let measured = self.script("logging", "vllm", "package", "http://127.0.0.1:9")?;
            yardstick.push(number(&measured, "cpu_ms")?);
        }
        let cells = vec![String::new(), spread(yardstick, 1)];
        table.add("for comparison: Python's own `import logging`, CPU ms", cells)
    }

    /// Measures the call that reports, and what the report costs the process.
    fn calls(&self, table: &mut Table) -> anyhow::Result<()> {
        let [mut calls, mut own, mut cpu, mut threads]: [Vec<String>; 4] = Default::default();
        let (mut ratio, mut processes) = (Vec::new(), Vec::new());
        for (_, scenario) in ENGINES {
            let mut medians = Vec::new();
            for (side, times) in self.sides.iter().zip([CALLS.0, CALLS.1]) {
                let home = tempfile::tempdir()?;
                let [mut call, mut thread, mut spent]: [Vec<f64>; 3] = Default::default();
                let mut most = 0.0_f64;
                for _ in 0..times {
                    let cost = side.run(self.originals, scenario, home.path(), "start")?;
                    let called = cost.call.context("the engine tells what its call cost")?;
                    call.push(called.wall_seconds * 1e3);
                    thread.push(called.cpu_seconds * 1e3);
                    spent.push(cost.cpu_seconds * 1e3);
                    most = most.max(called.threads);
                }
                calls.push(percentiles(call));
                own.push(percentiles(thread));
                medians.push(median(spent.clone()));
                cpu.push(spread(spent, 1));
                threads.push(format!("{most}"));
                processes.push(children(self.originals, side, scenario)?.0);
            }
            if let [theirs, ours] = medians.as_slice() {
                ratio.extend([String::new(), format!("1/{:.0}", theirs / ours)]);
            }
        }
        table.add("first call, wall ms: median, 99th percentile", calls)?;
        table.add("… CPU ms of the engine's thread", own)?;
        table.add("start to last answer, CPU ms, with child processes", cpu)?;
        table.add("… as a part of the original's", ratio)?;
        table.add("child processes", processes)?;
        table.add("threads after the call", threads)
    }

    /// Times the call that LMCache makes every ten seconds, where each call reports.
    fn intervals(&self, table: &mut Table) -> anyhow::Result<()> {
        let server = Receiver::start();
        let mut cells = vec![String::new(); 2];
        for who in WHO {
            let measured = self.script("interval", "lmcache", who, &server.url())?;
            let millis = measured.get("wall_ms").and_then(Value::as_array);
            let millis = millis.context("wall_ms")?.iter().filter_map(Value::as_f64).collect();
            cells.push(percentiles(millis));
        }
        table.add("a call that reports an interval, wall ms: median, 99th percentile", cells)
    }

    /// Times the end of an engine, and of a server, whose usage server never answers.
    fn ends(&self, table: &mut Table) -> anyhow::Result<()> {
        let end = |scenario: &str| -> anyhow::Result<Vec<String>> {
            let mut cells = Vec::new();
            for side in &self.sides {
                let home = tempfile::tempdir()?;
                let time = side.end(self.originals, scenario, home.path())?;
                cells.push(format!("{:.0}", time.as_secs_f64() * 1e3));
            }
            Ok(cells)
        };
        let [(_, vllm), (_, lmcache)] = ENGINES;
        table.add("end with a server that hangs, ms", [end(vllm)?, end(lmcache)?].concat())?;
        let server = [vec![String::new(); 2], end("lmcache-mp")?].concat();
        table.add("… of LMCache's server", server)
    }

    /// Counts what an import and a call leave behind where the operator has opted out.
    fn silence(&self, table: &mut Table) -> anyhow::Result<()> {
        if !tools::have("strace") {
            return table.add("opted out: not counted, because strace is missing", Vec::new());
        }
        let mut cells = Vec::new();
        for (engine, _) in ENGINES {
            for who in WHO {
                let home = tempfile::tempdir()?;
                let trace = home.path().join("trace");
                let run = self.command("off", engine, who, "http://127.0.0.1:9", home.path())?;
                let mut command = Command::new("strace");
                command.args(["-f", "-qq", "-o"]).arg(&trace).arg("--");
                command.arg(run.get_program()).args(run.get_args()).env_clear();
                command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
                tools::output(command.env("DO_NOT_TRACK", "1").stdin(Stdio::null()))?;
                let text = std::fs::read_to_string(&trace)?;
                let marks = Marks::read(&text, Path::new(run.get_program()))?;
                cells.push(format!("{}, {}, {}", marks.threads, marks.files, marks.sockets));
            }
        }
        table
            .add("opted out, import and call: threads and processes, changed files, sockets", cells)
    }

    /// Times our plug-in of vLLM where the operator did not ask for it.
    fn door(&self, table: &mut Table) -> anyhow::Result<()> {
        let [mut cpu, mut wall]: [Vec<f64>; 2] = Default::default();
        for _ in 0..TIMES {
            let measured = self.script("door", "vllm", "package", "http://127.0.0.1:9")?;
            cpu.push(number(&measured, "cpu_ms")?);
            wall.push(number(&measured, "wall_ms")?);
        }
        let cell = format!("{} (wall {})", spread(cpu, 2), spread(wall, 2));
        let none = String::new;
        table.add("plug-in that does not take over, CPU ms", vec![none(), cell, none(), none()])
    }

    fn script(&self, case: &str, engine: &str, who: &str, url: &str) -> anyhow::Result<Value> {
        let home = tempfile::tempdir()?;
        let text = tools::output(&mut self.command(case, engine, who, url, home.path())?)?;
        serde_json::from_str(&text).with_context(|| format!("{case} prints {text}"))
    }

    fn command(
        &self,
        case: &str,
        engine: &str,
        who: &str,
        url: &str,
        home: &Path,
    ) -> anyhow::Result<Command> {
        let wheel = self.originals.wheel(engine).map_err(|error| anyhow!(error))?;
        let script = tools::root()?.join("tests/interop/wire/measure.py");
        ensure!(script.is_file(), "{} is missing", script.display());
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(script).args([case, engine, who]).arg(wheel);
        command.env_clear().env("HOME", home).env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("VLLM_USAGE_STATS_SERVER", url).env("LMCACHE_USAGE_TRACK_URL", url);
        command.env("LMCACHE_USAGE_TRACK_INTERVAL", "0").env("CALLS", INTERVALS.to_string());
        Ok(command)
    }
}

fn number(measured: &Value, name: &str) -> anyhow::Result<f64> {
    measured.get(name).and_then(Value::as_f64).with_context(|| format!("{name} in {measured}"))
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Returns the value below which this part of the values lies.
fn at(sorted: &[f64], part: f64) -> f64 {
    let index = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn median(values: Vec<f64>) -> f64 {
    at(&sorted(values), 0.5)
}

/// Returns the median, and the least and the greatest value.
fn spread(values: Vec<f64>, digits: usize) -> String {
    let values = sorted(values);
    let [low, middle, high] = [0.0, 0.5, 1.0].map(|part| at(&values, part));
    format!("{middle:.digits$} ({low:.digits$}–{high:.digits$})")
}

fn percentiles(values: Vec<f64>) -> String {
    let values = sorted(values);
    format!("{:.2}, {:.2}", at(&values, 0.5), at(&values, 0.99))
}
