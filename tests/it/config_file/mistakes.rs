//! Checks the mistakes in a configuration file: each is named with its place, and none shows a value of the file.

use otel_usage::Consent;
use otel_usage::export::ExporterName;
use otel_usage::schema::{lmcache, vllm};
use otel_usage_testing::Operator;

use super::{Warnings, decision, operator, own, processors, settings};

#[test]
fn a_newer_minor_and_foreign_keys_are_notes_and_no_mistakes() {
    let block = "otlp_http: {endpoint: \"http://127.0.0.1:9/v1/traces\", max_request_size: 1, \
                 max_response_size: 1, a/alpha: 1, b/beta: 1, c/development: 1}";
    for (minor, notes) in [("0", 1), ("1", 1), ("2", 2)] {
        let text = processors(&[block]).replace("\"1.0\"", &format!("\"1.{minor}\"")).replace(
            "tracer_provider:\n",
            "tracer_provider:\n  id_generator: {random: }\n  x/beta: 1\n",
        ) + "y/alpha: {}\n";
        let operator = operator(&text);
        assert_eq!(decision(&operator).consent, Consent::Granted, "{text}");
        let settings = settings(&operator);
        assert_eq!(settings.exporters, [ExporterName::Otlp], "{text}");
        assert_eq!(settings.warnings.len(), 0, "{:?}", settings.warnings);
        assert_eq!(settings.notes.len(), notes, "{:?}", settings.notes);
    }
}

#[test]
fn a_damaged_file_turns_collection_off_with_one_warning() {
    let long = "#".repeat(65 * 1024);
    for (text, what) in [
        ("", "usage.yaml:1:1"),
        ("a: [", "usage.yaml:"),
        ("- a\n", "usage.yaml:1:1"),
        ("file_format: \"1.0\"\nusage: {}\nmore: {}\n", "usage.yaml:2:1"),
        ("file_format: \"2.0\"\n", "usage.yaml:1:14"),
        ("file_format: \"0.4\"\n", "usage.yaml:1:14"),
        ("file_format: \"1.x\"\n", "usage.yaml:1:14"),
        (long.as_str(), "longer than"),
    ] {
        let operator = operator(text);
        let warnings = Warnings::default();
        let builder = operator.engine(&vllm::CURRENT).on_notice(warnings.listener());
        assert!(!builder.try_init().unwrap().is_enabled());
        let warnings = warnings.0.lock().unwrap().clone();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(what), "{warnings:?}");
        assert!(warnings[0].contains("otel-usage config check"), "{warnings:?}");
    }
    let binary = operator("");
    std::fs::write(binary.path("usage.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    for operator in [
        binary,
        Operator::new().with("OTEL_USAGE_CONFIG", "/nowhere/usage.yaml"),
        Operator::new().with("OTEL_USAGE_CONFIG", "/dev"),
    ] {
        let warnings = Warnings::default();
        let builder = operator.engine(&lmcache::V1).on_notice(warnings.listener());
        assert!(!builder.try_init().unwrap().is_enabled());
        assert_eq!(warnings.0.lock().unwrap().len(), 1);
    }
    let empty = Operator::new().with("OTEL_USAGE_CONFIG", " ");
    assert_eq!(decision(&empty).consent, Consent::Granted);
}

/// Returns the mistakes in a file as `LINE:COLUMN text`.
fn mistakes(text: &str) -> Vec<String> {
    let operator = operator(text);
    let name = format!("{}:", operator.path("usage.yaml").display());
    let settings = settings(&operator);
    settings.warnings.iter().map(|one| one.strip_prefix(&name).unwrap_or(one).to_owned()).collect()
}

#[test]
fn every_mistake_in_the_file_names_line_and_column() {
    let in_processors = |block: &str| processors(&[block]);
    for (text, place, what) in [
        ("file_format: \"1.0\"\nusage: {}\n".to_owned(), "2:1", "`usage` is not a key"),
        ("file_format: \"1.0\"\ndisabled: false\ndisabled: true\n".to_owned(), "3:1", "twice"),
        ("file_format: \"1.0\"\ndistribution: {otel-usage: {}}\n".to_owned(), "2:16", "otel_usage"),
        ("file_format: \"1.0\"\n? [a]\n: b\n".to_owned(), "2:3", "a key is not text"),
        ("file_format: \"1.0\"\ntracer_provider: 5\n".to_owned(), "2:18", "not a mapping"),
        ("file_format: \"1.0\"\ntracer_provider: {}\n".to_owned(), "2:18", "no processors"),
        (
            "file_format: \"1.0\"\ntracer_provider: {processors: {}}\n".to_owned(),
            "2:31",
            "not a list",
        ),
        (own("    omit: platform\n"), "4:11", "not a list"),
        (own("    omit: [\"\", ~]\n"), "4:16", "empty entry"),
        (own("    omit: [platfrom]\n"), "4:12", "not a field"),
        (own("    mode: [on]\n"), "4:11", "not a single value"),
        (own("    mode: ${}\n"), "4:11", "${env:NAME}"),
        (in_processors("zipkin: {}"), "4:27", "not a key here"),
        (in_processors("otlp_grpc: {}"), "4:27", "use otlp_http"),
        (in_processors("console: {}, usage_file: {}"), "4:26", "several keys"),
        (in_processors(""), "4:26", "is empty"),
        (in_processors("console: {pretty: true}"), "4:37", "console has none"),
        (in_processors("usage_file: {pth: /x}"), "4:40", "`pth`"),
        (in_processors("usage_server: {url: /x}"), "4:42", "`url`"),
        (in_processors("usage_server: {endpoint: stats}"), "4:52", "not a URL"),
        // Only the exporter itself finds this mistake, and it still has a place in the file.
        (in_processors("usage_server: {endpoint: \"http://[::1\"}"), "4:52", "not a URL"),
        (in_processors("usage_server: {endpoint: \"http://192.0.2.1\"}"), "4:52", "made-up data"),
        (in_processors("otlp_http: {compresion: gzip}"), "4:39", "`compresion`"),
        (in_processors("otlp_http: {compression: rar}"), "4:52", "gzip nor none"),
        (in_processors("otlp_http: {encoding: json}"), "4:49", "protobuf"),
        (in_processors("otlp_http: {timeout: soon}"), "4:48", "milliseconds"),
        (in_processors("otlp_http: {timeout: 0}"), "4:48", "milliseconds"),
        (in_processors("otlp_http: {endpoint: collector}"), "4:49", "not a URL"),
        (in_processors("otlp_http: {headers: {a: b}}"), "4:48", "not a list"),
        (in_processors("otlp_http: {headers: [{nam: x}]}"), "4:50", "neither `name`"),
        (in_processors("otlp_http: {headers: [{name: \"a b\", value: c}]}"), "4:49", "forbids"),
        (in_processors("otlp_http: {headers_list: nothing}"), "4:53", "key=value"),
        (in_processors("otlp_http: {tls: {certificate_file: /x}}"), "4:45", "ca_file"),
        (in_processors("otlp_http: {tls: {ca_file: /nowhere.pem}}"), "4:54", "/nowhere.pem"),
        ("file_format: &v \"1.0\"\ndisabled: *v\n".to_owned(), "2:11", "alias"),
        (
            in_processors("otlp_http: {headers: [{name: a, value: \"${env:UNSET_HERE}\"}]}"),
            "4:66",
            "needs the variable UNSET_HERE",
        ),
        (
            in_processors("otlp_http: {headers_list: \"a=Bearer ${UNSET_HERE}\"}"),
            "4:53",
            "needs the variable UNSET_HERE",
        ),
        (
            in_processors("usage_server: {endpoint: \"${UNSET_HERE}\"}"),
            "4:52",
            "needs the variable UNSET_HERE",
        ),
        (
            in_processors("usage_server: {endpoint: \"http://${UNSET_HERE}/x\"}"),
            "4:52",
            "needs the variable UNSET_HERE",
        ),
    ] {
        let mistakes = mistakes(&text);
        let found =
            mistakes.iter().any(|one| one.starts_with(&format!("{place} ")) && one.contains(what));
        assert!(found, "{text}{place} {what}: {mistakes:?}");
    }
}

#[test]
fn every_mistake_is_reported_and_disables_only_its_exporter() {
    let text =
        processors(&["console: ", "otlp_http: {timeout: x, encoding: y}", "usage_file: {p: q}"]);
    let places: Vec<String> = mistakes(&text)
        .iter()
        .map(|one| one.split(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(places, ["5:48", "5:61", "6:40"]);
    let operator = operator(&text);
    assert_eq!(settings(&operator).exporters, [ExporterName::Console]);
    assert_eq!(decision(&operator).consent, Consent::Granted);
}

#[test]
fn unsupported_keys_of_the_specification_give_one_note() {
    let text = "file_format: \"1.0\"\nresource: {attributes: [{name: a, value: *b}]}\n";
    let shared = text.replace("*b", "b")
        + "meter_provider:\ninstrumentation/development: {}\n"
        + "tracer_provider:\n  sampler: {always_on: }\n  processors:\n"
        + "    - batch: {schedule_delay: 1, exporter: {console: }}\n";
    let settings = settings(&operator(&shared));
    assert_eq!(settings.warnings, [] as [&str; 0]);
    assert_eq!(settings.notes.len(), 1);
    for name in ["resource (2:1)", "meter_provider (3:1)", "sampler (6:3)", "schedule_delay (8:15)"]
    {
        assert!(settings.notes[0].contains(name), "{:?}", settings.notes);
    }
}

#[test]
fn a_key_whose_whole_value_is_unset_is_left_out_with_a_note() {
    let with = |tls: &str| {
        settings(&operator(&processors(&[&format!(
            "otlp_http: {{endpoint: \"http://127.0.0.1:9\", tls: {{ca_file: \"{tls}\"}}}}"
        )])))
    };
    let noted = with("${env:UNSET_HERE}");
    assert_eq!(noted.warnings, [] as [&str; 0]);
    let [note] = &noted.notes[..] else { panic!("{:?}", noted.notes) };
    assert!(note.contains("`ca_file` is left out") && note.contains("UNSET_HERE"), "{note}");
    assert_eq!(with("${UNSET_HERE:-}").notes, [] as [&str; 0]);
}

#[test]
fn messages_never_show_values_of_the_file() {
    let secret = "hunter2";
    for block in [
        "otlp_http: {headers: [{name: a, value: hunter2, hunter2: x}], timeout: hunter2}",
        "otlp_http: {headers: [{hunter2: hunter2}], headers_list: hunter2}",
        "otlp_http: {headers: {authorization: hunter2}, compression: hunter2, encoding: hunter2}",
        "otlp_http: {headers: [hunter2, {name: \"hunter2 \", value: hunter2}]}",
        "otlp_http: {endpoint: \"http://u:hunter2@[::1\", headers: [{name: a, value: \"hunter2\\n\"}]}",
        "otlp_http: {endpoint: \"hunter2\"}, usage_server: {endpoint: \"${SECRET}\"}",
        "usage_server: {endpoint: \"${SECRET}\"}",
    ] {
        let operator = operator(&processors(&[block])).with("SECRET", secret);
        let builder = operator.engine(&vllm::CURRENT);
        let settings = builder.inspect().unwrap().settings().clone();
        assert!(!settings.warnings.is_empty(), "{block}");
        let shown =
            format!("{:?} {:?} {:?}", settings, builder.inspect().unwrap().decision(), builder);
        assert!(!shown.contains(secret), "{block}: {shown}");
    }
    let good = operator(&processors(&[
        "otlp_http: {endpoint: \"http://127.0.0.1:9\", headers: [{name: a, value: hunter2}]}",
    ]));
    assert!(!format!("{:?}", settings(&good)).contains(secret));
}
