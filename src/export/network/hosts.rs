//! The policies of the hosts to which this process sends, shared by all its exporters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use otel_usage_schema::Destination;
use uuid::Uuid;

use super::policy::{Met, Policy, Wait};
use crate::sys::Process;
use crate::thread::lock_unless_forked;

/// Most hosts that are remembered. A process has a handful.
const HOSTS: usize = 64;

type Shared = Arc<Mutex<Policy>>;

/// A process, the host and proxy that it uses, and their policy.
type Known = (Process, String, Shared);

/// Every policy. A forked child gets others than its parent, because a thread that it does not have may hold
/// their locks.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// The policy of one host.
#[derive(Debug, Clone)]
pub(super) struct Host(Shared);

impl Host {
    /// Returns the policy for requests to `destination` through `proxy`.
    pub(super) fn find(destination: &Destination, proxy: Option<&Destination>) -> Self {
        let name = |to: &Destination| format!("{}:{}", to.host(), to.port());
        let key = format!("{} {}", name(destination), proxy.map(name).unwrap_or_default());
        let Some(mut known) = lock_unless_forked(&KNOWN) else { return Self(Shared::default()) };
        known.retain(|(process, ..)| !process.is_forked());
        if let Some((.., policy)) = known.iter().find(|(_, other, _)| *other == key) {
            return Self(Arc::clone(policy));
        }
        if known.len() >= HOSTS {
            // A host that no exporter uses is forgotten.
            known.retain(|(.., policy)| Arc::strong_count(policy) > 1);
        }
        let policy = Shared::default();
        known.push((Process::current(), key, Arc::clone(&policy)));
        Self(policy)
    }

    /// Returns the policy of a host that no other exporter uses.
    #[cfg(test)]
    pub(super) fn alone() -> Self {
        Self(Shared::default())
    }

    fn lock(&self) -> MutexGuard<'_, Policy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt, as [`Policy::begin`] does.
    pub(super) fn begin(&self, now: Instant, urgent: bool) -> Result<(), Wait> {
        self.lock().begin(now, urgent, random())
    }

    /// Notes what came of it, as [`Policy::end`] does.
    pub(super) fn end(&self, now: Instant, met: Met) -> bool {
        self.lock().end(now, met, random())
    }
}

/// Returns a random number, without which all engines would try again at the same moment.
fn random() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    high ^ low
}
