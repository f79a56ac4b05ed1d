//! Where a message came from, without its address: 20 bits of a keyed hash of the network.
//!
//! The key lives in memory only, until midnight (UTC) or the end of the process. Without it the network of an origin
//! cannot be found, also by trying all of them; with 20 bits many networks share an origin.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use super::time;

/// A network under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// The number of the key.
    pub(crate) key: i64,
    /// 20 bits.
    pub(crate) bits: u32,
}

/// The key of the day.
pub(crate) struct Keys {
    number: i64,
    day: i64,
    key: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key must not be printed.
        f.debug_struct("Keys").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Keys {
    /// Makes the first key of this process, with a number that no earlier process used.
    pub(crate) fn new(number: i64, now: i64) -> Self {
        Self { number, day: time::day(now), key: random() }
    }

    /// Returns the origin of an address, under a new key if the day has changed.
    pub(crate) fn origin(&mut self, address: IpAddr, now: i64) -> Origin {
        if self.day != time::day(now) {
            *self = Self::new(self.number.saturating_add(1), now);
        }
        Origin { key: self.number, bits: self.bits(address) }
    }

    fn bits(&self, address: IpAddr) -> u32 {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return 0 };
        match address.to_canonical() {
            IpAddr::V4(address) => mac.update(address.octets().get(..3).unwrap_or_default()),
            IpAddr::V6(address) => mac.update(address.octets().get(..6).unwrap_or_default()),
        }
        let hash = mac.finalize().into_bytes();
        let word = hash.first_chunk::<4>().map_or(0, |word| u32::from_be_bytes(*word));
        word >> 12
    }
}

/// Returns 244 random bits.
fn random() -> [u8; 32] {
    let mut key = [0; 32];
    for half in key.chunks_exact_mut(16) {
        half.copy_from_slice(Uuid::new_v4().as_bytes());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_origin_until_midnight() {
        let ip = |text: &str| text.parse().unwrap();
        let mut keys = Keys::new(7, 0);
        let origin = keys.origin(ip("192.0.2.1"), 0);
        assert_eq!(keys.origin(ip("192.0.2.200"), time::DAY - 1), origin);
        assert_eq!(keys.origin(ip("::ffff:192.0.2.9"), 0), origin);
        assert!(origin.key == 7 && origin.bits < 1 << 20);
        let six = keys.origin(ip("2001:db8:1::1"), 0);
        assert_eq!(keys.origin(ip("2001:db8:1:ffff::2"), 0), six);
        let distinct = |keys: &mut Keys, now| {
            let bits = (0..50_u8).map(|n| keys.origin(IpAddr::from([10, 0, n, 1]), now).bits);
            bits.collect::<std::collections::BTreeSet<_>>()
        };
        let today = distinct(&mut keys, 0);
        assert!(today.len() > 45);
        let tomorrow = distinct(&mut keys, time::DAY);
        assert!(today != tomorrow);
        assert_eq!(keys.origin(ip("192.0.2.1"), time::DAY).key, 8);
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", Keys::new(3, 0)), "Keys { number: 3, .. }");
    }
}
