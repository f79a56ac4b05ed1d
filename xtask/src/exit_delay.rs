//! `cargo xtask exit-delay`: how long an engine takes to end while its request hangs, at each stage of the request.
//!
//! The originals are unmodified, ours is `examples/adopt.rs`. Each figure is the time from the end of the engine
//! until its process is gone.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use otel_usage_mock_server::{Event, MockServer, Script};
use otel_usage_testing::python::Originals;
use otel_usage_testing::resolver::NeverResolves;

use crate::demo::side::{LONGEST_END, Side};
use crate::demo::{MEASURED, library};
use crate::tools;

/// Time within which an engine sends something. Python takes seconds to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each stage, by its name in the table and the fault of the mock server. No fault is a name that is never found.
const STAGES: [(&str, Option<&str>); 7] = [
    ("the name server never answers", None),
    ("no connection", Some("hang-connect")),
    ("connected, nothing is read", Some("hang-accept")),
    ("in the TLS handshake", Some("hang-tls")),
    ("the head is read", Some("hang-head")),
    ("the request is read", Some("hang-body")),
    ("in the middle of the answer", Some("hang-answer")),
];

pub(crate) fn run(times: usize) -> anyhow::Result<()> {
    ensure!(times > 0, "--times 0: at least one measurement is needed");
    let originals = match Originals::wheels() {
        Ok(originals) => originals,
        Err(because) => return tools::skip(&because),
    };
    let ours = library(tools::root()?)?;
    let all = STAGES.len() * MEASURED.len();
    let mut rows = Vec::new();
    for (stage, fault) in STAGES {
        let mut cells = Vec::new();
        for scenario in MEASURED {
            let number = rows.len() * MEASURED.len() + cells.len() / 2 + 1;
            for (who, side) in [("original", &Side::Original), ("ours", &ours)] {
                let what = format!("[{number}/{all}] {stage}: {scenario}, {who}");
                let took =
                    tools::watched(&what, || median(originals, side, scenario, fault, times))?;
                let killed = if took == LONGEST_END { "> " } else { "" };
                cells.push(format!("{killed}{:.0} ms", took.as_secs_f64() * 1e3));
            }
        }
        rows.push((stage, cells));
    }
    table(&rows);
    Ok(())
}

/// Prints the rows as a table of Markdown, which is aligned for people too.
fn table(rows: &[(&str, Vec<String>)]) {
    let heading: Vec<String> = MEASURED
        .iter()
        .flat_map(|scenario| {
            let engine = match *scenario {
                "lmcache-single" => "LMCache in an engine",
                "lmcache-mp" => "LMCache server",
                _ => "vLLM",
            };
            [engine.to_owned(), "ours".to_owned()]
        })
        .collect();
    let all: Vec<(&str, &Vec<String>)> = std::iter::once(("the request hangs", &heading))
        .chain(rows.iter().map(|(a, b)| (*a, b)))
        .collect();
    let first = all.iter().map(|(stage, _)| stage.len()).max().unwrap_or_default();
    let width = |column: usize| {
        all.iter()
            .filter_map(|(_, cells)| cells.get(column))
            .map(String::len)
            .max()
            .unwrap_or_default()
    };
    println!();
    for (index, (stage, cells)) in all.iter().enumerate() {
        let cells: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:>0$}", width(column)))
            .collect();
        println!("| {stage:<first$} | {} |", cells.join(" | "));
        if index == 0 {
            let lines: Vec<String> = (0..heading.len())
                .map(|column| format!("{}:", "-".repeat(width(column) - 1)))
                .collect();
            println!("| {} | {} |", "-".repeat(first), lines.join(" | "));
        }
    }
}

fn median(
    originals: &Originals,
    side: &Side,
    scenario: &str,
    fault: Option<&str>,
    times: usize,
) -> anyhow::Result<Duration> {
    let mut all: Vec<Duration> =
        (0..times).map(|_| end(originals, side, scenario, fault)).collect::<anyhow::Result<_>>()?;
    all.sort();
    all.into_iter().nth(times / 2).context("no measurement")
}

fn end(
    originals: &Originals,
    side: &Side,
    scenario: &str,
    fault: Option<&str>,
) -> anyhow::Result<Duration> {
    let home = tempfile::tempdir()?;
    let Some(fault) = fault else {
        let folder = tempfile::tempdir()?;
        let Some(resolver) = NeverResolves::build(folder.path()) else {
            bail!("no C compiler `cc` builds the resolver that never answers: install one");
        };
        // Python asks the resolver for an address too, and ours for a name only.
        let url = match side {
            Side::Original => "http://127.0.0.1:9",
            Side::Library(_) | Side::Package(_) => "http://localhost:9",
        };
        let environment = resolver.environment();
        return side.cut(originals, scenario, home.path(), url, &environment, || {
            ensure!(resolver.is_asked(PATIENCE), "the engine looked no name up");
            Ok(())
        });
    };
    let (sender, events) = mpsc::channel();
    let tell = move |event| {
        let _ = sender.send(event);
    };
    let script = Script::new([fault.parse().map_err(|error: String| anyhow!(error))?]);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = MockServer::start(listener, script.map_err(|error| anyhow!(error))?, tell)?;
    let scheme = if fault == "hang-tls" { "https:" } else { "http:" };
    let url = server.url().replace("http:", scheme);
    side.cut(originals, scenario, home.path(), &url, &[], || {
        if fault == "hang-connect" {
            return connecting(server.address());
        }
        let begun = events.recv_timeout(PATIENCE);
        ensure!(matches!(begun, Ok(Event::Begins(..))), "the engine sent nothing");
        // From the connection to the stage of the fault.
        std::thread::sleep(Duration::from_millis(300));
        Ok(())
    })
}

/// Waits until a process of this machine tries to connect to an address that takes no connection.
fn connecting(to: SocketAddr) -> anyhow::Result<()> {
    // The kernel's list has a line for each socket: the address it connects to, and 02 for one that waits.
    let wanted = format!(":{:04X} 02 ", to.port());
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if std::fs::read_to_string(Path::new("/proc/net/tcp"))?.contains(&wanted) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("the engine made no connection")
}
