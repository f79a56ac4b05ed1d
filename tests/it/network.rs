//! The way to a server: proxies, what they are told, and what the log of the HTTP client holds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use otel_usage::export::ExporterName;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::{Builder, Contract, Usage};
use otel_usage_testing::sample;
use otel_usage_testing::tls::private_server;
use otel_usage_testing::{Operator, settled, to_test_runner};

use crate::receiver::Receiver;

/// An engine whose data may go beyond this machine: only to names that do not exist.
fn engine(operator: &Operator, contract: &Contract) -> Builder {
    Usage::builder(contract).with_environment(operator.env()).on_notice(to_test_runner)
}

/// A name that no name server knows.
const FAR: &str = "http://stats.invalid:8080/base?token=a";

#[test]
fn a_proxy_that_cannot_be_used_is_one_warning_and_its_exporter_is_off() {
    for proxy in [
        "socks4://127.0.0.1:1",
        "socks4a://127.0.0.1:1",
        "socks5://127.0.0.1:1",
        "socks5h://u:geheim@127.0.0.1:1",
        "socks://127.0.0.1:1",
        "htp://127.0.0.1:1",
        "://",
        "http://",
        "a b",
        "http://127.0.0.1:99999",
        "\"http://127.0.0.1:1",
        "\u{7f}",
    ] {
        for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            let operator = Operator::new()
                .with(variable, proxy)
                .with("LMCACHE_USAGE_TRACK_URL", FAR)
                .with("OTEL_USAGE_EXPORTERS", "server,otlp,file")
                .with("OTEL_USAGE_OTLP_ENDPOINT", "http://127.0.0.1:9");
            let inspection = engine(&operator, &lmcache::V1).inspect().unwrap();
            let settings = inspection.settings();
            let left = [ExporterName::File, ExporterName::Otlp];
            assert_eq!(settings.exporters, left, "{variable}={proxy}");
            let [warning] = settings.warnings.as_slice() else { panic!("{:?}", settings.warnings) };
            assert!(warning.contains(variable), "{warning}");
            assert!(warning.contains("the usage server is off"), "{warning}");
            assert!(!warning.contains("geheim"), "{warning}");
            if variable == "http_proxy" {
                let usage = engine(&operator, &lmcache::V1).try_init().unwrap();
                usage.record(sample::lmcache_engine());
                let _ = usage.flush(Duration::from_millis(1));
            }
        }
    }
}

#[test]
fn plain_http_goes_to_a_proxy_in_the_absolute_form() {
    for text in ["http://us%40er:geheim@{}", " \"us%40er:geheim@{}\" "] {
        let proxy = Receiver::start();
        let operator = Operator::new()
            .with("http_proxy", text.replace("{}", &proxy.address.to_string()))
            .with("no_proxy", "10.0.0.0/8,other.invalid,stats.invalid:81")
            .with("LMCACHE_USAGE_TRACK_URL", FAR);
        let usage = engine(&operator, &lmcache::V1).try_init().unwrap();
        usage.record(sample::lmcache_engine());
        for request in proxy.take(3) {
            assert_eq!(request.method, "POST");
            assert_eq!(request.path, "http://stats.invalid:8080/base/context?token=a");
            assert_eq!(request.header("host"), Some("stats.invalid:8080"));
            assert_eq!(request.header("authorization"), None);
            let authorization = request.header("proxy-authorization");
            assert_eq!(authorization, Some("Basic dXNAZXI6Z2VoZWlt"));
        }
        settled(&usage);
    }
}

#[test]
fn https_goes_through_a_tunnel() {
    let proxy = Receiver::start();
    let operator = Operator::new()
        .with("https_proxy", format!("user:geheim@{}", proxy.address))
        .with("VLLM_USAGE_STATS_SERVER", "https://me:too@stats.invalid/secret?token=a");
    let usage = engine(&operator, &vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    let request = proxy.next();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("CONNECT", "stats.invalid:443"));
    assert_eq!(request.header("host"), Some("stats.invalid:443"));
    assert_eq!(request.header("proxy-authorization"), Some("Basic dXNlcjpnZWhlaW0="));
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn loopback_and_exceptions_need_no_proxy() {
    let (server, proxy) = (Receiver::start(), Receiver::start());
    let port = server.address.port();
    for host in ["127.0.0.1", "LOCALHOST", "localhost", "127.1", "[::ffff:127.0.0.1]"] {
        let operator = Operator::new()
            .with("all_proxy", proxy.url())
            .with("VLLM_USAGE_STATS_SERVER", format!("http://us:er@{host}:{port}?token=a"));
        let usage = engine(&operator, &vllm::CURRENT).try_init().unwrap();
        usage.record(sample::vllm_report());
        let request = server.next();
        assert_eq!(request.path, "/?token=a", "{host}");
        assert_eq!(request.header("authorization"), Some("Basic dXM6ZXI="));
        settled(&usage);
    }
    assert!(proxy.is_silent());
}

fn otlp_path(variable: &str, endpoint: &str) -> String {
    let collector = Receiver::start();
    let operator = Operator::new()
        .with("OTEL_USAGE_EXPORTERS", "otlp")
        .with(variable, format!("{}{endpoint}", collector.url()));
    let usage = engine(&operator, &vllm::CURRENT).try_init().unwrap();
    usage.record(sample::vllm_report());
    collector.next().path
}

#[test]
fn an_endpoint_keeps_its_query() {
    for (variable, endpoint, path) in [
        ("OTEL_USAGE_OTLP_ENDPOINT", "?token=a", "/v1/traces?token=a"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "/?token=a", "/v1/traces?token=a"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "/v1/traces?token=a/b", "/v1/traces?token=a/b"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "/x/?a=b&c=/", "/x/v1/traces?a=b&c=/"),
        ("OTEL_USAGE_OTLP_ENDPOINT", "/x#y", "/x/v1/traces"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "/x?a=b", "/x/v1/traces?a=b"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/x?a=b", "/x?a=b"),
    ] {
        assert_eq!(otlp_path(variable, endpoint), path, "{variable} {endpoint}");
    }
}

#[test]
fn certificates_that_cannot_be_read_are_one_warning_that_names_the_variable() {
    for variable in ["OTEL_USAGE_CA_FILE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
        let mut operator = Operator::new()
            .with("VLLM_USAGE_STATS_SERVER", "https://stats.invalid")
            .with(variable, "~/no-certificates");
        for present in [false, true] {
            if present {
                std::fs::write(operator.path("no-certificates"), "nothing").unwrap();
            }
            let inspection = engine(&operator, &vllm::CURRENT).inspect().unwrap();
            assert_eq!(inspection.settings().exporters, [ExporterName::File]);
            let warnings = &inspection.settings().warnings;
            assert!(warnings.len() == 1 && warnings[0].contains(variable), "{warnings:?}");
        }
        // Without TLS they do not matter.
        operator = operator.with("VLLM_USAGE_STATS_SERVER", "http://stats.invalid");
        let inspection = engine(&operator, &vllm::CURRENT).inspect().unwrap();
        assert_eq!(inspection.settings().warnings, [] as [String; 0]);
    }
}

#[test]
fn a_private_authority_is_trusted_and_an_unknown_one_is_one_warning() {
    let (port, authority) = private_server();
    for variable in [None, Some("OTEL_USAGE_CA_FILE"), Some("REQUESTS_CA_BUNDLE")] {
        let mut operator = Operator::new()
            .with("LMCACHE_USAGE_TRACK_URL", format!("https://localhost:{port}/?token=geheim"));
        std::fs::write(operator.path("authority.pem"), &authority).unwrap();
        if let Some(variable) = variable {
            operator = operator.with(variable, "~/authority.pem");
        }
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&warnings);
        let usage = engine(&operator, &lmcache::V1)
            .on_notice(move |level, text| {
                if level == tracing::Level::WARN {
                    hear.lock().unwrap().push(text.to_owned());
                }
            })
            .try_init()
            .unwrap();
        usage.record(sample::lmcache_engine());
        if variable.is_some() {
            settled(&usage);
        } else {
            for _ in 0..3 {
                let _ = usage.flush(Duration::from_millis(300));
            }
        }
        let delivered = usage.stats().exporters[0].delivered;
        let warnings = warnings.lock().unwrap().clone();
        if variable.is_some() {
            assert_eq!((delivered, warnings.len()), (3, 0), "{warnings:?}");
        } else {
            assert_eq!((delivered, warnings.len()), (0, 1), "{warnings:?}");
            assert!(warnings[0].contains("OTEL_USAGE_CA_FILE"), "{warnings:?}");
            assert!(!warnings[0].contains("geheim"), "{warnings:?}");
        }
    }
}
