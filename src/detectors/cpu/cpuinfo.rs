//! Finds values in the lines `key : value` of `/proc/cpuinfo`.
//!
//! Keys are compared without case, as the original reporters do: LoongArch writes `Model Name`.

/// Keys of a name of the processor: x86, LoongArch and some Arm kernels; POWER; 32-bit Arm; RISC-V.
const BRAND: [&str; 4] = ["model name", "cpu", "processor", "uarch"];

/// Returns the value of the first line with this key and a value.
pub(super) fn value<'text>(cpuinfo: &'text str, key: &str) -> Option<&'text str> {
    values(cpuinfo).find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
}

/// Returns the value of a key if it is a decimal number, because reports carry nothing else there.
pub(super) fn number(cpuinfo: &str, key: &str) -> Option<String> {
    Some(value(cpuinfo, key)?.parse::<u32>().ok()?.to_string())
}

/// Returns the first name of a processor that is not a number, in the order of the lines.
pub(super) fn brand(cpuinfo: &str) -> Option<String> {
    values(cpuinfo)
        .filter(|(name, _)| BRAND.iter().any(|key| name.eq_ignore_ascii_case(key)))
        .map(|(_, value)| value)
        // `processor : 0` is the number of a processor.
        .find(|value| !value.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
}

/// Returns the lines with a value, as key and value.
fn values(cpuinfo: &str) -> impl Iterator<Item = (&str, &str)> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(_, value)| !value.is_empty())
}
