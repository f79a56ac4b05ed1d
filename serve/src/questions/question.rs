//! The questions of the report, as a table.

use super::{Engine, Form};

/// A question, and how its answer is shown.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// Stable name, which stands in addresses.
    pub id: &'static str,
    /// Whose engines are counted.
    pub engine: Engine,
    /// The heading.
    pub title: &'static str,
    /// What is counted and how.
    pub sentence: &'static str,
    /// Of what.
    pub denominator: &'static str,
    /// Unit of the numbers.
    pub unit: &'static str,
    /// How it is drawn.
    pub form: Form,
    /// The table of the cubes that answers it.
    pub table: &'static str,
}

/// Every question, in the order of the page.
pub const QUESTIONS: &[Question] = &[
    Question {
        id: "vllm-versions",
        engine: Engine::Vllm,
        title: "Active engines by version",
        sentence: "Served engines of a day by contract and minor version. An engine is one process that reported \
            in at least six slots of ten minutes.",
        denominator: "served engines of vLLM on the day",
        unit: "engines",
        form: Form::Stack,
        table: "versions",
    },
    Question {
        id: "lmcache-versions",
        engine: Engine::Lmcache,
        title: "Active engines by version",
        sentence: "Served engines of a day by contract and minor version. An engine is one process that reported \
            in at least six slots of ten minutes. Only servers of their own report their version.",
        denominator: "served engines of LMCache on the day",
        unit: "engines",
        form: Form::Stack,
        table: "versions",
    },
];
