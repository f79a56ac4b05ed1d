//! Checks which records do not compile, and the compiler's message: each file in `compile_fail/` has
//! its `.stderr`.
//!
//! `TRYBUILD=overwrite cargo test -p otel-usage-macros` writes the messages anew; read them before you
//! commit.

#[test]
fn an_incomplete_record_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
