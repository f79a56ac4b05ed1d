//! `agent.yaml` and `gateway.yaml`: two collectors, TLS and a bearer token between them.

use std::path::Path;

use otel_usage::schema::vllm;
use otel_usage_testing::receiver::Receiver;
use otel_usage_testing::sample;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::client;
use crate::otelcol::{Otelcol, find};

/// A certificate authority, and a certificate for `localhost`, as files.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
    std::fs::write(folder.join("tls.crt"), server.pem()).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
}

#[test]
fn records_pass_agent_and_gateway() {
    let Some(binary) = find() else { return };
    let files = tempfile::tempdir().unwrap();
    certificates(files.path());
    let file = |name: &str| files.path().join(name).display().to_string();
    std::fs::write(file("token"), "a-token-of-this-test").unwrap();

    let bridge = Receiver::start();
    let gateway = Otelcol::new(&binary, "gateway.yaml")
        .with("COLLECTOR_BRIDGE", bridge.url())
        .with("COLLECTOR_CERT_FILE", file("tls.crt"))
        .with("COLLECTOR_KEY_FILE", file("tls.key"))
        .with("COLLECTOR_TOKEN_FILE", file("token"))
        .started();
    let agent = Otelcol::new(&binary, "agent.yaml")
        .with("COLLECTOR_GATEWAY", format!("https://localhost:{}", gateway.http.port()))
        .with("COLLECTOR_CA_FILE", file("ca.crt"))
        .with("COLLECTOR_TOKEN_FILE", file("token"))
        .started();

    let sent = client::sent(&client::run(&vllm::CURRENT, agent.http, sample::vllm_report()));
    assert_eq!(client::arrived(&bridge, sent.len()), sent);

    // The gateway refuses connections without the token or in clear text.
    let authority = std::fs::read(file("ca.crt")).unwrap();
    let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&authority).unwrap()]);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let url = format!("https://localhost:{}/v1/traces", gateway.http.port());
    let status = |token: &str| {
        let request = agent
            .post(&url)
            .header("Content-Type", "application/json")
            .header("Authorization", format!("Bearer {token}"));
        request.send("{}").unwrap().status().as_u16()
    };
    assert_eq!(status("a-token-of-this-test"), 200);
    assert_eq!(status("another"), 401);
    let clear = client::post(gateway.http, "/v1/traces", "application/json", b"{}");
    assert_eq!(clear, Some(400));
    assert!(bridge.is_silent());
}
