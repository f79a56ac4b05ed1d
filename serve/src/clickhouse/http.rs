//! ClickHouse's HTTP interface, as far as a usage server needs it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::HeaderMap;
use reqwest::{Client, Url, redirect};
use tokio::runtime::Handle;

use super::Ask;
use super::codes::may_be_of_rows;
use super::quote;

/// Longest time for the answer to an insert or a question.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Letters of an error that are told.
const TOLD: usize = 500;

/// A ClickHouse server.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    url: Url,
}

/// Why an insert was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server cannot take anything now.
    Away(String),
    /// It may be because of the rows.
    Refused(String),
}

impl Trouble {
    /// Returns what the server says.
    pub(crate) fn why(self) -> String {
        let (Self::Away(why) | Self::Refused(why)) = self;
        why
    }
}

impl Http {
    /// Returns the server at `http://user:password@host:port/database`. `user` and `password` replace missing ones.
    pub(crate) fn new(
        address: &str,
        user: Option<&str>,
        password: Option<&str>,
    ) -> anyhow::Result<Self> {
        // The address may hold a password, so it is not told.
        let remedy = "write it as http://host:8123/database";
        let mut url = Url::parse(address)
            .with_context(|| format!("the address of ClickHouse is no URL: {remedy}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            bail!("the address of ClickHouse begins with {}://: {remedy}", url.scheme());
        }
        // Neither fails for a URL with a host. The client takes both out of the URL and sends them in a header.
        if let Some(user) = user.filter(|_| url.username().is_empty()) {
            let _ = url.set_username(user);
        }
        if let Some(password) = password.filter(|_| url.password().is_none()) {
            let _ = url.set_password(Some(password));
        }
        let database = url.path().trim_matches('/').to_owned();
        if database.contains('/') {
            bail!(
                "{database}: no name of a database, which is the path of the address of ClickHouse: {remedy}"
            );
        }
        url.set_path("/");
        if !database.is_empty() {
            url.query_pairs_mut().append_pair("database", &database);
        }
        // An error after the first rows of an answer would look like an end.
        url.query_pairs_mut().append_pair("wait_end_of_query", "1");
        let client = Client::builder()
            .user_agent(concat!("otel-usage/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .no_proxy()
            .build()?;
        Ok(Self { client, url })
    }

    /// Returns where the server is, without user and password.
    pub(crate) fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Runs a statement and returns the answer.
    pub(crate) async fn run(&self, sql: String) -> Result<String, Trouble> {
        let away = |error: reqwest::Error| {
            Trouble::Away(format!("{:#}", anyhow::Error::from(error.without_url())))
        };
        let answer = self.client.post(self.url.clone()).body(sql).send().await.map_err(away)?;
        let (status, code) = (answer.status(), code_of(answer.headers()));
        let text = answer.text().await.map_err(away)?;
        if status.is_success() {
            return Ok(text);
        }
        let code = code.or_else(|| code_in(&text));
        let told: String = text.trim().chars().take(TOLD).collect();
        let why = format!("HTTP {}: {told}", status.as_u16());
        // An error without a code is of something before the server.
        match code {
            Some(code) if may_be_of_rows(code) => Err(Trouble::Refused(why)),
            _ => Err(Trouble::Away(why)),
        }
    }

    /// Inserts rows, each a JSON object on a line. An insert of the same token is done once.
    pub(crate) async fn insert(
        &self,
        table: &str,
        token: &str,
        rows: &[&str],
    ) -> Result<(), Trouble> {
        let mut sql = format!(
            "INSERT INTO {table} SETTINGS async_insert = 0, input_format_skip_unknown_fields = 1, \
             insert_deduplication_token = {} FORMAT JSONEachRow\n",
            quote::text(token)
        );
        for row in rows {
            sql.push_str(row);
            sql.push('\n');
        }
        self.run(sql).await.map(|_| ())
    }

    /// Returns a function that asks, for threads that may wait. It needs the runtime on which it is made.
    pub(crate) fn asker(&self) -> Ask {
        let (http, runtime) = (self.clone(), Handle::current());
        Box::new(move |sql| {
            let answer = runtime.block_on(http.run(sql.to_owned()));
            answer.map_err(|trouble| {
                anyhow::anyhow!("ClickHouse at {}: {}", http.place(), trouble.why())
            })
        })
    }
}

fn code_of(headers: &HeaderMap) -> Option<u32> {
    headers.get("x-clickhouse-exception-code")?.to_str().ok()?.parse().ok()
}

/// Finds the code in `Code: 27. DB::Exception: …`.
fn code_in(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
