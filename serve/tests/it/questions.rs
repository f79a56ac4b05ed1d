//! The questions, over rows that a test writes down.

use otel_usage_serve::questions::{
    self, Figure, Filter, Report, Rules, Window, close, files, live, report, rounded,
};
use rusqlite::{Connection, params};

use crate::fleet::{DAY, Engine, empty, write};

/// A Monday.
const MONDAY: i64 = 20_003;
const NOW: i64 = (MONDAY + 9) * DAY;

fn week() -> Filter {
    Filter { window: Window::Week, ..Filter::default() }
}

fn figure<'r>(report: &'r Report, id: &str) -> &'r Figure {
    report.figures.iter().find(|figure| figure.id == id).unwrap()
}

/// Returns the labels and the values of one column.
fn column(figure: &Figure, at: usize) -> Vec<(&str, Option<f64>)> {
    figure.rows.iter().map(|row| (row.label.as_str(), row.values[at])).collect()
}

/// Returns `count` engines of vLLM in five networks, which run for the first week.
fn vllm(count: i64, version: &str, accelerator: &str) -> Vec<Engine> {
    let engine = |n: i64| Engine {
        contract: "vllm/current",
        facets: [
            ("version", version),
            ("accelerator", accelerator),
            ("accelerators", if accelerator.contains("A100") { "8" } else { "4" }),
            ("model_architecture", "LlamaForCausalLM"),
            ("dtype", "torch.bfloat16"),
            ("provider", "AWS"),
            ("tensor_parallel_size", "4"),
            ("pipeline_parallel_size", "2"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .to_vec(),
        days: (MONDAY..MONDAY + 7).map(|day| (day, Some(n % 5))).collect(),
        slots: 12,
    };
    (0..count).map(engine).collect()
}

/// Returns `count` engines of LMCache.
fn lmcache(count: i64) -> Vec<Engine> {
    let facets =
        [("version", "0.5.6"), ("l1_bytes", "64424509440"), ("l2_adapters", "nixl_store,fs")];
    let engine = |n: i64| Engine {
        contract: "lmcache/1",
        facets: facets.map(|(name, value)| (name, value.to_owned())).to_vec(),
        days: (MONDAY..MONDAY + 7).map(|day| (day, Some(n % 5))).collect(),
        slots: 12,
    };
    (0..count).map(engine).collect()
}

fn fleet() -> Connection {
    let store = empty();
    write(&store, &vllm(60, "0.11.0", "NVIDIA H100 80GB HBM3"));
    write(&store, &vllm(30, "0.12.1+cu129", "NVIDIA A100-SXM4-80GB"));
    write(&store, &vllm(7, "0.9.2", "/dev/secret"));
    write(&store, &lmcache(40));
    store
}

#[test]
fn the_public_sees_closed_days_rounded_and_under_the_rules() {
    let store = fleet();
    // Nothing is closed yet.
    assert!(
        report(&store, &week(), NOW).unwrap().figures.iter().all(|figure| figure.rows.is_empty())
    );
    assert_eq!(close(&store, &Rules::default(), NOW).unwrap().days, 7);
    let report = report(&store, &week(), NOW).unwrap();
    assert_eq!(report.days, ("2024-10-07".to_owned(), "2024-10-13".to_owned()));
    let versions = figure(&report, "vllm-versions");
    // The seven engines of 0.9 take the next smallest with them.
    let expected = [("0.11 (vllm/current)", Some(60.0)), ("other (vllm/current)", Some(35.0))];
    assert_eq!(column(versions, 6), expected);
    assert_eq!(versions.totals[6], Some(95.0));
    let accelerators = figure(&report, "vllm-accelerators");
    let expected = [("NVIDIA H100 80GB HBM3", Some(60.0)), ("other", Some(35.0))];
    assert_eq!(column(accelerators, 0), expected);
    let devices = figure(&report, "vllm-devices");
    assert_eq!(
        column(devices, 0),
        [("NVIDIA H100 80GB HBM3", Some(240.0)), ("other", Some(270.0))]
    );
    // Two hours a day.
    let hours = figure(&report, "vllm-device-hours");
    assert_eq!(column(hours, 0), [("NVIDIA H100 80GB HBM3", Some(480.0)), ("other", Some(535.0))]);
    assert_eq!(column(figure(&report, "vllm-cluster"), 0), [("5–8 devices", Some(95.0))]);
    assert_eq!(
        column(figure(&report, "vllm-shape"), 0),
        [("tensor 4, pipeline 2, data 1 (5–8 devices)", Some(95.0))]
    );
    assert_eq!(column(figure(&report, "vllm-provider"), 3), [("AWS", Some(95.0))]);
    assert_eq!(column(figure(&report, "lmcache-l1"), 0), [("16–64 GiB", Some(40.0))]);
    assert_eq!(column(figure(&report, "lmcache-l2"), 0), [("fs + nixl_store", Some(40.0))]);
    assert_eq!(report.versions, ["0.11", "0.5"]);
    assert_eq!(
        report.headline,
        [
            "95 engines of vLLM served on 13 October 2024, and 40 of LMCache.",
            "63% of vLLM’s engines run on NVIDIA H100 80GB HBM3.",
            "100% of vLLM’s engines serve LlamaForCausalLM, the most common architecture.",
            "100% of the engines of vLLM that started on 7 October 2024 lived for an hour or more.",
            "100% of vLLM’s engines compute in bfloat16.",
            "100% of vLLM’s engines say that they run on AWS.",
        ]
    );
}

#[test]
fn a_report_reads_no_rows_of_engines() {
    let store = fleet();
    close(&store, &Rules::default(), NOW).unwrap();
    let before = report(&store, &Filter::default(), NOW).unwrap();
    for table in ["presence", "session", "facet", "origin", "interval", "batch", "word"] {
        store.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    assert_eq!(report(&store, &Filter::default(), NOW).unwrap(), before);
}

#[test]
fn the_totals_of_a_figure_are_the_sums_of_its_rows() {
    let store = fleet();
    close(&store, &Rules::default(), NOW).unwrap();
    let shares = Filter { share: true, ..Filter::default() };
    for filter in [Filter::default(), shares, week()] {
        let report = report(&store, &filter, NOW).unwrap();
        let json = serde_json::to_value(&report.figures).unwrap();
        for (figure, json) in report.figures.iter().zip(json.as_array().unwrap()) {
            let summed = figure.totals.iter().enumerate().filter(|(_, total)| total.is_some());
            for (at, total) in summed {
                let sum: f64 = figure.rows.iter().filter_map(|row| row.values[at]).sum();
                assert_eq!(Some(sum), *total, "{} {at}", figure.id);
                assert_eq!(json["totals"][at].as_f64(), *total);
            }
            // CSV has the same numbers: a line for each row of the figure, and one above them.
            let csv = questions::csv(figure);
            assert!(csv.lines().count() > figure.rows.len().min(1), "{csv}");
            for row in &figure.rows {
                assert_eq!(row.values.len(), figure.columns.len(), "{}", figure.id);
            }
            if filter.share {
                assert_eq!(figure.unit, "%");
            }
        }
    }
}

#[test]
fn a_version_leaves_the_figures_that_tell_versions_apart() {
    let store = fleet();
    close(&store, &Rules::default(), NOW).unwrap();
    let filter = Filter { version: Some("0.11".to_owned()), ..week() };
    let report = report(&store, &filter, NOW).unwrap();
    assert!(
        report
            .figures
            .iter()
            .all(|figure| figure.id.contains("versions") || figure.id.contains("adoption"))
    );
    assert_eq!(column(figure(&report, "vllm-versions"), 6), [("0.11 (vllm/current)", Some(60.0))]);
}

#[test]
fn maintainers_see_every_engine_at_once() {
    let store = fleet();
    let report = live(&store, &week(), (MONDAY + 6) * DAY + 1).unwrap();
    let versions = column(figure(&report, "vllm-versions"), 6);
    assert_eq!(
        versions,
        [
            ("0.11 (vllm/current)", Some(60.0)),
            ("0.12 (vllm/current)", Some(30.0)),
            ("0.9 (vllm/current)", Some(7.0))
        ]
    );
}

#[test]
fn engines_with_fewer_than_six_slots_have_not_served() {
    let store = empty();
    let mut engines = vllm(100, "0.11.0", "NVIDIA H100");
    for engine in &mut engines {
        engine.days.truncate(1);
        engine.slots = 5;
    }
    write(&store, &engines);
    close(&store, &Rules::default(), NOW).unwrap();
    let report = report(&store, &Filter::default(), NOW).unwrap();
    assert!(figure(&report, "vllm-versions").rows.is_empty());
}

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
    let (day, number): (i64, i64) = store
        .query_row("SELECT day, number FROM revision", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!((day, number), (MONDAY, 1));
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

/// So a reader who compares windows, filters, counts and shares learns nothing that the files do not say.
#[test]
fn every_view_is_made_of_the_published_and_rounded_numbers_only() {
    let store = fleet();
    close(&store, &Rules::default(), NOW + 2 * DAY).unwrap();
    let views = || {
        let engines = [None, Some(questions::Engine::Vllm), Some(questions::Engine::Lmcache)];
        let mut views = Vec::new();
        for window in Window::ALL {
            for engine in engines {
                for version in [None, Some("0.11".to_owned())] {
                    for share in [false, true] {
                        let version = version.clone();
                        let filter = Filter { engine, version, window, share };
                        views.push(report(&store, &filter, NOW + 2 * DAY).unwrap());
                    }
                }
            }
        }
        views
    };
    let before = views();
    assert!(before.iter().any(|report| !report.figures.iter().all(|one| one.rows.is_empty())));
    let amounts: Vec<f64> = store
        .prepare("SELECT DISTINCT amount FROM cube WHERE published")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    store
        .execute_batch(
            "DELETE FROM cube WHERE NOT published; UPDATE cube SET engines = 0, origins = 0, largest = 0",
        )
        .unwrap();
    for amount in amounts {
        let update = "UPDATE cube SET amount = ?1 WHERE amount = ?2";
        store.execute(update, [rounded(amount), amount]).unwrap();
    }
    assert!(views() == before, "a view says more than the files");
}

#[test]
fn a_fresh_version_has_a_curve_from_its_first_day() {
    let store = empty();
    write(&store, &vllm(60, "0.11.0", "NVIDIA H100"));
    let mut newer = vllm(60, "0.12.0", "NVIDIA H100");
    newer.iter_mut().for_each(|engine| drop(engine.days.drain(..3)));
    write(&store, &newer);
    close(&store, &Rules::default(), NOW).unwrap();
    let report = report(&store, &week(), NOW).unwrap();
    let adoption = figure(&report, "vllm-adoption");
    assert_eq!(adoption.rows.len(), 1);
    assert_eq!(adoption.rows[0].label, "0.12");
    assert_eq!(adoption.rows[0].values[..4], [Some(50.0), Some(50.0), Some(50.0), Some(50.0)]);
    assert_eq!(adoption.rows[0].values[4], None);
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
    let after_a_month = |lost: usize| {
        let store = empty();
        let live = |days: &'static [i64]| {
            move |n: i64| Engine {
                contract: "vllm/current",
                facets: Vec::new(),
                days: days.iter().map(|day| (MONDAY + day, Some(n % 10))).collect(),
                slots: 12,
            }
        };
        let lives = [live(&[0, 1, 2]), live(&[0, 1, 7, 8]), live(&[0, 1, 7, 30])];
        for (life, count) in lives.iter().zip([30, lost, 70 - lost]) {
            write(&store, &(0..i64::try_from(count).unwrap()).map(life).collect::<Vec<_>>());
        }
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
fn each_closed_day_is_a_file_with_a_checksum() {
    let store = fleet();
    close(&store, &Rules::default(), NOW).unwrap();
    assert_eq!(files::days(&store).unwrap(), (MONDAY..MONDAY + 7).rev().collect::<Vec<_>>());
    assert_eq!(files::name(MONDAY), "2024-10-07.csv");
    let monday = files::file(&store, MONDAY).unwrap().unwrap();
    for line in [
        "vllm,versions,vllm/current / 0.11,engines,day,60",
        "vllm,accelerators,NVIDIA H100 80GB HBM3,device-hours,week,480",
        "lmcache,l1,16–64 GiB,engines,day,40",
    ] {
        assert!(monday.lines().any(|one| one == line), "{monday}");
    }
    assert!(!monday.contains("secret") && !monday.contains("0.9"), "{monday}");
    assert_eq!(files::file(&store, MONDAY - 1).unwrap(), None);
    let sums = files::checksums(&store).unwrap();
    assert_eq!(sums.lines().count(), 7);
    assert!(sums.lines().all(|line| line.len() == 64 + 2 + 14), "{sums}");
}
