//! The questions of the report, as a table. The modules `table` and `source` say what each counts, and by which query.

use super::source::{Which, sql};
use super::table::{Privacy, table};
use super::{Engine, Form};

/// The part of its table that a figure shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    /// A measure of each cell: `engines`, `devices`, `device-hours`.
    Cells(&'static str),
    /// Engines of each parent.
    Parents,
    /// Shares of versions, by days since each was first published.
    Adoption,
    /// Shares of starts that lived so long.
    Survival,
}

/// A question, and how its answer is shown.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Stable name, which stands in addresses.
    pub id: &'static str,
    /// Whose engines are counted.
    pub engine: Engine,
    /// The heading.
    pub title: &'static str,
    /// Says what is counted, and how.
    pub sentence: &'static str,
    /// Of what.
    pub denominator: &'static str,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// How it is drawn.
    pub form: Form,
    /// The table of the cubes that answers it.
    pub(crate) table: &'static str,
    pub(crate) shows: Shows,
}

impl Question {
    /// Returns at which grain its numbers are published.
    #[must_use]
    pub fn privacy(&self) -> Privacy {
        table(self.table).map_or(Privacy::FreeText, |table| table.privacy)
    }

    /// Returns its query for SQLite: `?1` is the day, `?2` the engine.
    #[must_use]
    pub fn sqlite(&self) -> String {
        table(self.table).map(|table| sql(table, Which::All)).unwrap_or_default()
    }
}

const VLLM: &str = "served engines of vLLM";
const LMCACHE: &str = "served engines of LMCache";
const ENGINES: &str = "engines";

const fn vllm(
    id: &'static str,
    table: &'static str,
    form: Form,
    title: &'static str,
    sentence: &'static str,
) -> Question {
    let (engine, shows) = (Engine::Vllm, Shows::Cells(ENGINES));
    Question { id, engine, title, sentence, denominator: VLLM, unit: ENGINES, form, table, shows }
}

const fn lmcache(
    id: &'static str,
    table: &'static str,
    form: Form,
    title: &'static str,
    sentence: &'static str,
) -> Question {
    let (engine, shows) = (Engine::Lmcache, Shows::Cells(ENGINES));
    Question {
        id,
        engine,
        title,
        sentence,
        denominator: LMCACHE,
        unit: ENGINES,
        form,
        table,
        shows,
    }
}

impl Question {
    const fn shows(self, shows: Shows, unit: &'static str) -> Self {
        Self { shows, unit, ..self }
    }

    const fn of(self, denominator: &'static str) -> Self {
        Self { denominator, ..self }
    }
}

/// Every question, in the order of the page.
pub const QUESTIONS: &[Question] = &[
    vllm("vllm-versions", "versions", Form::Stack, "Active engines by version",
        "Engines of a day by contract and minor version. An engine is one process that was heard of in at least six \
         slots of ten minutes. The engines of one network count only up to a bound."),
    vllm("vllm-adoption", "versions", Form::Line, "Adoption of versions",
        "How fast a minor version spreads: its share by the number of days since it first appeared in this report. \
         Versions that were there on the first day are left out, because it is not known when they appeared.")
        .shows(Shows::Adoption, "%"),
    vllm("vllm-accelerators", "accelerators", Form::Bars, "Accelerators",
        "Engines a day by the name of their first accelerator, as the mean of whole weeks."),
    vllm("vllm-devices", "accelerators", Form::Bars, "Visible devices",
        "Accelerators a day that the engines see, by the name of the first, as the mean of whole weeks. Two engines on \
         one machine may see the same devices.").shows(Shows::Cells("devices"), "devices"),
    vllm("vllm-device-hours", "accelerators", Form::Bars, "Device-hours",
        "The accelerators that an engine sees times the hours of a day in which it was heard of, as the mean of \
         whole weeks.")
        .shows(Shows::Cells("device-hours"), "device-hours"),
    vllm("vllm-models", "models", Form::Bars, "Model architectures",
        "Engines a day by the architecture of the model that they serve, as the mean of whole weeks."),
    vllm("vllm-dtype", "dtype", Form::Bars, "Data types",
        "Engines a day by the data type of the model."),
    vllm("vllm-quantization", "quantization", Form::Bars, "Quantization",
        "Engines a day by the method of quantization, as the mean of whole weeks. Not reported means none."),
    vllm("vllm-cluster", "shape", Form::Bars, "Cluster size",
        "Engines a day by the number of devices that they use together: tensor times pipeline times data \
         parallelism.").shows(Shows::Parents, ENGINES),
    vllm("vllm-shape", "shape", Form::Bars, "Parallel shape",
        "Engines a day by their tensor, pipeline and data parallelism, within each cluster size."),
    vllm("vllm-provider", "provider", Form::Stack, "Cloud providers",
        "Engines of a day by the cloud provider that the machine names. UNKNOWN includes machines outside of clouds."),
    vllm("vllm-context", "context", Form::Bars, "Entry points",
        "Engines a day by the entry point through which vLLM was started. Its newer engine reports the same one \
         for all."),
    vllm("vllm-source", "source", Form::Bars, "Sources",
        "Engines a day by the source that they report, such as the Docker image of vLLM. A source that vLLM does not \
         name itself is under other."),
    vllm("vllm-survival", "life", Form::Strip, "Life of engines",
        "Of the engines that started on a day, the share that was still heard of after ten minutes, an hour, a day, \
         seven and thirty days. Starts of tests, crashes and restarts count.")
        .shows(Shows::Survival, "%").of("engines of vLLM that started on the day"),
    vllm("vllm-steady", "steady", Form::Stack, "Steady engines",
        "Engines of a day by age: those that have been heard of over seven days, and younger ones."),
    lmcache("lmcache-versions", "versions", Form::Stack, "Active engines by version",
        "Engines of a day by contract and minor version. Only servers of their own report a version. An engine is one \
         process with at least six messages at intervals. The engines of one network count only up to a bound."),
    lmcache("lmcache-hit", "hit", Form::Bars, "Tokens from the cache",
        "Engines a day by the share of their tokens that came from the cache: retrieved tokens, of retrieved \
         and stored ones."),
    lmcache("lmcache-l1", "l1", Form::Bars, "Size of L1",
        "Engines a day by the size of the first level of the cache. Only LMCache as a server of its own reports it."),
    lmcache("lmcache-l2", "l2", Form::Bars, "Adapters of L2",
        "Engines a day by the storage behind the second level of the cache, as the mean of whole weeks."),
    lmcache("lmcache-cache-life", "cache-life", Form::Bars, "Life in the cache",
        "Engines a day by the median time that data lived in the cache before it was evicted. Only LMCache inside the \
         process of an engine reports it."),
    lmcache("lmcache-accelerators", "accelerators", Form::Bars, "Accelerators",
        "Engines a day by the name of their first accelerator, as the mean of whole weeks."),
    lmcache("lmcache-provider", "provider", Form::Stack, "Cloud providers",
        "Engines of a day by the cloud provider that the machine names. UNKNOWN includes machines outside of clouds."),
    lmcache("lmcache-source", "source", Form::Bars, "How LMCache was installed",
        "Engines a day by how LMCache was installed."),
    lmcache("lmcache-survival", "life", Form::Strip, "Life of engines",
        "Of the engines that started on a day, the share that was still heard of after ten minutes, an hour, a day, \
         seven and thirty days. Starts of tests, crashes and restarts count.")
        .shows(Shows::Survival, "%").of("engines of LMCache that started on the day"),
    lmcache("lmcache-starts", "starts", Form::Stack, "Starts before schema 1",
        "Starts of a day by contract, of engines whose messages carry no number of the engine. How long they lived is \
         unknown, so they are in no other figure. The starts of one network count only up to a bound.")
        .shows(Shows::Cells(ENGINES), "starts").of("LMCache before its schema 1"),
    lmcache("lmcache-steady", "steady", Form::Stack, "Steady engines",
        "Engines of a day by age: those that have been heard of over seven days, and younger ones."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::questions::table::TABLES;

    #[test]
    fn every_question_has_its_own_name_and_a_table_of_its_engine() {
        let ids: BTreeSet<&str> = QUESTIONS.iter().map(|question| question.id).collect();
        assert_eq!(ids.len(), QUESTIONS.len());
        for question in QUESTIONS {
            let table = table(question.table).unwrap();
            assert!(table.engines.contains(&question.engine), "{}", question.id);
            assert!(question.id.starts_with(question.engine.id()), "{}", question.id);
        }
        // Every table answers a question, but for those that only continue another.
        let asked: BTreeSet<&str> = QUESTIONS.iter().map(|question| question.table).collect();
        for table in TABLES.iter().filter(|table| !table.id.starts_with("after-")) {
            assert!(asked.contains(table.id), "{}", table.id);
        }
    }
}
