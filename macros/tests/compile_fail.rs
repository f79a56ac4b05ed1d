//! What does not compile, and what its author reads: each file in `compile_fail/` beside its `.stderr`.
//!
//! `TRYBUILD=overwrite cargo test -p otel-usage-macros` writes what the compiler says now; read it as the
//! author would before it is checked in.

#[test]
fn a_record_that_says_too_little_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
