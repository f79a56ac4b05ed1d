//! Many engines on one folder: killed at random points, and with more records than there is room for.
//!
//! It is a test program of its own, because it starts itself again as those engines. `cargo xtask torture` runs the
//! same tests longer.

#![allow(clippy::print_stdout, reason = "the long form shows its progress")]
#![cfg(target_os = "linux")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking; it starts processes and waits for them"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use otel_usage::{Flush, Usage};
use otel_usage_testing::receiver::{Answer, serve};
use otel_usage_testing::{PATIENCE, numbered, vllm_at};

/// Starts this program as an engine.
fn engine(test: &str, home: &Path, server: &str, first: i64, count: i64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("TEST_HOME", home)
        .env("TEST_SERVER", server)
        .env("TEST_NUMBERS", format!("{first} {count}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns what [`engine`] gave to this process.
fn given() -> (Usage, std::ops::Range<i64>) {
    let variable = |name: &str| std::env::var(name).unwrap();
    let numbers = variable("TEST_NUMBERS");
    let (first, count) = numbers.split_once(' ').unwrap();
    let first: i64 = first.parse().unwrap();
    let usage = vllm_at(Path::new(&variable("TEST_HOME")), &variable("TEST_SERVER"));
    println!();
    (usage, first..first + count.parse::<i64>().unwrap())
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// The number of cases that a long run asks for.
fn wanted(few: i64) -> i64 {
    let asked = std::env::var("OTEL_USAGE_TEST_CASES");
    asked.map_or(few, |number| number.parse().unwrap())
}

/// Returns the messages on disk with their lengths.
fn messages(home: &Path) -> Vec<(PathBuf, u64)> {
    let files = std::fs::read_dir(home.join(".local/state/otel-usage")).into_iter().flatten();
    files
        .filter_map(|file| {
            let file = file.ok()?;
            let bytes = file.metadata().ok()?.len();
            Some((file.path(), bytes))
        })
        .filter(|(path, _)| path.extension().is_none_or(|end| end != "lock"))
        .collect()
}

/// A small generator with a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// A message that the server of the killed engines received: the number, the body, and whether it accepted it.
type Arrived = (i64, Vec<u8>, bool);

/// Starts a server that accepts half of what it receives, or all of it while it is `calm`.
fn moody(listener: TcpListener, calm: Arc<AtomicBool>) -> mpsc::Receiver<Arrived> {
    let (sender, arrived) = mpsc::channel();
    let random = Arc::new(Mutex::new(Random(1)));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sender, random, calm) = (sender.clone(), Arc::clone(&random), Arc::clone(&calm));
            std::thread::spawn(move || {
                let _ = serve(&stream, |request| {
                    let mood = random.lock().unwrap().below(4);
                    let accepts = mood < 2 || calm.load(Ordering::Relaxed);
                    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                    let number = body["block_size"].as_i64().unwrap();
                    sender.send((number, request.body, accepts)).unwrap();
                    match mood {
                        _ if accepts => Answer::Status(200, ""),
                        2 => Answer::Status(503, ""),
                        _ => Answer::BreakOff,
                    }
                });
            });
        }
    });
    arrived
}

/// Reports numbers, and says which of them a flush acknowledged.
#[test]
#[ignore = "a process of another test"]
fn an_engine_that_will_be_killed() {
    let (usage, numbers) = given();
    for number in numbers {
        usage.record(numbered(number));
        if matches!(usage.flush(PATIENCE), Flush::Durable | Flush::Settled) {
            say(&format!("safe {number}"));
        }
    }
    wait_for_the_end();
}

/// Time after which an engine that finds nothing more to take over leaves the rest to the next one.
const A_TURN: Duration = Duration::from_secs(5);

/// Delivers what others left, as many messages as an engine may send in one go.
#[test]
#[ignore = "a process of another test"]
fn an_engine_that_takes_over() {
    let (usage, numbers) = given();
    let home = PathBuf::from(std::env::var("TEST_HOME").unwrap());
    usage.record(numbered(numbers.start));
    let begun = Instant::now();
    let delivered = || usage.stats().exporters.first().map_or(0, |exporter| exporter.delivered);
    while delivered() < 30 && !messages(&home).is_empty() && begun.elapsed() < A_TURN {
        let _ = usage.flush(Duration::from_millis(100));
    }
    usage.finish();
}

/// Kills an engine at a random point, and returns what it said is safe.
fn kill(mut engine: Child, random: &mut Random) -> Vec<i64> {
    let mut said = BufReader::new(engine.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut number = || {
        let line = said.find(|line| line.starts_with("safe "))?;
        line.strip_prefix("safe ")?.parse::<i64>().ok()
    };
    let lines = random.below(8);
    let mut safe: Vec<i64> = (0..lines).map_while(|_| number()).collect();
    // Within the start of an engine, or within a report.
    let longest = if lines == 0 { 40_000 } else { 3000 };
    std::thread::sleep(Duration::from_micros(random.below(longest)));
    engine.kill().unwrap();
    engine.wait().unwrap();
    safe.extend(std::iter::from_fn(number));
    safe
}

/// Reports of an engine. Ten engines together stay below the 256 files of the folder.
const REPORTS: i64 = 12;

#[test]
fn engines_killed_at_fifty_random_points_lose_nothing_that_a_flush_acknowledged() {
    let kills = wanted(50);
    let home = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let calm = Arc::new(AtomicBool::new(false));
    let arrived = moody(listener, Arc::clone(&calm));
    let mut random = Random(7);
    let (mut safe, mut spare) = (BTreeSet::new(), -1);
    for first in (0..kills).step_by(10) {
        let start = |one: i64| {
            let test = "an_engine_that_will_be_killed";
            engine(test, home.path(), &server, one * REPORTS, REPORTS)
        };
        // Five run side by side, and the next five take over what they left.
        for half in [first..first + 5, first + 5..first + 10] {
            let engines: Vec<Child> = half.map(start).collect();
            safe.extend(engines.into_iter().flat_map(|engine| kill(engine, &mut random)));
        }
        calm.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        while !messages(home.path()).is_empty() {
            assert!(begun.elapsed() < 3 * PATIENCE, "{:?} are left", messages(home.path()));
            let ended = engine("an_engine_that_takes_over", home.path(), &server, spare, 1);
            spare -= 1;
            assert!(ended.wait_with_output().unwrap().status.success());
        }
        calm.store(false, Ordering::Relaxed);
        if first % 100 == 90 {
            println!("{} of {kills} engines were killed", first + 10);
        }
    }
    let mut bodies: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    let (mut accepted, mut twice) = (BTreeSet::new(), 0);
    for (number, body, accepts) in arrived.try_iter() {
        assert_eq!(*bodies.entry(number).or_insert_with(|| body.clone()), body, "{number} changed");
        if accepts && !accepted.insert(number) {
            twice += 1;
        }
    }
    let lost: Vec<&i64> = safe.difference(&accepted).collect();
    assert!(lost.is_empty(), "{lost:?} were acknowledged and are lost");
    assert!(safe.len() >= usize::try_from(kills).unwrap(), "{} are too few", safe.len());
    // An engine has one message in flight when it is killed.
    assert!(twice <= kills, "{twice} arrived twice");
    println!("{kills} kills: {} acknowledged, 0 lost, {twice} delivered twice", safe.len());
}

/// Makes many records while the server is away.
#[test]
#[ignore = "a process of another test"]
fn an_engine_of_a_crowd() {
    let (usage, numbers) = given();
    let count = u64::try_from(numbers.end - numbers.start).unwrap();
    for number in numbers.clone() {
        usage.record(numbered(number));
        // The queue holds 256, and the outbox 16.
        if (number - numbers.start) % 250 == 0 {
            let _ = usage.flush(PATIENCE);
        }
        if number == numbers.start {
            say("ready");
        }
    }
    let _ = usage.flush(PATIENCE);
    let stats = usage.stats();
    let exporter = &stats.exporters[0];
    let dropped: u64 = exporter.dropped.values().sum();
    let waiting = exporter.queued + exporter.spooled;
    assert_eq!(exporter.accepted, exporter.delivered + waiting + dropped, "{exporter:?}");
    assert!(exporter.accepted + stats.lost.values().sum::<u64>() >= count, "{stats:?}");
    say(&format!("done {} {}", exporter.accepted, waiting));
    wait_for_the_end();
}

/// Returns the memory and the number of threads of a process, and its peak. Unit: KiB.
fn life(process: u32) -> (u64, u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (number("VmRSS:"), number("Threads:"), number("VmHWM:"))
}

/// The memory that an engine may add: a full queue and a full outbox, encoded once more for the disk.
const GROWTH_KIB: u64 = 4 * 1024;

#[test]
fn processes_with_more_records_than_room_stay_within_their_memory_and_disk() {
    let records = wanted(20_000);
    let processes: i64 = if records >= 1_000_000 { 64 } else { 8 };
    let each = records / processes;
    let home = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.83:0").unwrap().local_addr().unwrap();
    let server = format!("http://{address}");
    let mut engines: Vec<Child> = (0..processes)
        .map(|one| engine("an_engine_of_a_crowd", home.path(), &server, one * each, each))
        .collect();
    let (sender, said) = mpsc::channel();
    for (one, engine) in engines.iter_mut().enumerate() {
        let (out, sender) = (engine.stdout.take().unwrap(), sender.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send((one, line));
            }
        });
    }
    drop(sender);
    let mut begins: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    let (mut done, mut accepted, mut samples, mut growth) = (0, 0, 0, 0);
    let (mut files, mut bytes) = (0, 0);
    while done < engines.len() {
        while let Ok((one, line)) = said.recv_timeout(Duration::from_millis(10)) {
            if line == "ready" {
                let (memory, threads, _) = life(engines[one].id());
                begins.insert(one, (memory, threads));
            } else if let Some(counts) = line.strip_prefix("done ") {
                done += 1;
                accepted += counts.split(' ').next().unwrap().parse::<u64>().unwrap();
                println!("{done} of {processes} processes have made their records");
            } else {
                assert!(!line.contains("FAILED") && !line.contains("panicked"), "{line}");
            }
        }
        let there = messages(home.path());
        let sum: u64 = there.iter().map(|(_, bytes)| bytes).sum();
        (files, bytes) = (files.max(there.len()), bytes.max(sum));
        assert!(sum <= 4 * 1024 * 1024, "{sum} bytes on disk");
        for (one, (memory, threads)) in &begins {
            let (now, threads_now, _) = life(engines[*one].id());
            samples += 1;
            growth = growth.max(now.saturating_sub(*memory));
            // A request has a thread of its own for as long as it lasts, and that of the one before may still be ending.
            assert!(threads_now <= *threads + 2, "{threads_now} threads, {threads} at first");
            assert!(growth <= GROWTH_KIB, "{growth} KiB more than at the first record");
        }
    }
    // Processes that save at the same moment go beyond the bound, and come back at once.
    let left = messages(home.path()).len();
    assert!(left <= 256 && files <= 2 * 256, "{left} files in the end, {files} at most");
    // The peaks show what lay between two samples.
    let mut peak = 0;
    for (one, engine) in engines.iter_mut().enumerate() {
        let (.., highest) = life(engine.id());
        peak = peak.max(highest.saturating_sub(begins[&one].0));
        engine.kill().unwrap();
        engine.wait().unwrap();
    }
    println!(
        "{processes} processes, {records} records, {accepted} messages: {samples} samples, \
         at most {growth} KiB more ({peak} KiB between samples), {files} files and {bytes} bytes, \
         {left} files in the end"
    );
    assert!(peak <= GROWTH_KIB, "{peak} KiB");
}
