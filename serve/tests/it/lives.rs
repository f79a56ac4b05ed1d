//! How long engines live: the starts of a day that are heard of later, and what is withheld of them.

use otel_usage_serve::questions::{Filter, Rules, close, live, report};
use rusqlite::params;

use crate::fleet::{DAY, Engine, empty, write};
use crate::week::{MONDAY, NOW, column, figure, week};

/// Returns `count` engines of ten networks that are heard of on these days after Monday.
fn alive(days: &[i64], count: i64) -> Vec<Engine> {
    let engine = |n: i64| Engine {
        contract: "vllm/current",
        facets: Vec::new(),
        days: days.iter().map(|day| (MONDAY + day, Some(n % 10))).collect(),
        slots: 12,
    };
    (0..count).map(engine).collect()
}

#[test]
fn starts_are_followed_for_a_day_and_for_a_week() {
    let store = empty();
    // 60 that end within the first hour, 60 that live on for eight days.
    let start = |days: i64, slots| {
        let engine = move |n: i64| Engine {
            contract: "vllm/current",
            facets: Vec::new(),
            days: (MONDAY..MONDAY + days).map(|day| (day, Some(n % 10))).collect(),
            slots,
        };
        (0..60).map(engine).collect::<Vec<_>>()
    };
    write(&store, &start(1, 1));
    write(&store, &start(1, 4));
    write(&store, &start(1, 7));
    write(&store, &start(4, 12));
    write(&store, &start(8, 12));
    close(&store, &Rules::default(), (MONDAY + 11) * DAY).unwrap();
    let filter = Filter::default();
    let report = report(&store, &filter, (MONDAY + 11) * DAY).unwrap();
    let survival = figure(&report, "vllm-survival");
    let monday = survival.columns.iter().position(|day| day == "2024-10-07").unwrap();
    assert_eq!(
        column(survival, monday),
        [
            ("10 minutes", Some(100.0)),
            ("an hour", Some(60.0)),
            ("a day", Some(40.0)),
            ("7 days", Some(20.0)),
            ("30 days", None)
        ]
    );
}

#[test]
fn a_life_is_known_as_far_as_the_classes_without_a_number_are_on_one_side_of_it() {
    let store = empty();
    let start = |count: i64, days: i64, slots| {
        let engine = move |n: i64| Engine {
            contract: "vllm/current",
            facets: Vec::new(),
            days: (MONDAY..MONDAY + days).map(|day| (day, Some(n % 10))).collect(),
            slots,
        };
        (0..count).map(engine).collect::<Vec<_>>()
    };
    write(&store, &start(60, 1, 0));
    write(&store, &start(60, 1, 4));
    // Too few of each, so both are under *other*.
    write(&store, &start(15, 1, 7));
    write(&store, &start(15, 4, 12));
    close(&store, &Rules::default(), NOW).unwrap();
    let report = report(&store, &week(), NOW).unwrap();
    assert_eq!(
        column(figure(&report, "vllm-survival"), 0),
        [
            ("10 minutes", Some(60.0)),
            ("an hour", Some(20.0)),
            ("a day", None),
            ("7 days", None),
            ("30 days", None)
        ]
    );
}

#[test]
fn maintainers_are_not_told_how_long_engines_lived_that_may_live_on() {
    let store = empty();
    let start = |first: i64| {
        move |n: i64| Engine {
            contract: "vllm/current",
            facets: Vec::new(),
            days: vec![(first, Some(n))],
            slots: 12,
        }
    };
    for day in 0..3 {
        write(&store, &(0..3).map(start(MONDAY + day)).collect::<Vec<_>>());
    }
    // Noon of Wednesday.
    let report = live(&store, &week(), (MONDAY + 2) * DAY + DAY / 2).unwrap();
    let survival = figure(&report, "vllm-survival");
    let known =
        |at: usize| column(survival, at)[..3].iter().map(|(_, share)| *share).collect::<Vec<_>>();
    assert_eq!(survival.columns[4..], ["2024-10-07", "2024-10-08", "2024-10-09"]);
    assert_eq!(known(4), [Some(100.0), Some(100.0), Some(0.0)]);
    assert_eq!(known(5), [Some(100.0), Some(100.0), None]);
    assert_eq!(known(6), [None, None, None]);
    let said = report.headline.iter().find(|said| said.contains("lived for an hour")).unwrap();
    assert!(said.starts_with("100%") && said.contains("8 October"), "{said}");
}

#[test]
fn a_table_is_withheld_if_few_engines_are_left_by_subtracting_it_from_another() {
    // Engines that started today, and some that ran before: all that served, less those that started, are the older ones.
    let lives = |older: i64| {
        let store = empty();
        let engine = |first: i64| {
            move |n: i64| Engine {
                contract: "vllm/current",
                facets: Vec::new(),
                days: (first..MONDAY + 2).map(|day| (day, Some(n % 5))).collect(),
                slots: 12,
            }
        };
        write(&store, &(0..40).map(engine(MONDAY + 1)).collect::<Vec<_>>());
        write(&store, &(0..older).map(engine(MONDAY)).collect::<Vec<_>>());
        close(&store, &Rules::default(), NOW).unwrap();
        let lives =
            "SELECT count(*) FROM cube WHERE question = 'life/engines' AND day = ?1 AND published";
        store.query_row(lives, [MONDAY + 1], |row| row.get::<_, i64>(0)).unwrap() > 0
    };
    assert!(!lives(3));
    assert!(lives(0) && lives(25));
}

#[test]
fn engines_that_were_lost_between_two_numbers_of_the_same_starts_are_many_or_are_not_told() {
    // Of a hundred starts thirty are lost within a week, and then some more within the month.
    let after_a_month = |lost: i64| {
        let store = empty();
        let lives: [(&[i64], _); 3] =
            [(&[0, 1, 2], 30), (&[0, 1, 7, 8], lost), (&[0, 1, 7, 30], 70 - lost)];
        write(&store, &lives.map(|(days, count)| alive(days, count)).concat());
        close(&store, &Rules::default(), (MONDAY + 33) * DAY).unwrap();
        let published = |question: &str| -> Option<f64> {
            let amount =
                "SELECT sum(amount) FROM cube WHERE question = ?1 AND day = ?2 AND published";
            store.query_row(amount, params![question, MONDAY], |row| row.get(0)).unwrap()
        };
        assert_eq!(published("after-7/engines"), Some(70.0));
        published("after-30/engines")
    };
    assert_eq!(after_a_month(3), None);
    assert_eq!(after_a_month(30), Some(40.0));
}

#[test]
fn starts_that_lived_for_a_week_are_told_if_those_lost_and_those_that_are_older_are_many_or_none() {
    // Of a hundred starts some are lost within the week. Others are a day older, and were not there on the first day.
    let after_a_week = |lost: i64, older: i64| -> Option<f64> {
        let store = empty();
        let lives: [(&[i64], _); 3] =
            [(&[0, 1, 2], lost), (&[0, 1, 7], 100 - lost), (&[-1, 1, 7], older)];
        write(&store, &lives.map(|(days, count)| alive(days, count)).concat());
        close(&store, &Rules::default(), (MONDAY + 10) * DAY).unwrap();
        let amount = "SELECT sum(amount) FROM cube \
            WHERE question = 'after-7/engines' AND day = ?1 AND published";
        store.query_row(amount, [MONDAY], |row| row.get(0)).unwrap()
    };
    assert_eq!(after_a_week(30, 30), Some(70.0));
    assert_eq!(after_a_week(0, 0), Some(100.0));
    assert_eq!(after_a_week(3, 0), None);
    assert_eq!(after_a_week(0, 3), None);
}
