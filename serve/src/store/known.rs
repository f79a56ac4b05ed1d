//! The memory of the projection about its own tables: sessions and words by their texts, so that most messages cost no
//! look-up. Everything here can be read again from the file.

use std::collections::HashMap;
use std::hash::Hash;

use rusqlite::{Connection, OptionalExtension as _};

/// The identity of a session: the process, and the word of its engine.
pub(crate) type SessionKey = ([u8; 16], i64);

/// The slots of a day as bits.
pub(crate) type Slots = [u8; 18];

/// The memory of a session, so that its next heartbeat reads no row and writes none that is there. It is small, because
/// there are many.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    pub(crate) id: i64,
    /// The number of the key under which the origin of the day was written.
    origin: i64,
    /// The last day of which something is remembered.
    day: i32,
    has_slots: bool,
    slots: Slots,
}

/// The number of no key.
const NO_KEY: i64 = i64::MIN;

/// Entries of a generation. Two generations of sessions take about 50 MiB.
const GENERATION: usize = 200_000;

/// A map that forgets the entries that were not used lately: when the young generation is full, it becomes the old
/// one, and the entries of the old one are dropped.
#[derive(Debug)]
struct Lately<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    most: usize,
}

/// The words and sessions that were used lately.
#[derive(Debug)]
pub(crate) struct Known {
    words: Lately<String, i64>,
    sessions: Lately<SessionKey, Session>,
}

impl<K: Eq + Hash + Clone, V: Copy> Lately<K, V> {
    fn new(most: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most }
    }

    fn get<Q: ?Sized + Eq + Hash>(&mut self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(*value);
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.put(key, value);
        Some(value)
    }

    fn put(&mut self, key: K, value: V) {
        if let Some(known) = self.young.get_mut(&key) {
            *known = value;
            return;
        }
        if self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

impl Known {
    pub(crate) fn new() -> Self {
        Self { words: Lately::new(20_000), sessions: Lately::new(GENERATION) }
    }

    /// Returns the number of a word, which is made if it is new.
    pub(crate) fn word(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.words.get(text) {
            return Ok(id);
        }
        let found = connection
            .prepare_cached("SELECT id FROM word WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                connection
                    .prepare_cached("INSERT INTO word (text) VALUES (?1)")?
                    .execute([text])?;
                connection.last_insert_rowid()
            }
        };
        self.words.put(text.to_owned(), id);
        Ok(id)
    }

    /// Returns a session, if there is one.
    pub(crate) fn session(
        &mut self,
        connection: &Connection,
        key: SessionKey,
    ) -> rusqlite::Result<Option<Session>> {
        if let Some(session) = self.sessions.get(&key) {
            return Ok(Some(session));
        }
        let found = connection
            .prepare_cached("SELECT id FROM session WHERE uuid = ?1 AND engine = ?2")?
            .query_row((key.0, key.1), |row| row.get(0))
            .optional()?;
        let found = found.map(Session::new);
        if let Some(session) = found {
            self.sessions.put(key, session);
        }
        Ok(found)
    }

    /// Remembers a session.
    pub(crate) fn remember(&mut self, key: SessionKey, session: Session) {
        self.sessions.put(key, session);
    }
}

impl Session {
    pub(crate) const fn new(id: i64) -> Self {
        Self { id, origin: NO_KEY, day: i32::MIN, has_slots: false, slots: [0; 18] }
    }

    /// Returns the slots that its row of a day has, if they are remembered.
    pub(crate) fn slots(&self, day: i64) -> Option<Slots> {
        (self.has_slots && i64::from(self.day) == day).then_some(self.slots)
    }

    /// Returns whether its origin of a day was written under this key, as far as that is remembered.
    pub(crate) fn has_origin(&self, day: i64, key: i64) -> bool {
        i64::from(self.day) == day && self.origin == key
    }

    /// Remembers the slots that its row of a day has.
    pub(crate) fn set_slots(&mut self, day: i64, slots: Slots) {
        if self.turn_to(day) {
            (self.has_slots, self.slots) = (true, slots);
        }
    }

    /// Remembers that its origin of a day was written under this key.
    pub(crate) fn set_origin(&mut self, day: i64, key: i64) {
        if self.turn_to(day) {
            self.origin = key;
        }
    }

    /// Returns whether something is remembered of a day: of two days only of the later one.
    fn turn_to(&mut self, day: i64) -> bool {
        let Ok(day) = i32::try_from(day) else { return false };
        if day > self.day {
            *self = Self { day, ..Self::new(self.id) };
        }
        day == self.day
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_lately_is_remembered() {
        let mut lately = Lately::new(2);
        for n in 0..4 {
            lately.put(n, n);
            assert_eq!(lately.get(&0), Some(0), "{n}");
        }
        assert_eq!(lately.get(&1), None);
        assert!(lately.young.len() <= 3 && lately.old.len() <= 3);
    }

    #[test]
    fn of_a_session_the_latest_day_is_remembered() {
        let mut session = Session::new(7);
        session.set_slots(10, [1; 18]);
        session.set_origin(10, 3);
        assert_eq!((session.slots(10), session.has_origin(10, 3)), (Some([1; 18]), true));
        assert_eq!((session.slots(9), session.has_origin(9, 3)), (None, false));
        // A late message changes nothing.
        session.set_slots(9, [2; 18]);
        session.set_origin(9, 4);
        assert_eq!((session.slots(10), session.slots(9)), (Some([1; 18]), None));
        // On the next day nothing is known yet.
        session.set_slots(11, [4; 18]);
        assert_eq!((session.slots(11), session.has_origin(11, 3)), (Some([4; 18]), false));
        assert_eq!((session.slots(10), session.id), (None, 7));
    }
}
