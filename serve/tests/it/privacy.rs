//! An attacker who reads everything that is published, before and after each correction, and subtracts.

use std::collections::BTreeMap;

use otel_usage_serve::questions::{Rules, close};
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;

use crate::fleet::{DAY, Engine, empty, write};

/// A Monday.
const MONDAY: i64 = 20_003;

/// An engine as the test makes it up: version, accelerator, provider, network, and whether its messages are late.
type Made = (u8, u8, u8, i64, bool);

fn fleet() -> impl Strategy<Value = Vec<Made>> {
    // Most engines are alike, so that there are large and small cells.
    let some = prop_oneof![Just(0_u8), Just(0), Just(1), Just(1), 2..5_u8];
    let network = prop_oneof![Just(0_i64), 1..4_i64, 4..80_i64, 4..80_i64];
    vec((some.clone(), some.clone(), some, network, proptest::bool::weighted(0.3)), 40..220)
        .prop_filter("an engine in time", |fleet| fleet.iter().any(|made| !made.4))
}

fn engine(made: &Made, number: i64) -> Engine {
    const PROVIDERS: [&str; 5] = ["AWS", "GCP", "AZURE", "OCI", "UNKNOWN"];
    let (version, accelerator, provider, network, _) = *made;
    // A network has at most twenty engines, so that none is cut.
    let network = network + number / 20 * 100;
    Engine {
        contract: if version == 4 { "vllm/0.11" } else { "vllm/current" },
        facets: vec![
            ("version", format!("0.{version}.{number}")),
            ("accelerator", format!("Accelerator {accelerator}")),
            ("accelerators", "8".to_owned()),
            ("provider", PROVIDERS[usize::from(provider)].to_owned()),
        ],
        days: (MONDAY..MONDAY + 7).map(|day| (day, Some(network))).collect(),
        slots: 6,
    }
}

/// Everything that is published: amounts by question, day and cell.
type Seen = BTreeMap<(String, i64), BTreeMap<String, f64>>;

fn published(store: &Connection) -> Seen {
    let mut seen = Seen::new();
    let sql = "SELECT question, day, cell, amount FROM cube WHERE published";
    let mut statement = store.prepare(sql).unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok(((row.get(0)?, row.get(1)?), row.get::<_, String>(2)?, row.get::<_, f64>(3)?))
        })
        .unwrap();
    for row in rows {
        let (at, cell, amount) = row.unwrap();
        seen.entry(at).or_default().insert(cell, amount);
    }
    seen
}

/// Returns the cell in which a question puts an engine, if it were published.
fn cell(question: &str, engine: &Engine) -> Option<String> {
    let facet = |name| {
        engine
            .facets
            .iter()
            .find(|(facet, _)| *facet == name)
            .map(|(_, value)| value.clone())
            .unwrap()
    };
    match question {
        "versions/engines" => {
            let version = facet("version");
            let minor = version.rsplit_once('.').unwrap().0;
            Some(format!("{} / {minor}", engine.contract))
        }
        "accelerators.week/engines" => Some(facet("accelerator")),
        "provider/engines" => Some(facet("provider")),
        _ => None,
    }
}

/// Fails if a reader learned of few engines, or of those of one network.
fn must_be_many(engines: &[&Engine], what: &str) -> Result<(), TestCaseError> {
    let mut networks: BTreeMap<i64, usize> = BTreeMap::new();
    for engine in engines {
        *networks.entry(engine.days[0].1.unwrap()).or_default() += 1;
    }
    prop_assert!(engines.is_empty() || engines.len() >= 20, "{what}: {} engines", engines.len());
    prop_assert!(engines.is_empty() || networks.len() >= 3, "{what}: {networks:?}");
    let largest = networks.values().max().copied().unwrap_or(0);
    prop_assert!(2 * largest <= engines.len(), "{what}: {networks:?}");
    Ok(())
}

/// Subtracts every named cell from the total, and totals from each other.
fn attack(seen: &Seen, engines: &[Engine]) -> Result<(), TestCaseError> {
    let mut totals: BTreeMap<i64, String> = BTreeMap::new();
    for ((question, day), cells) in seen {
        let served = !question.starts_with("life") && !question.starts_with("after");
        if question.ends_with("/engines") && served {
            let total: f64 = cells.values().sum();
            // In tenths, because the mean of a week is a sum of sevenths.
            totals.insert((total * 10.0).round() as i64, question.clone());
        }
        if cell(question, &engines[0]).is_none() {
            continue;
        }
        // An engine is in its cell if that has a name, else in the nearest *other*.
        let mut groups: BTreeMap<String, Vec<&Engine>> = BTreeMap::new();
        for engine in engines {
            let cell = cell(question, engine).unwrap();
            let parent = cell.split_once(" / ").map(|(parent, _)| format!("{parent} / other"));
            let places = [Some(cell), parent, Some("other".to_owned())];
            let place = places.into_iter().flatten().find(|place| cells.contains_key(place));
            groups.entry(place.unwrap()).or_default().push(engine);
        }
        for (cell, amount) in cells {
            let group = groups.remove(cell).unwrap_or_default();
            prop_assert!((amount - group.len() as f64).abs() < 0.1, "{question} {cell}: {amount}");
            must_be_many(&group, &format!("{question} {day} {cell}"))?;
        }
    }
    // Totals of different tables, of days and of the week are the same, so their differences tell nothing.
    prop_assert!(totals.len() <= 1, "{totals:?}");
    Ok(())
}

/// A correction adds late engines to each table as a partition of them that obeys the rules.
fn attack_correction(seen: &Seen, before: &Seen, late: &[Engine]) -> Result<(), TestCaseError> {
    // A table that was corrected has all late engines, and one that was not has none: what is between them are all.
    let mut grown: Vec<f64> = Vec::new();
    for ((question, day), cells) in seen {
        let Some(old) = before.get(&(question.clone(), *day)) else {
            prop_assert!(before.is_empty(), "{question} {day} was opened by a correction");
            continue;
        };
        let scale = if question.contains(".week") { 7.0 } else { 1.0 };
        let sum = |cells: &BTreeMap<String, f64>| cells.values().sum::<f64>();
        if question.ends_with("/engines") && !question.starts_with("life") {
            grown.push((sum(cells) - sum(old)) * scale);
        }
        for (name, amount) in cells {
            let learned = (amount - old.get(name).copied().unwrap_or(0.0)) * scale;
            if !question.ends_with("/engines") || learned.abs() < 0.1 {
                continue;
            }
            prop_assert!(learned >= 19.9, "{question} {day} {name}: {learned} late engines");
            prop_assert!(old.contains_key(name), "{question} {day} {name} was opened");
            if cell(question, &late[0]).is_some() && !name.ends_with("other") {
                let group: Vec<&Engine> = late
                    .iter()
                    .filter(|one| cell(question, one).as_deref() == Some(name))
                    .collect();
                must_be_many(&group, &format!("{question} {day} {name}, corrected"))?;
            }
        }
    }
    let all = grown.iter().copied().fold(0.0, f64::max);
    prop_assert!(grown.iter().all(|one| one.abs() < 0.1 || (one - all).abs() < 0.1), "{grown:?}");
    prop_assert!(!(0.1..19.9).contains(&all), "{all} late engines");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn an_attacker_who_subtracts_recovers_no_small_cell_and_none_of_one_network(made in fleet()) {
        let store = empty();
        let numbered = || (0_i64..).zip(&made);
        let engines: Vec<Engine> =
            numbered().filter(|(_, made)| !made.4).map(|(n, made)| engine(made, n)).collect();
        let late: Vec<Engine> = numbered()
            .filter(|(_, made)| made.4)
            .map(|(n, made)| {
                let mut engine = engine(made, n);
                // Only one day is late.
                engine.days.truncate(3);
                engine.days.drain(..2);
                engine
            })
            .collect();
        write(&store, &engines);
        // Before the week is closed, and after it.
        let rules = Rules::default();
        close(&store, &rules, (MONDAY + 9) * DAY).unwrap();
        let first = published(&store);
        attack(&first, &engines)?;
        write(&store, &late);
        let done = close(&store, &rules, (MONDAY + 9) * DAY + 1).unwrap();
        let second = published(&store);
        prop_assert!(done.revisions > 0 || first == second);
        if !late.is_empty() {
            attack_correction(&second, &first, &late)?;
        }
        // Nothing of a day is published of free text.
        prop_assert!(second.keys().all(|(question, _)| !question.starts_with("accelerators/")));
        let again = close(&store, &rules, (MONDAY + 9) * DAY + 2).unwrap();
        prop_assert!(again.days == 0 && (again.revisions == 0));
        prop_assert_eq!(published(&store), second);
    }
}
