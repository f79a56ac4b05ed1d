//! `cargo xtask demo silence`: shows a sceptic what an engine does that is switched off, and one that is shut in.
//!
//! 1. Each row of the consent table that means off is a run of `tests/optout/` under `strace`, in a sandbox that is
//!    read-only and has no network. The table counts the calls that leave a mark. A run that is on is counted too,
//!    because a count that is always zero would prove nothing.
//! 2. An engine that is on, but cannot reach its server: three hours of it in half a minute, with a clock that
//!    runs faster.

#[expect(dead_code, reason = "the tests also have rows that are not off")]
#[path = "../../../../tests/optout/tests/support/rows.rs"]
mod rows;
mod sandbox;
mod shut_in;
mod trace;

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::tools;
use rows::{ENGINES, Row};
use sandbox::Sandbox;
pub(crate) use trace::Marks;

/// The tables of rows that mean off, by what the operator did.
const TABLES: [(&str, &[Row]); 9] = [
    ("a variable for every engine", rows::FOR_EVERY_ENGINE),
    ("a word that is no mode", rows::WORDS_THAT_ARE_NO_MODE),
    ("a variable of one engine", rows::FOR_ONE_ENGINE),
    ("a marker file", rows::MARKERS),
    ("the mode file", rows::MODE_FILES),
    ("a folder that cannot be read", rows::UNREADABLE),
    ("a file without permissions", rows::LOCKED),
    ("an opt-out beside an opt-in", rows::OFF_BESIDE_ON),
    ("the engine itself", rows::ENGINE_SAYS_OFF),
];

/// The row that is on.
const ON: Row = rows::row(rows::Engines::Every, "", &[rows::env("OTEL_USAGE_MODE", b"on")]);

pub(crate) fn silence() -> anyhow::Result<()> {
    if !tools::have("strace") {
        return tools::skip("strace is missing: install it");
    }
    let root = tools::root()?;
    tools::run(
        tools::cargo(root).args(["build", "--package", "otel-usage-optout", "--locked"]),
        "tests/optout does not build",
    )?;
    // A copy that every user may read, whatever the checkout allows.
    let work = tempfile::tempdir()?;
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
    let program = work.path().join("optout");
    fs::copy(tools::target(root)?.join("debug/optout"), &program)?;

    let sandbox = Sandbox::new(work.path())?;
    println!("{}\n{}\n", bold("EVERY WAY TO SWITCH IT OFF"), sandbox.describe());
    let wrong = table(&sandbox, &program, work.path())?;
    println!("\n{}", bold("SWITCHED ON, WITHOUT A WAY TO THE SERVER"));
    shut_in::show(&sandbox, &program, work.path())?;
    ensure!(wrong == 0, "{wrong} run(s) that are off left a mark: see above");
    Ok(())
}

/// Prints a line for each kind of switch and returns the number of runs that are not silent.
fn table(sandbox: &Sandbox, program: &Path, work: &Path) -> anyhow::Result<usize> {
    let runs = |rows: &'static [Row]| -> Vec<(&'static Row, &'static str)> {
        let pairs = rows.iter().flat_map(|row| ENGINES.map(|engine| (row, engine)));
        pairs.filter(|(row, engine)| row.engines.contain(engine)).collect()
    };
    let all: usize = TABLES.iter().map(|(_, rows)| runs(rows).len()).sum();
    line([
        "switched off by",
        "spellings",
        "runs",
        "sockets",
        "changed files",
        "threads, processes",
    ]);
    let (mut done, mut wrong, mut sum) = (0, 0, Marks::default());
    for (what, rows) in TABLES {
        let mut marks = Marks::default();
        let runs = runs(rows);
        for (row, engine) in &runs {
            done += 1;
            progress(done, all);
            let found = one(sandbox, program, work, row, engine)
                .with_context(|| format!("{engine} with {}", row.shown()))?;
            if found.all() > 0 {
                wrong += 1;
                progress(all, all);
                println!("{} {engine} with {}: {:?}", red("not silent:"), row.shown(), found.calls);
            }
            marks.add(&found);
        }
        clear();
        counted(what, &rows.len().to_string(), runs.len(), &marks);
        sum.add(&marks);
    }
    counted("together", "", all, &sum);
    let marks = run(sandbox, program, work, &ON, ENGINES[0])?.0;
    counted("for comparison: switched on", "", 1, &marks);
    ensure!(
        marks.sockets > 0 && marks.files > 0 && marks.threads > 0,
        "a run that is on leaves no mark here, so that this table proves nothing"
    );
    Ok(wrong)
}

/// Runs an engine that is off, and returns its marks.
fn one(
    sandbox: &Sandbox,
    program: &Path,
    work: &Path,
    row: &Row,
    engine: &str,
) -> anyhow::Result<Marks> {
    let (marks, out) = run(sandbox, program, work, row, engine)?;
    ensure!(out.starts_with("silent consent=off because "), "it is not off: {out}");
    Ok(marks)
}

fn run(
    sandbox: &Sandbox,
    program: &Path,
    work: &Path,
    row: &Row,
    engine: &str,
) -> anyhow::Result<(Marks, String)> {
    let home = Home::new(work, row)?;
    let trace = work.join("trace");
    let variables = row.given.iter().filter_map(|given| given.variable(&home.0));
    let mut command = sandbox.command(&trace, &[], &home.0, program);
    command.arg(engine).arg("--no-filter").args(row.words()).envs(variables);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok((Marks::read(&fs::read_to_string(&trace)?, program)?, said))
}

/// A home directory of one run, which belongs to the user of the sandbox.
struct Home(PathBuf);

impl Home {
    fn new(work: &Path, row: &Row) -> anyhow::Result<Self> {
        let home = Self(work.join("home"));
        fs::create_dir(&home.0)?;
        for given in row.given {
            given.apply(&home.0)?;
        }
        sandbox::give(&home.0)?;
        Ok(home)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        sandbox::remove(&self.0);
    }
}

fn counted(what: &str, spellings: &str, runs: usize, marks: &Marks) {
    let cell = |count: usize, width: usize| {
        let text = format!("{count:>width$}");
        if count == 0 { green(&text) } else { yellow(&text) }
    };
    println!(
        "{what:<30} {spellings:>9} {runs:>6} {} {} {}",
        cell(marks.sockets, 9),
        cell(marks.files, 14),
        cell(marks.threads, 19)
    );
}

fn line(cells: [&str; 6]) {
    let [a, b, c, d, e, f] = cells;
    println!("{}", bold(&format!("{a:<30} {b:>9} {c:>6} {d:>9} {e:>14} {f:>19}")));
}

/// Shows on standard error how far the runs are.
fn progress(done: usize, all: usize) {
    if io::stderr().is_terminal() {
        eprint!("\rrun {done} of {all} ");
        let _ = io::stderr().flush();
    } else if done.is_multiple_of(100) {
        eprintln!("run {done} of {all}");
    }
}

fn clear() {
    if io::stderr().is_terminal() {
        eprint!("\r{:30}\r", "");
    }
}

fn styled(code: &str, text: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || !io::stdout().is_terminal() {
        return text.to_owned();
    }
    format!("\x1b[{code}m{text}\x1b[0m")
}

fn bold(text: &str) -> String {
    styled("1", text)
}

fn green(text: &str) -> String {
    styled("32", text)
}

fn yellow(text: &str) -> String {
    styled("33", text)
}

fn red(text: &str) -> String {
    styled("31", text)
}
