//! Describes this machine with the library's resource detectors, for a provider of your own.
//!
//! The detectors block and ask no consent: they send nothing, and what you send is your decision. None
//! of them reads an identity.
//!
//! ```sh
//! cargo run --example detectors
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use otel_usage::detectors::{
    AcceleratorDetector, CloudDetector, ContainerDetector, HostDetector, OsDetector,
};

fn main() {
    let resource = Resource::builder_empty()
        .with_service_name("my-engine")
        .with_detector(Box::new(HostDetector))
        .with_detector(Box::new(OsDetector))
        .with_detector(Box::new(ContainerDetector))
        .with_detector(Box::new(CloudDetector))
        .with_detector(Box::new(AcceleratorDetector))
        .build();
    for (name, value) in &resource {
        println!("{name}={value}");
    }
    // Every span of this provider describes the machine.
    let _provider = SdkTracerProvider::builder().with_resource(resource).build();
}
