//! Fuzzes the cloud provider by DMI files and a variable. It must be one of a few words.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> = LazyLock::new(|| {
    Tree::new(&[
        "/sys/class/dmi/id/product_version",
        "/sys/class/dmi/id/bios_vendor",
        "/sys/class/dmi/id/product_name",
        "/sys/class/dmi/id/chassis_asset_tag",
        "/sys/class/dmi/id/sys_vendor",
    ])
});

fuzz_target!(|input: ([Option<&[u8]>; 5], Option<&str>)| {
    let (files, runpod) = input;
    let runpod = runpod.map(|value| ("RUNPOD_DC_ID".to_owned(), value.to_owned()));
    let facts = look(&TREE.machine(files).with_environment(runpod));
    // One of our words, never text of the files.
    let word = |text: &&str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    assert!(facts.cloud_provider.iter().all(word), "{facts:?}");
});
