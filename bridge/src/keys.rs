//! The keys of flat messages as numbers, so that sets of keys are compared by a few operations on bits.

use std::collections::HashMap;

/// Every key that a message of a known contract has, with its number.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, usize>);

/// A set of keys: bit `n` stands for the key with the number `n`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeySet(Vec<u64>);

impl Keys {
    pub(crate) fn number(&self, key: &str) -> Option<usize> {
        self.0.get(key).copied()
    }

    /// Returns the set of these keys. A key that is not known is left out.
    pub(crate) fn set<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> KeySet {
        let mut set = KeySet::default();
        keys.into_iter().filter_map(|key| self.number(key)).for_each(|number| set.insert(number));
        set
    }
}

impl<'a> FromIterator<&'a str> for Keys {
    fn from_iter<T: IntoIterator<Item = &'a str>>(keys: T) -> Self {
        let mut all = HashMap::new();
        for key in keys {
            let next = all.len();
            all.entry(key.to_owned()).or_insert(next);
        }
        Self(all)
    }
}

impl KeySet {
    pub(crate) fn insert(&mut self, number: usize) {
        let word = number / 64;
        if word >= self.0.len() {
            self.0.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (number % 64);
        }
    }

    /// Returns the number of keys that are in both.
    pub(crate) fn common(&self, other: &Self) -> usize {
        let words = self.0.iter().zip(&other.0);
        words.map(|(one, other)| (one & other).count_ones() as usize).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.common(self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Returns the keys that are in both.
    pub(crate) fn both(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_keys_are_counted_and_cut() {
        let names: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
        let keys: Keys = names.iter().map(String::as_str).collect();
        let few = keys.set(["k0", "k63", "k64", "k199", "k0", "unknown"]);
        assert_eq!(few.len(), 4);
        let low = keys.set(names.iter().take(64).map(String::as_str));
        assert_eq!((few.common(&low), low.common(&few)), (2, 2));
        assert_eq!(few.both(&low).len(), 2);
        assert_eq!(KeySet::default().common(&few), 0);
    }
}
