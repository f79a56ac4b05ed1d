//! Measures the disk: a sync, bytes a record, a rebuild, memory for many sessions.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use otel_usage_bridge::{Received, Store as _};
use otel_usage_serve::questions::{Rules, close};
use otel_usage_serve::store::{Core, Store, pack};

use crate::clock;
use crate::process::resident_mib;

const DAY: i64 = 86_400_000;

/// Prints how long a sync of 64 KiB takes here.
pub(crate) fn print_sync(when: &str, folder: &Path) {
    let mut file = std::fs::File::create(folder.join("sync")).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            file.write_all(&[7; 65_536]).unwrap();
            let began = Instant::now();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let ms = |place: usize| times[place].as_secs_f64() * 1e3;
    println!("fdatasync {when}: p50 {:.1} ms, p99 {:.1} ms", ms(100), ms(198));
}

/// Prints bytes a record, fresh and packed, and the speed of a rebuild.
pub(crate) fn measure(data: &Path) {
    let now = clock()();
    let mut core = Core::open(data, &[], now).unwrap();
    let records: i64 = core
        .connection()
        .query_row("SELECT sum(messages) FROM batch", [], |row| row.get(0))
        .unwrap();
    print_bytes("fresh", &mut core, records);
    let began = Instant::now();
    while let Some(packed) = pack(data, now + 4 * DAY).unwrap() {
        core.replace(packed).unwrap();
    }
    println!("packing: {:.0} records/s", records as f64 / began.elapsed().as_secs_f64());
    // The close of a day erases its origins.
    close(core.connection(), &Rules::default(), now + 4 * DAY).unwrap();
    print_bytes("closed days packed", &mut core, records);
    let began = Instant::now();
    assert_eq!(core.rebuild(now).unwrap(), records);
    println!("rebuild: {:.0} records/s", records as f64 / began.elapsed().as_secs_f64());
}

fn print_bytes(what: &str, core: &mut Core, records: i64) {
    let number = |core: &mut Core, sql: &str| -> f64 {
        core.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as f64
    };
    let pages = number(
        core,
        "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count",
    );
    let lines = number(core, "SELECT sum(length(lines)) FROM batch");
    let records = records as f64;
    println!(
        "on disk, {what}: {:.1} bytes a record, of which the messages have {:.1} ({records} records)",
        pages * 4096.0 / records,
        lines / records
    );
}

/// Keeps the heartbeats of a million sessions, and prints the memory that this takes.
pub(crate) fn remember(data: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Store::open(data, &[], 0, clock()).unwrap();
    for thousand in 0..1_000_u128 {
        let messages = (0..1_000).map(|n| {
            let uuid =
                (thousand * 1_000 + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
            let text = format!("{uuid:032x}");
            let body = format!(
                "{{\"uuid\": \"{}-{}-{}-{}-{}\", \"log_time\": 0}}",
                &text[..8],
                &text[8..12],
                &text[12..16],
                &text[16..20],
                &text[20..]
            );
            Received {
                contract: "vllm/current".to_owned(),
                message: "heartbeat".to_owned(),
                body: body.into(),
                time_nanos: 0,
            }
        });
        let kept = store.keep(IpAddr::from(Ipv4Addr::LOCALHOST), messages.collect());
        runtime.block_on(kept).unwrap();
    }
    store.close();
    let (now, most) =
        (resident_mib("/proc/self/status", "VmRSS"), resident_mib("/proc/self/status", "VmHWM"));
    println!("memory with a million sessions: {now:.0} MiB, {most:.0} MiB at most");
}
