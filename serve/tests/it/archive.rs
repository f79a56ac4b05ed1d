//! Files that go in and out: archives that are imported, exports and copies.

use std::path::PathBuf;
use std::sync::Arc;

use otel_usage_bridge::Importer;
use otel_usage_schema::{Contract, Field, MessageSpec, Trigger, Type};
use otel_usage_serve::Receives;
use otel_usage_serve::questions::{Rules, close};
use otel_usage_serve::store::{Core, Format, Imported, Rows, Taken, backup, export};

use crate::running::{DAY, NOW, Place, goldens, picture, post_all, rows};

pub(crate) fn import(core: &mut Core, files: &[PathBuf]) -> Imported {
    let importer = Importer::new(&[], Arc::new(Receives)).unwrap();
    let (mut done, mut shown) = (Imported::default(), 0);
    for file in files {
        core.import(&importer, file, (NOW, NOW), &mut done, &mut |_, _| shown += 1).unwrap();
    }
    assert!(shown >= files.len() - done.known_files, "no progress is shown");
    done
}

/// Writes files of every kind that can be imported.
pub(crate) fn archive(place: &Place) -> Vec<PathBuf> {
    let folder = place.0.path();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/vllm-usage_stats.jsonl");
    // Lines of the file exporter: flat messages.
    let lines = folder.join("exported.jsonl");
    let flat: Vec<String> = goldens()
        .into_iter()
        .filter(|(file, ..)| file.starts_with("lmcache"))
        .map(|(_, _, body)| body.replace('\n', " "))
        .collect();
    std::fs::write(&lines, flat.join("\n") + "\nnot json\n{\"strange\": 1}\n\n").unwrap();
    // A collector's archive: a request a line.
    let otlp = folder.join("archive.json");
    let attribute =
        |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    let uuid = "11111111-2222-4333-8444-555555555555";
    let spans: Vec<_> = (0..3)
        .map(|n| {
            serde_json::json!({"resourceSpans": [{
                "resource": {"attributes": [attribute("service.instance.id", uuid)]},
                "scopeSpans": [{"scope": {"name": "otel_usage"}, "spans": [{
                    "traceId": format!("{:032x}", n + 1), "spanId": format!("{:016x}", n + 1),
                    "name": "vllm.heartbeat",
                    "endTimeUnixNano": (1_700_000_000_000_000_000_i64 + n * 600_000_000_000).to_string(),
                    "attributes": [attribute("otel_usage.contract", "vllm/current")],
                }]}],
            }]})
            .to_string()
        })
        .collect();
    std::fs::write(&otlp, spans.join("\n")).unwrap();
    vec![PathBuf::from(golden), lines, otlp]
}

#[test]
fn an_archive_that_is_imported_twice_gives_the_same_rows() {
    let place = Place::new();
    let files = archive(&place);
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    let first = import(&mut core, &files);
    assert_eq!((first.unknown, first.known_files), (2, 0));
    assert!(first.messages > 20);
    let before = picture(&place.read());
    assert!(
        before.iter().any(|row| row.contains("11111111222243338444555555555555|vllm")),
        "{before:?}"
    );
    // The time of the engine counts, however old it is.
    assert!(
        before.iter().any(|row| row.starts_with("presence|11111111") && row.contains("|19675|"))
    );
    assert_eq!(import(&mut core, &files).known_files, 3);
    assert_eq!(picture(&place.read()), before);
    // The same messages in another file are other bytes.
    let again: Vec<PathBuf> = files
        .iter()
        .map(|file| {
            let mut lines: Vec<String> =
                std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
            lines.reverse();
            let copy = place
                .0
                .path()
                .join(format!("again-{}", file.file_name().unwrap().to_str().unwrap()));
            std::fs::write(&copy, lines.join("\n")).unwrap();
            copy
        })
        .collect();
    assert_eq!(import(&mut core, &again).known_files, 0);
    assert_eq!(picture(&place.read()), before);
}

#[test]
fn an_archive_may_be_compressed_and_what_was_cut_off_comes_with_the_whole_file() {
    use std::io::Write as _;
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let plain = Place::new();
    let files = archive(&plain);
    let mut core = Core::open(&plain.data(), &[], NOW).unwrap();
    import(&mut core, &files);
    let expected = picture(&plain.read());
    let packed = Place::new();
    let mut core = Core::open(&packed.data(), &[], NOW).unwrap();
    let importer = Importer::new(&[], Arc::new(Receives)).unwrap();
    for (n, file) in files.iter().enumerate() {
        let bytes = std::fs::read(file).unwrap();
        // Two members, as a log that was appended to.
        let (one, other) =
            bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1);
        let bytes = if n == 0 {
            zstd::encode_all(&*bytes, 3).unwrap()
        } else {
            [gzip(one), gzip(other)].concat()
        };
        let place = packed.0.path().join(format!("{n}"));
        let mut done = Imported::default();
        let mut import = |bytes: &[u8]| {
            std::fs::write(&place, bytes).unwrap();
            core.import(&importer, &place, (NOW, NOW), &mut done, &mut |read, all| {
                assert!(read <= all)
            })
        };
        let error = import(&bytes[..bytes.len() - 9]).unwrap_err().to_string();
        assert!(error.contains("cannot be read from line"), "{error}");
        import(&bytes).unwrap();
        assert!(done.messages > 0 && done.known_files == 0, "{done:?}");
    }
    assert_eq!(picture(&packed.read()), expected);
}

#[test]
fn an_import_that_cannot_be_written_is_taken_again_whole() {
    let place = Place::new();
    // It has starts without identity, which an import knows again by their hashes.
    let file = archive(&place).remove(1);
    let importer = Importer::new(&[], Arc::new(Receives)).unwrap();
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    // The disk has room for anything but the messages.
    let full =
        "CREATE TEMP TRIGGER full BEFORE INSERT ON batch BEGIN SELECT RAISE(FAIL, 'full'); END";
    core.connection().execute_batch(full).unwrap();
    let mut done = Imported::default();
    core.import(&importer, &file, (NOW, NOW), &mut done, &mut |_, _| {}).unwrap_err();
    core.connection().execute_batch("DROP TRIGGER full").unwrap();
    import(&mut core, std::slice::from_ref(&file));
    drop(core);
    let whole = Place::new();
    import(&mut Core::open(&whole.data(), &[], NOW).unwrap(), &[file]);
    assert_eq!(picture(&place.read()), picture(&whole.read()));
}

const LAYERS: (&str, &str) = ("layers", "mine.layers");
const DEPTH: (&str, &str) = ("depth", "mine.depth");

/// Returns a contract with a message for each key.
fn contract(keys: &[(&'static str, &'static str)]) -> Contract {
    keys.iter().fold(Contract::new("mine/1", "mine"), |contract, (key, record)| {
        let mut message = MessageSpec::new(key, record, Trigger::Record);
        message.fields.to_mut().push(Field::record(key, Type::Int, record, "A number."));
        contract.with_message(message)
    })
}

fn taken(place: &Place, contracts: &[Contract], text: &str) -> (Taken, Imported) {
    let file = place.0.path().join("mine.jsonl");
    std::fs::write(&file, text).unwrap();
    let importer = Importer::new(contracts, Arc::new(Receives)).unwrap();
    let mut core = Core::open(&place.data(), contracts, NOW).unwrap();
    let mut done = Imported::default();
    let taken = core.import(&importer, &file, (NOW, NOW), &mut done, &mut |_, _| {}).unwrap();
    (taken, done)
}

#[test]
fn a_file_of_which_nothing_is_understood_is_read_again() {
    let place = Place::new();
    let strange = |line, why: &str| Taken::Strange { line, why: why.to_owned() };
    let otlp =
        r#"{"resourceSpans": [{"scopeSpans": [{"scope": {"name": "other"}, "spans": [{}]}]}]}"#;
    for (text, expected) in [
        ("", Taken::Empty),
        ("\n \n", Taken::Empty),
        ("\nlayers: 1\n{}\n", strange(2, "not a flat JSON object")),
        (otlp, strange(1, "no contract knows a message in it")),
        ("{\"layers\": 1}\n{\"depth\": 2}\n", strange(1, "no contract knows this message")),
    ] {
        for _ in 0..2 {
            assert_eq!(taken(&place, &[], text).0, expected, "{text}");
        }
    }
    // The same file with the contract that knows a part of it, and with one of the same name that knows all of it.
    let text = "{\"layers\": 1}\n{\"depth\": 2}\n";
    let (file, done) = taken(&place, &[contract(&[LAYERS])], text);
    assert_eq!((file, done.messages, done.unknown), (Taken::Read, 1, 1));
    assert_eq!(taken(&place, &[contract(&[LAYERS])], text).0, Taken::Before);
    let (file, done) = taken(&place, &[contract(&[LAYERS, DEPTH])], text);
    assert_eq!((file, done.unknown), (Taken::Read, 0));
}

#[test]
fn an_imported_message_with_an_impossible_time_counts_at_the_time_of_its_file() {
    let place = Place::new();
    let file = place.0.path().join("odd.jsonl");
    let uuid = "11111111-2222-4333-8444-555555555555";
    let times = ["1", "-1", "1577836799000000000", "9000000000000000000"];
    let lines = times.map(|time| format!("{{\"uuid\": \"{uuid}\", \"log_time\": {time}}}\n"));
    std::fs::write(&file, lines.concat()).unwrap();
    let mut core = Core::open(&place.data(), &[], NOW).unwrap();
    assert_eq!(import(&mut core, &[file]).messages, 4);
    drop(core);
    let day = (NOW / DAY).to_string();
    assert_eq!(rows(&place.read(), "SELECT DISTINCT day FROM presence"), [day.as_str()]);
    assert_eq!(rows(&place.read(), "SELECT DISTINCT day FROM batch"), [day.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_and_reordered_messages_give_the_same_rows() {
    let (one, other) = (Place::new(), Place::new());
    let server = one.serve().await;
    // Starts without identity are counts, which a repetition changes.
    let is_count =
        |file: &str| file.starts_with("lmcache-legacy") || file.starts_with("lmcache-doc");
    let messages = || goldens().into_iter().filter(|(file, ..)| !is_count(file));
    for (_, path, body) in messages() {
        server.post(path, body).await;
    }
    server.stop().await;
    let server = other.serve().await;
    for _ in 0..2 {
        for (_, path, body) in messages().collect::<Vec<_>>().into_iter().rev() {
            server.post(path, body).await;
        }
        // The repeated messages meet the rows that are in the tables already.
        server.store.run(|_| ()).await;
    }
    server.stop().await;
    let pictures = [&one, &other].map(|place| picture(&place.read()));
    assert!(pictures[0].len() > 50);
    assert_eq!(pictures[0], pictures[1]);
    // So the days that are closed are the same too.
    let cubes = [one, other].map(|place| {
        let mut core = Core::open(&place.data(), &[], NOW).unwrap();
        let later = NOW + 5 * DAY;
        while close(core.connection(), &Rules::default(), later).unwrap().days > 0 {}
        let cubes = "SELECT question, day, contract, cell, engines, amount, published, revision FROM cube ORDER BY 1, 2, 3, 4";
        rows(core.connection(), cubes)
    });
    assert!(cubes[0].len() > 5, "{cubes:?}");
    assert_eq!(cubes[0], cubes[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_and_copies_are_made_while_the_server_runs() {
    let place = Place::new();
    let server = place.serve().await;
    post_all(&server).await;
    server.store.run(|_| ()).await;
    let mut csv = Vec::new();
    export(&place.data(), Rows::Sessions, Format::Csv, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    let head = csv.lines().next().unwrap();
    assert!(head.starts_with("id,engine,contract,machine,first,last,beats,accelerator,"), "{head}");
    assert_eq!(csv.lines().count(), 12);
    let mut json = Vec::new();
    export(&place.data(), Rows::Messages, Format::Json, &mut json).unwrap();
    let json = String::from_utf8(json).unwrap();
    assert_eq!(json.lines().count(), goldens().len());
    let line: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert!(line["body"].is_object(), "{line}");
    let copy = place.0.path().join("copy.db");
    backup(&place.data(), &copy).unwrap();
    assert!(backup(&place.data(), &copy).is_err(), "a copy is replaced");
    server.stop().await;
    let copy = otel_usage_serve::store::open_to_read(&copy).unwrap();
    assert_eq!(picture(&copy), picture(&place.read()));
}
