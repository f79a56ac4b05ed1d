//! How late a message may be delivered without falsifying the receiver's statistics.

use otel_usage_schema::{Contract, MessageSpec, Source, Trigger};

const HOUR: u32 = 3600;

/// A start report says when it was made, so a receiver can count it for the right day. After a week the days
/// of a fleet are counted.
const WITH_TIME: u32 = 7 * 24 * HOUR;

/// A message without its time counts for the day on which it arrives.
const WITHOUT_TIME: u32 = 24 * HOUR;

/// The fate of a message that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lateness {
    /// The time for which it is worth sending. Unit: seconds.
    pub(super) lifetime: u32,
    /// Whether only the newest of its kind is worth sending.
    pub(super) newest_only: bool,
}

impl Lateness {
    /// Returns the rule for a message, or for the span of the whole run, which has its times.
    pub(super) fn of(contract: &Contract, message: Option<&MessageSpec>) -> Self {
        let Some(spec) = message else { return Self { lifetime: WITH_TIME, newest_only: false } };
        let has_time = spec.fields.iter().any(|field| matches!(field.source, Source::Time));
        let lifetime = if has_time { WITH_TIME } else { WITHOUT_TIME };
        match spec.trigger {
            // The next message tells the receiver as much, if it is of the same kind.
            Trigger::Heartbeat { .. } => {
                let heartbeats = contract.messages.iter().filter(|spec| is_heartbeat(spec));
                Self { lifetime, newest_only: heartbeats.count() == 1 }
            }
            // Later, its counts would be added to those of another interval.
            Trigger::Interval { seconds, .. } => Self { lifetime: seconds, newest_only: false },
            _ => Self { lifetime, newest_only: false },
        }
    }
}

const fn is_heartbeat(spec: &MessageSpec) -> bool {
    matches!(spec.trigger, Trigger::Heartbeat { .. })
}

#[cfg(test)]
mod tests {
    use otel_usage_schema::{lmcache, vllm};

    use super::*;

    fn rules(contract: &Contract) -> Vec<(&str, u32, bool)> {
        let rule = |spec| (Lateness::of(contract, Some(spec)), spec.name.as_ref());
        let rules = contract.messages.iter().map(rule);
        rules.map(|(late, name)| (name, late.lifetime, late.newest_only)).collect()
    }

    #[test]
    fn start_reports_live_a_week_those_without_a_time_a_day_and_intervals_one_interval() {
        let (week, day) = (604_800, 86_400);
        let vllm = rules(&vllm::CURRENT);
        assert!(vllm.iter().all(|(_, lifetime, _)| *lifetime == week), "{vllm:?}");
        assert_eq!(vllm.iter().filter(|(.., newest_only)| *newest_only).count(), 1, "{vllm:?}");
        let lmcache = rules(&lmcache::V1);
        for (name, lifetime) in [
            ("EnvMessage", day),
            ("EngineMessage", day),
            ("MetadataMessage", day),
            ("ContinuousContextMessage", 600),
            ("CacheLifespanMessage", 600),
        ] {
            assert!(lmcache.contains(&(name, lifetime, false)), "{name}: {lmcache:?}");
        }
        assert_eq!(
            Lateness::of(&vllm::CURRENT, None),
            Lateness { lifetime: week, newest_only: false }
        );
    }
}
