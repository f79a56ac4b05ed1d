//! The way to a server: proxies, what they are told, and what the log of the HTTP client holds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use otel_usage::export::ExporterName;
use otel_usage::schema::{lmcache, vllm};
use otel_usage::settings::{Env, Settings};
use otel_usage::{Builder, Contract, Usage};
use otel_usage_testing::sample;
use otel_usage_testing::tls::private_server;
use otel_usage_testing::{Operator, settled, to_test_runner, until};

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
            until(|| {
                let _ = usage.flush(Duration::from_millis(300));
                !warnings.lock().unwrap().is_empty()
            });
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

/// Returns the settings of an engine with these exporters and variables.
fn settings(contract: &Contract, exporters: &str, variables: &[(&str, &str)]) -> Settings {
    let environment = Env::given(
        [("HOME", "/nonexistent"), ("OTEL_USAGE_MODE", "on"), ("OTEL_USAGE_EXPORTERS", exporters)]
            .into_iter()
            .chain(variables.iter().copied()),
    );
    let builder = Usage::builder(contract).with_environment(environment);
    builder.inspect().unwrap().settings().clone()
}

#[test]
fn plain_http_to_another_machine_is_refused_if_tls_is_required() {
    const OTLP: (&str, &str) = ("OTEL_USAGE_OTLP_ENDPOINT", "http://collector.example:4318");
    for (value, required, clear) in [
        (Some("1"), true, true),
        (Some(" TRUE "), true, true),
        (Some("no"), true, false),
        (Some(""), true, false),
        (Some("0"), false, true),
        (Some("false"), false, true),
        (None, false, true),
    ] {
        let variable = value.map(|value| ("OTEL_USAGE_REQUIRE_TLS", value));
        let variables: Vec<_> = variable.into_iter().chain([OTLP]).collect();
        let found = settings(&lmcache::V1, "server,otlp", &variables);
        let refused: Vec<_> = found
            .warnings
            .iter()
            .filter(|warning| warning.starts_with("OTEL_USAGE_REQUIRE_TLS requires TLS, and "))
            .collect();
        assert_eq!(found.exporters.is_empty(), required, "{value:?}: {found:?}");
        assert_eq!(refused.len(), if required { 2 } else { 0 }, "{:?}", found.warnings);
        assert_eq!(
            found.warnings.len(),
            refused.len() + usize::from(!clear),
            "{:?}",
            found.warnings
        );
        assert_eq!(found.require_tls.is_some(), required);
        if required {
            let text = found.warnings.join("\n");
            for word in
                ["http://stats.lmcache.ai:8080", "http://collector.example:4318", "https://"]
            {
                assert!(text.contains(word), "{word}: {text}");
            }
        }
    }
    // Encrypted and local destinations stay.
    for (server, endpoint) in [
        ("https://stats.example", "https://collector.example"),
        ("http://127.0.0.1:80", "http://localhost:4318"),
    ] {
        let variables = [
            ("OTEL_USAGE_REQUIRE_TLS", "1"),
            ("VLLM_USAGE_STATS_SERVER", server),
            ("OTEL_USAGE_OTLP_ENDPOINT", endpoint),
        ];
        let found = settings(&vllm::CURRENT, "server,otlp", &variables);
        assert_eq!((found.exporters.len(), found.warnings.len()), (2, 0), "{found:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_way_to_the_server_a_flush_makes_no_further_attempt() {
    // The kernel has no way to this address, and sends nothing.
    let operator = Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", "http://255.255.255.255:81")
        .with("OTEL_USAGE_EXPORTERS", "server");
    let engines = [(); 2].map(|()| engine(&operator, &vllm::CURRENT).try_init().unwrap());
    for _ in 0..3 {
        for usage in &engines {
            usage.record(sample::vllm_report());
            assert_eq!(usage.flush(otel_usage_testing::PATIENCE), otel_usage::Flush::Durable);
        }
    }
    let attempts = || {
        let accounts = engines.iter().map(|usage| usage.stats().exporters[0].deliveries.len());
        accounts.sum::<usize>()
    };
    // The pauses between the three attempts of the first hour are longer than this test.
    assert_eq!(attempts(), 1);
    for usage in &engines {
        let account = &usage.stats().exporters[0];
        assert_eq!((account.accepted, account.spooled), (3, 3), "{account:?}");
        usage.finish();
    }
    assert_eq!(attempts(), 1);
    engines.iter().for_each(Usage::withdraw);
}

/// Returns how many attempts five reports with a flush each make.
#[cfg(target_os = "linux")]
fn attempts(server: &str) -> usize {
    let operator = Operator::new()
        .with("VLLM_USAGE_STATS_SERVER", server)
        .with("OTEL_USAGE_EXPORTERS", "server");
    let usage = engine(&operator, &vllm::CURRENT).try_init().unwrap();
    for _ in 0..5 {
        usage.record(sample::vllm_report());
        assert_eq!(usage.flush(otel_usage_testing::PATIENCE), otel_usage::Flush::Durable);
    }
    let attempts = usage.stats().exporters[0].deliveries.len();
    usage.withdraw();
    attempts
}

#[cfg(target_os = "linux")]
#[test]
fn an_unknown_name_is_no_way_to_the_server_and_a_refused_connection_is_one() {
    // No name server is asked for a label of more than 63 bytes.
    let unknown = format!("http://{}.example:81", "a".repeat(64));
    assert_eq!(attempts(&unknown), 1);
    // Only this test uses the address, so that no server listens there.
    let refusing = std::net::TcpListener::bind("127.0.0.85:0").unwrap().local_addr().unwrap();
    assert_eq!(attempts(&format!("http://{refusing}")), 5);
}
