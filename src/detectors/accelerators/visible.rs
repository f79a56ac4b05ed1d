//! Reads lists of device numbers in environment variables.
//!
//! CUDA, HIP and ROCr read such a list alike: it ends at its first bad entry, and a list with a device
//! twice shows no device.

/// Returns the numbers below `all` in a list such as `0,2`, in its order. Each entry ends before its
/// first character that is not a digit, as in C.
pub(super) fn numbers(list: &str, all: usize) -> Vec<usize> {
    let mut chosen = Vec::new();
    for entry in list.split(',') {
        let entry = entry.trim();
        let number = entry.strip_prefix('+').unwrap_or(entry);
        let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        let Some(place) = digits.parse().ok().filter(|&place| place < all) else {
            break;
        };
        if chosen.contains(&place) {
            return Vec::new();
        }
        chosen.push(place);
    }
    chosen
}

/// Returns whether a list has only numbers, with or without a sign, so that all runtimes read it
/// alike.
pub(super) fn is_plain(list: &str) -> bool {
    list.split(',').all(|entry| {
        let entry = entry.trim();
        let digits = entry.strip_prefix('-').unwrap_or(entry);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Returns the `items` that a plain list chooses, or `None` for another list.
pub(super) fn choose<T: Clone>(items: &[T], list: &str) -> Option<Vec<T>> {
    is_plain(list).then(|| {
        let places = numbers(list, items.len());
        places.into_iter().filter_map(|place| items.get(place).cloned()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::{choose, is_plain, numbers};

    #[test]
    fn the_first_bad_entry_ends_the_list() {
        for (list, expected) in [
            ("0", &[0][..]),
            ("2,0", &[2, 0]),
            (" 3 , 1 ", &[3, 1]),
            ("1,-1,2", &[1]),
            ("1,9,2", &[1]),
            ("1gpu,+2", &[1, 2]),
            ("", &[]),
            ("-1", &[]),
            ("none", &[]),
            ("99999999999999999999", &[]),
            ("1,1", &[]),
        ] {
            assert_eq!(numbers(list, 4), expected, "{list:?}");
        }
    }

    #[test]
    fn only_numbers_are_plain() {
        for plain in ["0", "0, 1", "-1", "7,0"] {
            assert!(is_plain(plain), "{plain:?}");
        }
        for other in ["", "0,", "GPU-1", "0,GPU-1", "all", "-"] {
            assert!(!is_plain(other), "{other:?}");
        }
        assert_eq!(choose(&["a", "b"], "1"), Some(vec!["b"]));
        assert_eq!(choose(&["a", "b"], "-1"), Some(Vec::new()));
        assert_eq!(choose(&["a", "b"], "GPU-1"), None);
    }
}
