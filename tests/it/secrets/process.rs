//! Checks that no debug form holds a credential of the operator, and that a process which logs everything writes no
//! secret, neither the operator's nor one that was planted.

use std::process::Command;

use otel_usage::export::ExporterName;
use otel_usage::schema::lmcache;
use otel_usage_testing::Operator;

use super::{SECRETS, contracts, run, span, told};
use crate::receiver::Receiver;

/// The credentials that an operator trusts us with: password and query of a URL, a header, and the form that HTTP gives
/// to the first.
const CREDENTIALS: [&str; 4] = [
    "Gq7-operators-password-4h",
    "Wv2.operators.query.token.9k",
    "Zr5_operators_otlp_header_3m",
    "b3A6R3E3LW9wZXJhdG9ycy1wYXNzd29yZC00aA",
];

/// Returns the first piece of a credential that `out` holds. A log may break a text into rows of 16.
fn credential_in(out: &str) -> Option<&'static str> {
    let pieces =
        CREDENTIALS.iter().flat_map(|text| (0..=text.len() - 8).map(|at| &text[at..at + 8]));
    pieces.into_iter().find(|piece| out.contains(piece))
}

#[test]
fn debug_forms_hold_no_credential() {
    let [password, query, header, _] = CREDENTIALS;
    let url = format!("http://op:{password}@127.0.0.1:9/x?t={query}");
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "server,otlp")
        .with("LMCACHE_USAGE_TRACK_URL", &url)
        .with("OTEL_USAGE_OTLP_ENDPOINT", &url)
        .with("OTEL_USAGE_OTLP_HEADERS", format!("authorization=Bearer%20{header}"))
        .with("http_proxy", &url)
        .with("https_proxy", format!("op:{password}@127.0.0.1:9"));
    let builder = operator.engine(&lmcache::V1);
    let inspection = builder.inspect().unwrap();
    let settings = inspection.settings();
    assert_eq!(settings.exporters, [ExporterName::Otlp, ExporterName::Server]);
    let usage = operator.engine(&lmcache::V1).try_init().unwrap();
    let exporter = operator.engine(&lmcache::V1).span_exporter().unwrap();
    let destination = otel_usage::schema::Destination::parse(&url).unwrap();
    let otlp = &settings.otlp;
    let out = format!(
        "{:?} {builder:?} {inspection:?} {settings:?} {otlp:?} {usage:?} {exporter:?} {destination:?}",
        operator.env(),
    );
    assert_eq!(credential_in(&out), None, "{out}");
}

/// The variable that names the server of the next test's child.
const CHILD: &str = "OTEL_USAGE_TEST_SECRETS_URL";

#[test]
fn a_process_that_logs_everything_writes_no_secret_anywhere() {
    // One for each run of the child, because a server gets a limited number of requests a second.
    let runs = contracts().len() * SECRETS.len();
    let servers: Vec<Receiver> = (0..runs).map(|_| Receiver::start()).collect();
    let url = |server: &Receiver| {
        format!("http://op:{}@{}/?t={}", CREDENTIALS[0], server.address, CREDENTIALS[1])
    };
    let urls: Vec<String> = servers.iter().map(url).collect();
    let home = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "secrets::process::child_that_logs_everything",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD, urls.join(" "))
        .env("HOME", home.path())
        .output()
        .unwrap();
    let mut out = String::from_utf8_lossy(&child.stderr).into_owned();
    assert!(child.status.success(), "{out}");
    // It holds the notice, the console's output, and the logs of the exporter and its HTTP client.
    for part in ["otel-usage preview", "\"message_type\"", "DEBUG otel_usage::loss", "ureq::"] {
        assert!(out.contains(part), "{part}");
    }
    out.push_str(&String::from_utf8_lossy(&child.stdout));
    let place = credential_in(&out).and_then(|piece| out.find(piece));
    assert_eq!(place.map(|at| &out[at.saturating_sub(300)..at + 8]), None);
    for file in ["usage.jsonl", "usage.log"] {
        let text = std::fs::read_to_string(home.path().join(file)).unwrap();
        assert!(text.len() > 10_000, "{file}");
        out.push_str(&text);
    }
    let journals = journals(home.path());
    for part in ["\"exporter\":\"server\"", "\"exporter\":\"otlp\"", "\"body\":", "\"status\":200"]
    {
        assert!(journals.iter().all(|text| text.contains(part)), "{part}");
    }
    for text in journals {
        let place = credential_in(&text).and_then(|piece| text.find(piece));
        assert_eq!(place.map(|at| &text[at.saturating_sub(300)..at + 8]), None);
        out.push_str(&text);
    }
    let mut requests = 0;
    for request in servers.iter().flat_map(|server| server.requests.try_iter()) {
        let sent = format!("{} {:?} ", request.path, request.headers);
        assert!(sent.contains(CREDENTIALS[1]) && sent.contains(CREDENTIALS[3]), "{sent}");
        out.push_str(&sent);
        out.push_str(&request.text());
        requests += 1;
    }
    assert!(requests > 100, "{requests}");
    for secret in SECRETS {
        let place = out.find(secret).map(|at| out.get(at.saturating_sub(300)..at));
        assert_eq!(place, None, "{secret}");
    }
}

/// Returns the journals of what was sent, one for each run of the child.
fn journals(home: &std::path::Path) -> Vec<String> {
    let folders = std::fs::read_dir(home.join("state")).unwrap();
    let journals = folders.map(|folder| folder.unwrap().path().join("otel-usage/receipts.jsonl"));
    let texts: Vec<String> = journals.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts.len(), contracts().len() * SECRETS.len());
    texts
}

#[test]
#[ignore = "the other process of the test above"]
fn child_that_logs_everything() {
    let Ok(urls) = std::env::var(CHILD) else { return };
    let mut urls = urls.split(' ');
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    tracing::subscriber::set_global_default(log.with_writer(std::io::stderr).finish()).unwrap();
    tracing_log::LogTracer::init().unwrap();
    let home = std::path::PathBuf::from(std::env::var_os("HOME").unwrap());
    for contract in &contracts() {
        for (round, secret) in SECRETS.into_iter().enumerate() {
            let url = urls.next().unwrap();
            let header = format!("x-key={}", CREDENTIALS[2]);
            // Without an older part, so that no line is lost to the limits.
            let state =
                home.join("state").join(format!("{round} {}", contract.id.replace('/', " ")));
            let operator = Operator::new()
                .with("OTEL_USAGE_OTLP_HEADERS", header)
                .with("XDG_STATE_HOME", state.to_str().unwrap())
                .with("OTEL_USAGE_RECEIPTS", "bodies");
            let engine = told(contract, operator.engine(contract), secret)
                .with_exporters([
                    ExporterName::Server,
                    ExporterName::Otlp,
                    ExporterName::File,
                    ExporterName::Console,
                ])
                .with_server(url)
                .with_otlp_endpoint(url);
            let engine = if round % 2 == 0 {
                engine.with_file(home.join("usage.jsonl"))
            } else {
                engine.with_local_log(home.join("usage.log"))
            };
            println!("{}", run(contract, engine, secret, round));
            let usage = told(contract, operator.engine(contract), secret)
                .with_exporters([ExporterName::Console])
                .try_init()
                .unwrap();
            for kind in contract.messages.iter().map(|spec| spec.record.to_string()) {
                let attributes = span(contract, &kind, secret, round).attributes;
                usage.record(otel_usage_testing::Given(kind, attributes.clone()));
                usage.record(otel_usage_testing::Given(secret.to_owned(), attributes));
            }
            usage.counter(secret).add(1);
            let _ = usage.series(secret, secret);
            usage.finish();
            println!("{usage:?} {:?}", usage.stats());
        }
    }
}
