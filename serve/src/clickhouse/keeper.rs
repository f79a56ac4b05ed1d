//! Where the ClickHouse is that keeps the messages of a server.

use super::{Http, TABLES};

/// Bytes of the spool unless an operator says otherwise.
const SPOOL: u64 = 256 << 20;

/// A ClickHouse that keeps messages.
#[derive(Clone)]
#[non_exhaustive]
pub struct Keeper {
    /// `http://user:password@host:port/database`.
    pub address: String,
    /// The user, if the address names none.
    pub user: Option<String>,
    /// The password, if the address holds none.
    pub password: Option<String>,
    /// Bytes of messages that may wait for it. Then senders are asked to wait.
    pub spool_bytes: u64,
    /// Statements that make the tables of messages, unless they are there.
    pub tables: Vec<String>,
    /// Whether another server closes the days and shows the page.
    pub receive_only: bool,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password.
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Returns the ClickHouse at an address. `tables` makes the tables of messages.
    #[must_use]
    pub fn new(address: impl Into<String>, tables: Vec<String>) -> Self {
        let (user, password) = (None, None);
        let (address, receive_only) = (address.into(), false);
        Self { address, user, password, spool_bytes: SPOOL, tables, receive_only }
    }

    /// Returns the statements that make all tables, unless they are there.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.tables.iter().cloned().chain(TABLES.map(str::to_owned)).collect()
    }

    pub(crate) fn http(&self) -> anyhow::Result<Http> {
        Http::new(&self.address, self.user.as_deref(), self.password.as_deref())
    }
}
