//! Fuzzes platform string and architecture by `uname`, the C library, `PATH` and macOS' version file.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use otel_usage_fuzz::{Tree, look};

static TREE: LazyLock<Tree> =
    LazyLock::new(|| Tree::new(&["/System/Library/CoreServices/SystemVersion.plist"]));

type Input<'a> = (u8, [&'a str; 3], Option<(&'a str, &'a str)>, Option<&'a str>, Option<&'a [u8]>);

fuzz_target!(|input: Input<'_>| {
    let (system, [other, release, hardware], libc, path, version) = input;
    let system = ["Linux", "Darwin", other].get(usize::from(system % 3)).copied().unwrap();
    let mut machine = TREE.machine([version]).with_uname(system, release, hardware);
    if let Some((name, version)) = libc {
        machine = machine.with_libc(name, version);
    }
    let path = path.map(|path| ("PATH".to_owned(), path.to_owned()));
    let facts = look(&machine.with_environment(path));
    if let Some(platform) = &facts.platform {
        let forbidden = |c| " /\\:;\"()".contains(c);
        assert!(!platform.contains("--") && !platform.ends_with('-'), "{platform:?}");
        assert!(!platform.contains(forbidden), "{platform:?}");
    }
});
