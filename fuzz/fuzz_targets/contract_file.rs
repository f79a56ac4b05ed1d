//! Parses any text as a contract file. The result is an error of one line, or a contract that can be used and
//! is the same after writing and reading it again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use otel_usage::Contract;
use otel_usage::schema::CompiledContract;

fuzz_target!(|text: &str| {
    match Contract::from_json(text) {
        Ok(contract) => {
            assert_eq!(Contract::from_json(&contract.to_json()).unwrap(), contract);
            CompiledContract::new(&contract).unwrap();
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
    }
});
