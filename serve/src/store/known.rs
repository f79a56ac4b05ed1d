//! The memory of the projection about its own tables: sessions and words by their texts, so that most messages cost no
//! look-up. Everything here can be read again from the file.

use std::collections::HashMap;
use std::hash::Hash;

use rusqlite::{Connection, OptionalExtension as _};

/// The identity of a session: the process, and the word of its engine.
pub(crate) type SessionKey = ([u8; 16], i64);

/// Entries of a generation. Two generations of sessions take about 30 MiB.
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
    sessions: Lately<SessionKey, i64>,
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

    /// Returns the number of a session, if there is one.
    pub(crate) fn session(
        &mut self,
        connection: &Connection,
        key: SessionKey,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.sessions.get(&key) {
            return Ok(Some(id));
        }
        let found = connection
            .prepare_cached("SELECT id FROM session WHERE uuid = ?1 AND engine = ?2")?
            .query_row((key.0, key.1), |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            self.sessions.put(key, id);
        }
        Ok(found)
    }

    /// Remembers a new session.
    pub(crate) fn add_session(&mut self, key: SessionKey, id: i64) {
        self.sessions.put(key, id);
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
}
