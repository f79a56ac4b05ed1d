//! A usage server in this process, on a clock that the test moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use otel_usage_serve::store::{Clock, Store, open_to_read};
use otel_usage_serve::{Server, Settings};
pub(crate) use otel_usage_testing::golden::posts as goldens;
use reqwest::Client;
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A time shortly after those in the golden payloads. Unit: milliseconds since the Unix epoch.
pub(crate) const NOW: i64 = 1_787_300_000_000;

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// A server that runs.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) maintainers: String,
    pub(crate) client: Client,
    pub(crate) now: Arc<AtomicI64>,
    pub(crate) store: Arc<Store>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<anyhow::Result<bool>>,
}

/// A folder with a store.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("usage.db")
    }

    pub(crate) fn read(&self) -> Connection {
        open_to_read(&self.data()).unwrap()
    }

    /// Starts a server on this file.
    pub(crate) async fn serve(&self) -> Running {
        Running::start(settings(&self.data())).await
    }
}

/// Returns settings with free ports.
pub(crate) fn settings(data: &Path) -> Settings {
    let mut settings = Settings::new(data);
    settings.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.maintainers = vec!["127.0.0.1:0".parse().unwrap()];
    settings
}

/// Returns a clock that shows what `now` holds.
pub(crate) fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = Arc::clone(now);
    Arc::new(move || now.load(Ordering::SeqCst))
}

impl Running {
    pub(crate) async fn start(settings: Settings) -> Self {
        let now = Arc::new(AtomicI64::new(NOW));
        let server = Server::bind(&settings, clock(&now)).await.unwrap();
        let url = format!("http://{}", server.addresses().unwrap()[0]);
        let maintainers = format!("http://{}", server.maintainers().unwrap()[0]);
        let store = server.store();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));
        Self { url, maintainers, client: Client::new(), now, store, stop, serving }
    }

    /// Posts a body as engines do. Returns the status.
    pub(crate) async fn post(&self, path: &str, body: impl Into<String>) -> u16 {
        self.post_for(path, body, None).await
    }

    /// Posts a body as a proxy does for a client.
    pub(crate) async fn post_for(
        &self,
        path: &str,
        body: impl Into<String>,
        client: Option<&str>,
    ) -> u16 {
        let mut request = self.client.post(format!("{}{path}", self.url));
        if let Some(client) = client {
            request = request.header("x-forwarded-for", client);
        }
        let request = request.header("content-type", "application/json").body(body.into());
        request.send().await.unwrap().status().as_u16()
    }

    /// Stops the server, so that everything is in the file.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        drop(self.store);
        assert!(self.serving.await.unwrap().unwrap());
    }
}

/// Returns the identity of a session. That of zeros would name nobody.
pub(crate) fn id(session: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(1 << 100 | session)
}

pub(crate) fn beat(session: u128, time: i64) -> String {
    format!("{{\"uuid\": \"{}\", \"log_time\": {time}000000}}", id(session))
}

/// Posts every golden payload.
pub(crate) async fn post_all(server: &Running) {
    for (file, path, body) in goldens() {
        assert_eq!(server.post(path, body).await, 200, "{file}");
    }
}

/// Returns everything that the projection holds, without the numbers of rows.
pub(crate) fn picture(connection: &Connection) -> Vec<String> {
    let session = "(SELECT lower(hex(uuid)) FROM session s WHERE s.id = session)";
    let word = |column: &str| format!("(SELECT text FROM word w WHERE w.id = {column})");
    let queries = [
        format!(
            "SELECT 'session', lower(hex(uuid)) AS u, {}, {}, lower(hex(machine)), first, last, beats, reported \
             FROM session ORDER BY u",
            word("engine"),
            word("contract")
        ),
        format!(
            "SELECT 'facet', {session} AS u, {} AS n, {} FROM facet ORDER BY u, n",
            word("name"),
            word("value")
        ),
        format!(
            "SELECT 'presence', {session} AS u, day, lower(hex(slots)) FROM presence ORDER BY u, day"
        ),
        format!(
            "SELECT 'interval', {session} AS u, {} AS m, {} AS r, sequence, day, sums FROM interval ORDER BY u, m, r, sequence",
            word("message"),
            word("series")
        ),
        "SELECT 'start', day, label, count FROM quality WHERE name = 'start' ORDER BY day, label"
            .to_owned(),
    ];
    queries.iter().flat_map(|query| rows(connection, query)).collect()
}

/// Returns the rows of a query as text, with the values separated by a bar.
pub(crate) fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let values = (0..columns).map(|column| {
            use rusqlite::types::ValueRef;
            match row.get_ref(column).unwrap() {
                ValueRef::Null => "null".to_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            }
        });
        Ok(values.collect::<Vec<_>>().join("|"))
    };
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}
