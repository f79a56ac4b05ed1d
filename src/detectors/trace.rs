//! The list of readings: which files, variables and calls the readers asked, and how each answered.
//!
//! The command shows it, and a recording is made of it. Only a traced machine keeps the list; for
//! others a reading costs one more branch. The list holds names of files and variables, no contents.

use std::io::{self, ErrorKind};
use std::sync::Mutex;

use super::{Facts, Machine};

/// Variables whose value is a folder that may hold a user's name; the list shows the variable.
const FOLDERS: [&str; 2] = ["CONDA_PREFIX", "VIRTUAL_ENV"];

/// One step of [`probe`](super::probe): a reader that is done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'step> {
    /// Name of the reader: `cloud`, `memory`.
    pub name: &'static str,
    /// All facts that are known by now.
    pub facts: &'step Facts,
    /// The reader's readings in order; empty unless the machine is [traced](Machine::traced).
    pub readings: &'step [Reading],
}

/// One question to a machine, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// The question.
    pub asked: Asked,
    /// Path or name; never a value.
    pub name: String,
    /// How the machine answered.
    pub answer: Answer,
}

/// Things that a machine can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Asked {
    /// An instruction, a system call or a library.
    Call,
    /// The text of a file.
    File,
    /// The names in a folder.
    Folder,
    /// Whether a path exists.
    Marker,
    /// Whether a program is on `PATH`.
    Program,
    /// An environment variable.
    Variable,
}

/// How a machine can answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// It exists, without a value.
    Blank,
    /// It exists. It need not hold a fact.
    Found,
    /// It does not exist.
    Missing,
    /// It may exist, but cannot be read.
    Unreadable(ErrorKind),
}

impl Asked {
    /// Returns the word for it: `file`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::File => "file",
            Self::Folder => "folder",
            Self::Marker => "marker",
            Self::Program => "program",
            Self::Variable => "variable",
        }
    }
}

impl Answer {
    /// Returns the word for it: `found`. The reason of [`Answer::Unreadable`] is left out.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Found => "found",
            Self::Missing => "missing",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Returns `Found` or `Missing`.
    pub(super) fn there(there: bool) -> Self {
        if there { Self::Found } else { Self::Missing }
    }

    /// Returns the answer that a read stands for.
    pub(super) fn of(read: &io::Result<impl AsRef<[u8]>>) -> Self {
        match read {
            Ok(text) if text.as_ref().trim_ascii().is_empty() => Self::Blank,
            Ok(_) => Self::Found,
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing,
                kind => Self::Unreadable(kind),
            },
        }
    }
}

/// The list of readings; a clone begins with an empty one.
#[derive(Debug, Default)]
pub(super) struct Trace(Mutex<Vec<Reading>>);

impl Clone for Trace {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Machine {
    /// Turns on the list of readings: see [`Step::readings`].
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.trace = Some(Trace::default());
        self
    }

    pub(super) const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Adds a reading to the list of a traced machine.
    pub(super) fn note(&self, asked: Asked, name: &str, answer: impl FnOnce() -> Answer) {
        if let Some(Trace(list)) = &self.trace {
            let reading = Reading { asked, name: self.shown(name), answer: answer() };
            if let Ok(mut list) = list.lock()
                && list.last() != Some(&reading)
            {
                list.push(reading);
            }
        }
    }

    /// Takes the readings since the last call.
    pub(super) fn take_readings(&self) -> Vec<Reading> {
        let list = self.trace.as_ref().and_then(|Trace(list)| list.lock().ok());
        list.map(|mut list| std::mem::take(&mut *list)).unwrap_or_default()
    }

    /// Returns a path with the variable in place of its value.
    fn shown(&self, name: &str) -> String {
        let value = |variable: &str| self.value(variable).filter(|it| it.len() > 1);
        FOLDERS
            .iter()
            .find_map(|variable| {
                let rest = name.strip_prefix(value(variable)?.trim_end_matches('/'))?;
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| format!("${variable}/{}", rest.trim_start_matches('/')))
            })
            .unwrap_or_else(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::super::probe;
    use super::{Answer, Asked, Reading};

    #[test]
    fn only_a_traced_machine_keeps_a_list() {
        let tree = Tree::new().file("/proc/meminfo", "MemTotal: 1024 kB\n");
        let readings = |machine| {
            let mut readings = Vec::new();
            let _ = probe(&machine, false, &mut |step| {
                readings.extend(step.readings.iter().map(|reading| (step.name, reading.clone())));
            });
            readings
        };
        assert_eq!(readings(tree.machine()), []);
        let found = readings(tree.machine().traced());
        let memory =
            Reading { asked: Asked::File, name: "/proc/meminfo".to_owned(), answer: Answer::Found };
        assert!(found.contains(&("memory", memory)), "{found:?}");
        let vendor =
            found.iter().find(|(_, reading)| reading.name.ends_with("sys_vendor")).unwrap();
        assert_eq!((vendor.0, vendor.1.answer), ("cloud", Answer::Missing));
    }

    #[test]
    fn unreadable_and_missing_files_differ() {
        let tree = Tree::new().file("/folder/blank", " \n");
        let machine = tree.machine().traced();
        for path in ["/folder/blank", "/folder", "/missing", "/folder/blank/below"] {
            assert_eq!(machine.attribute(path), None);
        }
        let answers: Vec<Answer> =
            machine.take_readings().into_iter().map(|reading| reading.answer).collect();
        assert_eq!((answers[0], answers[2], answers[3]), {
            (Answer::Blank, Answer::Missing, Answer::Missing)
        });
        assert!(matches!(answers[1], Answer::Unreadable(_)), "{answers:?}");
        assert_eq!(machine.take_readings(), [], "taken");
    }

    #[test]
    fn folders_of_a_user_are_shown_by_their_variable() {
        let tree = Tree::new();
        let machine = tree
            .machine_with(&[("VIRTUAL_ENV", "/home/alice/venv/"), ("PATH", "/home/alice/bin")])
            .with_uname("Linux", "6", "x86_64")
            .traced();
        let mut shown = String::new();
        let _ = probe(&machine, true, &mut |step| shown += &format!("{:?}", step.readings));
        assert!(shown.contains("\"$VIRTUAL_ENV/lib\""), "{shown}");
        assert!(!shown.contains("alice"), "{shown}");
        assert_eq!(machine.shown("/home/alice/venv2/x"), "/home/alice/venv2/x");
    }
}
