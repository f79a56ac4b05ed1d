//! Corrections of a closed day by engines that are late.

use otel_usage_serve::questions::{Rules, close, report};

use crate::fleet::{DAY, empty, write};
use crate::week::{MONDAY, NOW, column, figure, fleet, vllm, week};

#[test]
fn late_engines_correct_a_closed_day_once_there_are_enough_of_them() {
    let store = fleet();
    close(&store, &Rules::default(), NOW).unwrap();
    // Each of a network of its own.
    let late = |count| {
        let mut engines = vllm(count, "0.11.0", "NVIDIA H100 80GB HBM3");
        for (network, engine) in (100..).zip(&mut engines) {
            engine.days = vec![(MONDAY, Some(network + 1_000 * count))];
        }
        engines
    };
    write(&store, &late(10));
    assert_eq!(close(&store, &Rules::default(), NOW).unwrap().revisions, 0);
    write(&store, &late(15));
    assert_eq!(close(&store, &Rules::default(), NOW).unwrap().revisions, 1);
    // The next correction of the day waits for the next day.
    write(&store, &late(40));
    assert_eq!(close(&store, &Rules::default(), NOW + DAY - 1).unwrap().revisions, 0);
    let report = report(&store, &week(), NOW).unwrap();
    assert_eq!(column(figure(&report, "vllm-versions"), 0)[0], ("0.11 (vllm/current)", Some(85.0)));
    let told: (i64, i64, String) = store
        .query_row("SELECT day, number, reason FROM revision", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    // It is what the engines are counted as, because a network counts only up to a bound.
    assert_eq!(told, (MONDAY, 1, "late engines of vLLM, counted as 25".to_owned()));
    assert_eq!(close(&store, &Rules::default(), NOW + DAY).unwrap().revisions, 1);
    let left = "SELECT count(*) FROM origin WHERE day <= ?1";
    let left: i64 = store.query_row(left, [MONDAY], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "origins are erased");
}

#[test]
fn a_correction_leaves_a_table_alone_that_has_no_cell_for_a_late_engine() {
    let store = empty();
    write(&store, &vllm(60, "0.11.0", "NVIDIA H100"));
    close(&store, &Rules::default(), NOW).unwrap();
    // All engines had one version, so there is no cell for another.
    let mut late = vllm(30, "0.12.0", "NVIDIA H100");
    for (network, engine) in (100..).zip(&mut late) {
        engine.days = vec![(MONDAY, Some(network))];
    }
    write(&store, &late);
    assert_eq!(close(&store, &Rules::default(), NOW).unwrap().revisions, 1);
    let report = report(&store, &week(), NOW).unwrap();
    assert_eq!(column(figure(&report, "vllm-versions"), 0), [("0.11 (vllm/current)", Some(60.0))]);
    assert_eq!(column(figure(&report, "vllm-provider"), 0), [("AWS", Some(90.0))]);
}

#[test]
fn a_close_without_a_start_forgets_what_old_starts_count() {
    let store = empty();
    write(&store, &[]);
    for day in [MONDAY - 41, MONDAY - 40] {
        store.execute("INSERT INTO weight VALUES (?1, ?1, 0.5)", [day]).unwrap();
    }
    store.execute("INSERT INTO meta VALUES ('closed', ?1)", [MONDAY - 1]).unwrap();
    assert_eq!(close(&store, &Rules::default(), (MONDAY + 3) * DAY).unwrap().days, 1);
    let left: i64 = store.query_row("SELECT min(day) FROM weight", [], |row| row.get(0)).unwrap();
    assert_eq!(left, MONDAY - 40);
}
