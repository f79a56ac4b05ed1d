//! What a probe asks of a machine comes in, the list of it goes out: for whoever wants to know
//! where a fact was read, and for a recording.
//!
//! Normal probes keep no list, and a question then costs one branch more. The list names files
//! and variables, never what stands in them.

use std::io::{self, ErrorKind};
use std::sync::Mutex;

use super::{Facts, Machine};

/// Variables whose value is a folder that may carry a user's name; a list shows the variable.
const FOLDERS: [&str; 2] = ["CONDA_PREFIX", "VIRTUAL_ENV"];

/// One step of a probe, handed over when it is done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'step> {
    /// What the step looked for: `cloud`, `memory`.
    pub name: &'static str,
    /// All that is known by now.
    pub facts: &'step Facts,
    /// What was asked since the step before, in order; empty unless the machine is
    /// [traced](Machine::traced).
    pub sources: &'step [Source],
}

/// One thing that was asked of a machine, and how it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// What kind of thing was asked.
    pub asked: Asked,
    /// Its path or name; never a value.
    pub name: String,
    /// How the machine answered.
    pub answer: Answer,
}

/// Kinds of things a machine can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Asked {
    /// An instruction, a system call or a library.
    Call,
    /// The text of a file.
    File,
    /// The names in a folder.
    Folder,
    /// Whether a path is there at all.
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
    /// It is there, without a value.
    Blank,
    /// It is there. Whether it told what was looked for shows in the facts.
    Found,
    /// It is not there.
    Missing,
    /// It is there, or may be, but cannot be read.
    Unreadable(ErrorKind),
}

impl Asked {
    /// The word for it: `file`.
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
    /// The word for it: `found`. Why something is unreadable is left out.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::Found => "found",
            Self::Missing => "missing",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Found, or missing.
    pub(super) fn there(there: bool) -> Self {
        if there { Self::Found } else { Self::Missing }
    }

    /// What a read came to.
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

/// The list; a copy of a machine begins its own.
#[derive(Debug, Default)]
pub(super) struct Trace(Mutex<Vec<Source>>);

impl Clone for Trace {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Machine {
    /// Makes probes of this machine say what they asked: see [`Step::sources`].
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.trace = Some(Trace::default());
        self
    }

    pub(super) const fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// Takes note of a question, where that is wanted.
    pub(super) fn note(&self, asked: Asked, name: &str, answer: impl FnOnce() -> Answer) {
        if let Some(Trace(list)) = &self.trace {
            let source = Source { asked, name: self.shown(name), answer: answer() };
            if let Ok(mut list) = list.lock()
                && list.last() != Some(&source)
            {
                list.push(source);
            }
        }
    }

    /// The questions since the last call.
    pub(super) fn take_sources(&self) -> Vec<Source> {
        let list = self.trace.as_ref().and_then(|Trace(list)| list.lock().ok());
        list.map(|mut list| std::mem::take(&mut *list)).unwrap_or_default()
    }

    /// A path with the variable in place of its value.
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
    use super::{Answer, Asked, Source};

    #[test]
    fn only_a_traced_machine_keeps_a_list() {
        let tree = Tree::new().file("/proc/meminfo", "MemTotal: 1024 kB\n");
        let sources = |machine| {
            let mut sources = Vec::new();
            let _ = probe(&machine, false, &mut |step| {
                sources.extend(step.sources.iter().map(|source| (step.name, source.clone())));
            });
            sources
        };
        assert_eq!(sources(tree.machine()), []);
        let found = sources(tree.machine().traced());
        let memory =
            Source { asked: Asked::File, name: "/proc/meminfo".to_owned(), answer: Answer::Found };
        assert!(found.contains(&("memory", memory)), "{found:?}");
        let vendor = found.iter().find(|(_, source)| source.name.ends_with("sys_vendor")).unwrap();
        assert_eq!((vendor.0, vendor.1.answer), ("cloud", Answer::Missing));
    }

    #[test]
    fn what_cannot_be_read_is_told_from_what_is_not_there() {
        let tree = Tree::new().file("/folder/blank", " \n");
        let machine = tree.machine().traced();
        for path in ["/folder/blank", "/folder", "/missing", "/folder/blank/below"] {
            assert_eq!(machine.attribute(path), None);
        }
        let answers: Vec<Answer> =
            machine.take_sources().into_iter().map(|source| source.answer).collect();
        assert_eq!((answers[0], answers[2], answers[3]), {
            (Answer::Blank, Answer::Missing, Answer::Missing)
        });
        assert!(matches!(answers[1], Answer::Unreadable(_)), "{answers:?}");
        assert_eq!(machine.take_sources(), [], "taken");
    }

    #[test]
    fn folders_of_a_user_are_shown_by_their_variable() {
        let tree = Tree::new();
        let machine = tree
            .machine_with(&[("VIRTUAL_ENV", "/home/alice/venv/"), ("PATH", "/home/alice/bin")])
            .with_uname("Linux", "6", "x86_64")
            .traced();
        let mut shown = String::new();
        let _ = probe(&machine, true, &mut |step| shown += &format!("{:?}", step.sources));
        assert!(shown.contains("\"$VIRTUAL_ENV/lib\""), "{shown}");
        assert!(!shown.contains("alice"), "{shown}");
        assert_eq!(machine.shown("/home/alice/venv2/x"), "/home/alice/venv2/x");
    }
}
