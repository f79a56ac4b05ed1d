//! Takes over the messages of any folder. Each intact message is delivered once and nothing else is, damage is
//! counted, and the work is bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| otel_usage::fuzz_spool(input));
