//! Divides memory for requests, and places for requests in progress, among the senders.
//!
//! One sender gets at most three quarters of either, so that it cannot shut the others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A quantity that is shared by all senders.
#[derive(Debug)]
pub(crate) struct Shares {
    limit: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: usize,
    /// The amount of each sender, by its address.
    each: HashMap<IpAddr, usize>,
}

/// The part that one request has. It goes back when the request ends.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    sender: IpAddr,
    amount: usize,
}

impl Shares {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: Mutex::default() })
    }

    /// Returns an empty share for this sender.
    pub(crate) fn share(self: &Arc<Self>, sender: IpAddr) -> Share {
        Share { of: Arc::clone(self), sender, amount: 0 }
    }

    fn each(&self) -> usize {
        self.limit.saturating_sub(self.limit / 4).max(1)
    }
}

impl Share {
    /// Takes more, or returns `false` if there is not so much left.
    pub(crate) fn grow(&mut self, amount: usize) -> bool {
        let mut used = self.of.used.lock().unwrap_or_else(PoisonError::into_inner);
        let all = used.all.saturating_add(amount);
        let each = used.each.get(&self.sender).copied().unwrap_or(0).saturating_add(amount);
        if all > self.of.limit || each > self.of.each() {
            return false;
        }
        used.all = all;
        used.each.insert(self.sender, each);
        self.amount = self.amount.saturating_add(amount);
        true
    }

    /// Gives a part back.
    pub(crate) fn shrink(&mut self, amount: usize) {
        let amount = amount.min(self.amount);
        self.amount = self.amount.saturating_sub(amount);
        let mut used = self.of.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.all = used.all.saturating_sub(amount);
        let rest = used.each.get(&self.sender).copied().unwrap_or(0).saturating_sub(amount);
        if rest == 0 {
            used.each.remove(&self.sender);
        } else {
            used.each.insert(self.sender, rest);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sender_leaves_a_quarter_to_the_others() {
        let shares = Shares::new(8);
        let [one, two] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from);
        let mut greedy: Vec<Share> = (0..8).map(|_| shares.share(one)).collect();
        let got = greedy.iter_mut().filter_map(|share| share.grow(1).then_some(())).count();
        assert_eq!(got, 6);
        let mut other = shares.share(two);
        assert!(other.grow(2) && !other.grow(1));
        drop(greedy);
        assert!(other.grow(4) && !other.grow(1));
        other.shrink(1);
        assert!(other.grow(1));
        drop(other);
        assert!(shares.used.lock().unwrap().each.is_empty());
    }
}
