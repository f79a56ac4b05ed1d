#![allow(clippy::arithmetic_side_effects, reason = "numbers of a test")]

use super::super::samples;
use super::scale::{Axis, apart, number};
use super::*;

#[test]
fn numbers_are_written_as_people_read_them() {
    let written = [0.0, 3.45, 9.0, 12.4, 999.0, 1000.0, 12_400.0, 1_234_567.0, -1200.0].map(number);
    assert_eq!(written, ["0", "3.5", "9", "12", "999", "1,000", "12,400", "1,234,567", "-1,200"]);
}

#[test]
fn an_axis_ends_above_the_largest_value_with_at_most_five_ticks() {
    for largest in [0.0, 0.3, 1.0, 7.0, 99.0, 100.0, 101.0, 2_399.0, 2_400.0, 123_456.0] {
        let axis = Axis::up_to(largest);
        assert!(axis.top >= largest, "{largest}: {axis:?}");
        assert!(axis.top <= largest.max(1.0) * 2.0, "{largest}: {axis:?}");
        assert!((2..=5).contains(&axis.ticks.len()), "{largest}: {axis:?}");
    }
}

#[test]
fn names_at_the_end_of_lines_do_not_cover_each_other() {
    let places = apart(&[100.0, 101.0, 99.0, 0.0, 200.0, 200.0], 17.0, 208.0);
    let mut sorted = places.clone();
    sorted.sort_by(f64::total_cmp);
    assert!(sorted.windows(2).all(|pair| pair[1] - pair[0] >= 17.0), "{places:?}");
    assert!(sorted.iter().all(|place| (-1.0..=208.0).contains(place)), "{places:?}");
    assert!(places[2] < places[0] && places[0] < places[1], "{places:?}");
}

#[test]
fn a_missing_day_is_a_gap_and_a_day_between_two_gaps_is_seen() {
    let svg = draw(&samples::lines(28)).into_string();
    let path = svg.split("class=\"line s3\" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(path.matches('M').count(), 3, "{path}");
    // Day 15 alone.
    assert!(path.contains("M556 ") && !path.contains("L556"), "{path}");
    // Round ends make a line without length a dot.
    let alone = path.split("M556 ").nth(1).unwrap().split('M').next().unwrap();
    assert!(alone.ends_with("h0"), "{path}");
}

#[test]
fn the_numbers_beside_areas_are_those_of_the_last_day() {
    let mut figure = samples::stack(28);
    let shown = |figure: &Figure| {
        let svg = draw(figure).into_string();
        let numbers = svg.split("class=\"number\">").skip(1);
        numbers.map(|part| part.split('<').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let before = shown(&figure);
    *figure.rows[1].values.last_mut().unwrap() = None;
    let mut expected = before.clone();
    expected[1] = "–".to_owned();
    assert_eq!(shown(&figure), expected);
    let below = draw(&figure).into_string();
    let below = below.split("<ul class=\"key\"").nth(1).unwrap();
    assert_eq!(below.matches("<b>–</b>").count(), 1, "{below}");
    // A last day that has no number at all shows those of the day before.
    figure.rows.iter_mut().for_each(|row| *row.values.last_mut().unwrap() = None);
    assert!(!shown(&figure).contains(&"–".to_owned()), "{:?}", shown(&figure));
}

#[test]
fn every_plot_says_in_words_what_it_shows() {
    let figures = [
        samples::lines(28),
        samples::stack(28),
        samples::bars(),
        samples::shares(),
        samples::strip(),
    ];
    for figure in figures {
        let svg = draw(&figure).into_string();
        assert!(svg.contains("role=\"img\""), "{svg}");
        let described = svg.split("<desc id=").nth(1).unwrap().split("</desc>").next().unwrap();
        assert!(described.contains(&figure.rows[0].label), "{described}");
        assert!(described.contains(figure.denominator), "{described}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn a_figure_without_numbers_is_a_sentence() {
    let mut figure = samples::bars();
    for row in &mut figure.rows {
        row.values.fill(None);
    }
    assert!(!draw(&figure).into_string().contains("<svg"));
    figure.rows.clear();
    assert!(!draw(&figure).into_string().contains("<svg"));
}

#[test]
fn text_of_engines_is_escaped() {
    let mut figure = samples::bars();
    figure.rows[0].label = "<script>&\"".to_owned();
    let svg = draw(&figure).into_string();
    assert!(!svg.contains("<script>"), "{svg}");
}

/// The colours of the style sheet, for light and for dark ground.
fn colours(dark: bool) -> Vec<[f64; 3]> {
    let style = crate::page::shell::STYLE;
    let part = style.split(":root {").nth(if dark { 2 } else { 1 }).unwrap();
    let find = |name: &str| {
        let value = part.split(&format!("--{name}: #")).nth(1).unwrap();
        [0, 2, 4].map(|at| {
            let part = f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    };
    ["ground", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "rest"].map(find).into()
}

#[test]
fn every_colour_of_a_plot_stands_out_from_light_and_dark_ground() {
    let light = |c: [f64; 3]| 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] + 0.05;
    for dark in [false, true] {
        let colours = colours(dark);
        for (index, colour) in colours.iter().enumerate().skip(1) {
            let (a, b) = (light(colours[0]), light(*colour));
            let contrast = a.max(b) / a.min(b);
            assert!(contrast >= 3.0, "dark {dark}, colour {index}: {contrast:.2}");
        }
    }
}

#[test]
fn neighbours_are_told_apart_without_seeing_red_and_green() {
    // Machado, Oliveira and Fernandes (2009), deuteranopia.
    const SEEN: [[f64; 3]; 3] = [
        [0.367_322, 0.860_646, -0.227_968],
        [0.280_085, 0.672_501, 0.047_413],
        [-0.011_820, 0.042_940, 0.968_881],
    ];
    // CIE L*a*b* under D65.
    let lab = |c: [f64; 3]| {
        let c = SEEN.map(|row| {
            let sum: f64 = row.iter().zip(c).map(|(weight, part)| weight * part).sum();
            sum.clamp(0.0, 1.0)
        });
        let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.4124 * c[0] + 0.3576 * c[1] + 0.1805 * c[2]) / 0.9505);
        let y = f(0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]);
        let z = f((0.0193 * c[0] + 0.1192 * c[1] + 0.9505 * c[2]) / 1.089);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    };
    for dark in [false, true] {
        let seen: Vec<[f64; 3]> = colours(dark)[1..9].iter().copied().map(lab).collect();
        for (index, pair) in seen.windows(2).enumerate() {
            let squares: f64 = pair[0].iter().zip(pair[1]).map(|(a, b)| (a - b).powi(2)).sum();
            assert!(squares.sqrt() >= 10.0, "dark {dark}, colours {} and next", index + 1);
        }
    }
}

#[test]
fn what_all_series_have_in_brackets_is_left_out_and_a_narrow_screen_has_the_names_below() {
    let mut figure = samples::stack(28);
    let named = |figure: &Figure| {
        let svg = draw(figure).into_string();
        let (plot, key) = svg.split_once("<ul class=\"key\"").unwrap();
        (plot.contains("(a/1)</text>"), key.contains("(a/1)</li>"))
    };
    figure.rows.iter_mut().for_each(|row| row.label = format!("{} (a/1)", row.label));
    assert_eq!(named(&figure), (false, false));
    figure.rows[0].label = "x (b/2)".to_owned();
    assert_eq!(named(&figure), (true, true));
}
