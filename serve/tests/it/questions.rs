//! The questions, over rows that a test writes down.

use otel_usage_serve::questions::{
    self, Filter, Rules, Window, close, files, live, report, rounded,
};

use crate::fleet::{DAY, empty, write};
use crate::week::{MONDAY, NOW, column, figure, fleet, vllm, week};

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
    // Whatever the window is, it is a week.
    assert_eq!(live(&store, &Filter::default(), (MONDAY + 6) * DAY + 1).unwrap().days, report.days);
    let versions = column(figure(&report, "vllm-versions"), 6);
    assert_eq!(
        versions,
        [
            ("0.11 (vllm/current)", Some(60.0)),
            ("0.12 (vllm/current)", Some(30.0)),
            ("0.9 (vllm/current)", Some(7.0))
        ]
    );
    // A day without an engine is known to have none.
    let report = live(&store, &week(), (MONDAY + 7) * DAY + 1).unwrap();
    let last = column(figure(&report, "vllm-versions"), 6);
    assert!(last.len() == 3 && last.iter().all(|(_, count)| *count == Some(0.0)), "{last:?}");
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
    let mut checksums = files::Checksums::default();
    let sums = checksums.text(&store).unwrap();
    assert_eq!(sums.lines().count(), 7);
    assert!(sums.lines().all(|line| line.len() == 64 + 2 + 14), "{sums}");
    assert_eq!(checksums.text(&store).unwrap(), sums);
}

#[test]
fn kept_checksums_follow_each_close_and_each_revision() {
    let store = fleet();
    let mut kept = files::Checksums::default();
    let mut check = || {
        let sums = kept.text(&store).unwrap();
        assert_eq!(sums, files::Checksums::default().text(&store).unwrap());
        sums
    };
    // The numbers of a week come into the file of its Monday when its Sunday is closed.
    for day in -1..7 {
        close(&store, &Rules::default(), (MONDAY + day + 3) * DAY).unwrap();
        let days = usize::try_from(day + 1).unwrap();
        assert_eq!(check().lines().count(), days);
    }
    let before = check();
    let mut late = vllm(30, "0.11.0", "NVIDIA H100 80GB HBM3");
    for (network, engine) in (100..).zip(&mut late) {
        engine.days = vec![(MONDAY, Some(network))];
    }
    write(&store, &late);
    assert_eq!(close(&store, &Rules::default(), NOW).unwrap().revisions, 1);
    assert_ne!(check(), before);
}
