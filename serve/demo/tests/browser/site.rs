//! The public pages on loopback, with the numbers of a made-up fleet.

use std::sync::Arc;

use otel_usage_serve::page;
use otel_usage_serve_demo::{DAY, live};
use otel_usage_testing::fleet::Plan;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Days whose numbers are shown, and two that are not closed.
const DAYS: i64 = 12;

pub(crate) struct Site {
    /// `http://127.0.0.1:1234`.
    pub(crate) base: String,
    /// Every page, and the report under every filter.
    pub(crate) addresses: Vec<String>,
    /// Those on which everything is tried: each page, and one filter of each kind.
    pub(crate) audited: Vec<String>,
    _folder: TempDir,
    _runtime: Runtime,
}

impl Site {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("otel-usage.db");
        let runtime = Runtime::new().unwrap();
        let plan = Plan { begin: 20_773 * DAY, days: DAYS, starts: 600, flood: 2_880 };
        let now = runtime.block_on(live(&file, plan, |_, _| {})).unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let base = format!("http://{address}");
        let router = page::router(&file, Arc::new(move || now), address);
        runtime.spawn(async move { axum::serve(listener, router).await });
        let pages = ["/", "/method", "/dictionary", "/quality", "/data/"].map(str::to_owned);
        let kinds =
            ["/?engine=lmcache", "/?days=7&show=share", "/?engine=vllm&version=0.32&days=365"];
        let mut audited = pages.to_vec();
        audited.extend(kinds.map(str::to_owned));
        let mut addresses = audited.clone();
        for engine in ["", "engine=vllm&", "engine=lmcache&"] {
            for days in [7, 28, 90, 365] {
                for show in ["count", "share"] {
                    addresses.push(format!("/?{engine}days={days}&show={show}"));
                }
            }
        }
        Self { base, addresses, audited, _folder: folder, _runtime: runtime }
    }
}
