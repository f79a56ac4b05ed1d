//! Finds values in the lines `key : value` of `/proc/cpuinfo`.

/// Returns the value of the first line with this key and a value.
pub(super) fn value<'text>(cpuinfo: &'text str, key: &str) -> Option<&'text str> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
        .find(|value| !value.is_empty())
}

/// Returns the value of a key if it is a decimal number, because reports carry nothing else there.
pub(super) fn number(cpuinfo: &str, key: &str) -> Option<String> {
    Some(value(cpuinfo, key)?.parse::<u32>().ok()?.to_string())
}
