//! One message as the bytes of a file.
//!
//! ```text
//! magic 8 | version 1 | flags 1 | length of the contract 1 | length of the message 1 | lifetime 4 | time 8
//! address 32 | identity 16 | contract | message | body | SHA-256 of all before 32
//! ```
//!
//! Numbers are little-endian. The body ends where the checksum begins. Each version ends with that checksum, so
//! that damage differs from a version that this program does not know.

use otel_usage_schema::Destination;
use ring::digest::{SHA256, digest};

const MAGIC: &[u8; 8] = b"otuspool";
const VERSION: u8 = 1;
const CHECKSUM: usize = 32;

/// The bits of the flags.
const NEWEST: u8 = 1;
const GZIP: u8 = 2;

/// The digest of a full destination: exporter, contract, and URL without user and password.
///
/// User and password are left out, because a digest of a short password can be reversed by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address(pub(crate) [u8; 32]);

impl Address {
    pub(crate) fn new(exporter: &str, contract: &str, to: &Destination) -> Self {
        let uri = to.uri();
        let path = uri.path_and_query().map(|path| path.as_str()).unwrap_or_default();
        let url = format!("{exporter}\0{contract}\0{}\0{path}", to.origin());
        Self(sha256(url.as_bytes()))
    }
}

/// A message that waits on disk. It holds neither headers nor credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The contract's identifier.
    pub(crate) contract: String,
    /// The message's name.
    pub(crate) message: String,
    pub(crate) address: Address,
    /// The identity of the record, which a second delivery carries again.
    pub(crate) identity: [u8; 16],
    /// The time of the record. Unit: seconds since the Unix epoch.
    pub(crate) time: i64,
    /// The time for which the message is worth sending. Unit: seconds.
    pub(crate) lifetime: u32,
    /// Whether a newer message of the same process replaces it, as with heartbeats.
    pub(crate) newest_only: bool,
    /// Whether the body is compressed, so that the header that says so can be made again.
    pub(crate) gzip: bool,
    pub(crate) body: Vec<u8>,
}

/// The reason why a file is no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The file is incomplete, or its checksum does not fit.
    Damaged,
    /// Another version wrote it, which may read it.
    Foreign,
}

impl Entry {
    /// Returns the bytes of the file. A name beyond 255 bytes cannot be kept.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let contract = u8::try_from(self.contract.len()).ok()?;
        let message = u8::try_from(self.message.len()).ok()?;
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(self.newest_only, NEWEST) | flag(self.gzip, GZIP);
        let mut bytes = Vec::with_capacity(self.body.len().saturating_add(512));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, flags, contract, message]);
        bytes.extend_from_slice(&self.lifetime.to_le_bytes());
        bytes.extend_from_slice(&self.time.to_le_bytes());
        bytes.extend_from_slice(&self.address.0);
        bytes.extend_from_slice(&self.identity);
        bytes.extend_from_slice(self.contract.as_bytes());
        bytes.extend_from_slice(self.message.as_bytes());
        bytes.extend_from_slice(&self.body);
        let checksum = sha256(&bytes);
        bytes.extend_from_slice(&checksum);
        Some(bytes)
    }

    /// Reads the bytes of a file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let middle = bytes.len().checked_sub(CHECKSUM).ok_or(Unreadable::Damaged)?;
        let (content, checksum) = bytes.split_at_checked(middle).ok_or(Unreadable::Damaged)?;
        if sha256(content) != checksum {
            return Err(Unreadable::Damaged);
        }
        let mut rest = content;
        let magic: [u8; 8] = take(&mut rest)?;
        let [version] = take(&mut rest)?;
        if &magic != MAGIC || version != VERSION {
            return Err(Unreadable::Foreign);
        }
        let [flags, contract, message] = take(&mut rest)?;
        let lifetime = u32::from_le_bytes(take(&mut rest)?);
        let time = i64::from_le_bytes(take(&mut rest)?);
        let address = Address(take(&mut rest)?);
        let identity = take(&mut rest)?;
        let contract = take_text(&mut rest, contract)?;
        let message = take_text(&mut rest, message)?;
        Ok(Self {
            contract,
            message,
            address,
            identity,
            time,
            lifetime,
            newest_only: flags & NEWEST != 0,
            gzip: flags & GZIP != 0,
            body: rest.to_vec(),
        })
    }

    /// Returns whether it is too late to send the message at `now`.
    pub(crate) fn is_late(&self, now: i64) -> bool {
        is_late(self.time, self.lifetime, now)
    }
}

/// Returns whether a message of `time` is too old at `now`.
///
/// A time that lies further in the future than the lifetime is a clock that was set back: the age is then
/// unknown, and the message is not sent.
pub(super) const fn is_late(time: i64, lifetime: u32, now: i64) -> bool {
    now.abs_diff(time) > lifetime as u64
}

/// Returns whether a file is so old that it may be deleted: its message was made more than `seconds` ago, and it was
/// written more than `seconds` ago.
///
/// A time in the future is no age, because one of the clocks is then wrong, and it is unknown which.
pub(super) fn is_past(time: i64, modified: i64, seconds: i64, now: i64) -> bool {
    now.saturating_sub(time.max(modified)) > seconds
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (first, tail) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    *rest = tail;
    Ok(*first)
}

fn take_text(rest: &mut &[u8], length: u8) -> Result<String, Unreadable> {
    let (text, tail) = rest.split_at_checked(length.into()).ok_or(Unreadable::Damaged)?;
    *rest = tail;
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| Unreadable::Damaged)
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::spool) fn sample(number: u8) -> Entry {
        let to = Destination::parse("http://127.0.0.1:9/a?tenant=1").unwrap();
        Entry {
            contract: "engine/1".to_owned(),
            message: "start".to_owned(),
            address: Address::new("server", "engine/1", &to),
            identity: [number; 16],
            time: 1000,
            lifetime: 60,
            newest_only: false,
            gzip: number % 2 == 1,
            body: format!("{{\"number\": {number}}}").into_bytes(),
        }
    }

    #[test]
    fn an_entry_is_read_back_as_it_was() {
        for number in [0, 1, 2] {
            let entry = Entry { newest_only: number == 2, ..sample(number) };
            assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
        }
        assert_eq!(Entry { contract: "x".repeat(256), ..sample(0) }.encode(), None);
        assert_eq!(Entry { message: "x".repeat(256), ..sample(0) }.encode(), None);
    }

    #[test]
    fn every_changed_byte_and_every_truncation_is_damage() {
        let bytes = sample(1).encode().unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                assert_eq!(Entry::decode(&changed), Err(Unreadable::Damaged), "{place} {bit}");
            }
            assert_eq!(Entry::decode(&bytes[..place]), Err(Unreadable::Damaged), "{place}");
            let mut zeros = bytes.clone();
            zeros[place..].fill(0);
            assert_eq!(Entry::decode(&zeros), Err(Unreadable::Damaged), "{place}");
        }
        let longer = [bytes.as_slice(), &[0; 4096]].concat();
        assert_eq!(Entry::decode(&longer), Err(Unreadable::Damaged));
    }

    #[test]
    fn a_version_from_the_future_is_no_damage() {
        let mut bytes = sample(1).encode().unwrap();
        bytes.truncate(bytes.len() - CHECKSUM);
        bytes[8] = 2;
        let checksum = sha256(&bytes);
        bytes.extend_from_slice(&checksum);
        assert_eq!(Entry::decode(&bytes), Err(Unreadable::Foreign));
    }

    #[test]
    fn the_address_is_the_full_destination_without_credentials() {
        let address = |exporter: &str, contract: &str, url: &str| {
            Address::new(exporter, contract, &Destination::parse(url).unwrap())
        };
        let one = address("server", "engine/1", "https://host/a?tenant=1");
        assert_eq!(one, address("server", "engine/1", "https://user:password@host/a?tenant=1"));
        for (exporter, contract, url) in [
            ("otlp", "engine/1", "https://host/a?tenant=1"),
            ("server", "engine/2", "https://host/a?tenant=1"),
            ("server", "engine/1", "http://host/a?tenant=1"),
            ("server", "engine/1", "https://host:8443/a?tenant=1"),
            ("server", "engine/1", "https://host2/a?tenant=1"),
            ("server", "engine/1", "https://host/b?tenant=1"),
            ("server", "engine/1", "https://host/a?tenant=2"),
        ] {
            assert_ne!(one, address(exporter, contract, url), "{url}");
        }
    }

    #[test]
    fn a_message_is_late_after_its_lifetime_and_when_the_clock_was_set_back() {
        let entry = sample(0);
        for (now, late) in [(1000, false), (1060, false), (1061, true), (940, false), (939, true)] {
            assert_eq!(entry.is_late(now), late, "{now}");
        }
        assert!(entry.is_late(i64::MIN) && entry.is_late(i64::MAX));
    }
}
