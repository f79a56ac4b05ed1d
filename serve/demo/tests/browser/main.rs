//! The pages of the usage server in a real browser: every page and filter, light, dark, in forced colours, on a narrow
//! screen, without scripts and by keyboard. The numbers are those of a made-up fleet.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: it starts programs and fails by panicking"
)]

mod axe;
mod site;
mod tab;

use serde::Deserialize;
use site::Site;
use tab::{Look, Tab};

const LIGHT: Look =
    Look { name: "light", width: 1200, features: &[("prefers-color-scheme", "light")] };
const DARK: Look =
    Look { name: "dark", width: 1200, features: &[("prefers-color-scheme", "dark")] };
const FORCED: Look =
    Look { name: "forced colours", width: 1200, features: &[("forced-colors", "active")] };
const NARROW: Look =
    Look { name: "320 px", width: 320, features: &[("prefers-color-scheme", "light")] };

/// The measures of a page after it is loaded.
#[derive(Debug, Deserialize)]
struct Measured {
    /// Cumulative layout shift.
    shift: f64,
    /// How much wider the page is than the window.
    over: f64,
    figures: usize,
}

/// Waits for two frames, so that the layout is final.
const MEASURE: &str = "new Promise(done => {
    let shift = 0;
    new PerformanceObserver(list => { for (const entry of list.getEntries()) shift += entry.value; })
        .observe({ type: 'layout-shift', buffered: true });
    requestAnimationFrame(() => requestAnimationFrame(() => done({
        shift,
        over: Math.max(0, document.documentElement.scrollWidth - innerWidth),
        figures: document.querySelectorAll('svg.plot').length,
    })));
})";

const AXE: &str = "axe.run(document, { resultTypes: ['violations'] }).then(result => result.violations.map(violation =>
    violation.id + ': ' + violation.nodes.map(node => node.html.slice(0, 160)).join(' | ')))";

/// One test, because the made-up weeks and the start of the browser take longer than what is tried.
#[test]
fn pages_hold_in_a_real_browser() {
    let axe = match axe::script() {
        Ok(axe) => axe,
        Err(because) => return otel_usage_testing::skipped(&because),
    };
    let profile = tempfile::tempdir().unwrap();
    let mut tab = match Tab::open(profile.path()) {
        Ok(tab) => tab,
        Err(because) => return otel_usage_testing::skipped(&because),
    };
    let site = Site::start();
    every_page_and_filter_holds_in_every_look(&site, &mut tab, &axe);
    a_page_is_the_same_without_scripts(&site, &mut tab);
    every_control_is_reached_by_keyboard_and_shows_it(&site, &mut tab);
}

fn every_page_and_filter_holds_in_every_look(site: &Site, tab: &mut Tab, axe: &str) {
    for look in [LIGHT, DARK, FORCED, NARROW] {
        tab.look(look);
        for address in &site.addresses {
            let at = format!("{address}, {}", look.name);
            let (asked, complaints) = tab.load(&format!("{}{address}", site.base));
            assert!(asked.len() <= 4, "{at}: {asked:?}");
            for request in &asked {
                let own = request.starts_with(&site.base) || request.starts_with("data:");
                assert!(own, "{at} asks {request}");
            }
            assert!(complaints.is_empty(), "{at}: {complaints:?}");
            let measured: Measured = tab.evaluate(MEASURE);
            assert!(measured.shift == 0.0, "{at}: {measured:?}");
            assert!(measured.over == 0.0, "{at} is wider than the window: {measured:?}");
            let report = address == "/" || address.starts_with("/?");
            assert_eq!(report, measured.figures > 0, "{at}: {measured:?}");
            // Filters change numbers, and axe-core takes a second for each page.
            if report && !site.audited.contains(address) {
                continue;
            }
            tab.evaluate::<serde_json::Value>(&format!("{axe};true"));
            let violations: Vec<String> = tab.evaluate(AXE);
            assert!(violations.is_empty(), "{at}: {violations:#?}");
        }
    }
}

fn a_page_is_the_same_without_scripts(site: &Site, tab: &mut Tab) {
    tab.look(LIGHT);
    for address in &site.audited {
        let address = format!("{}{address}", site.base);
        tab.load(&address);
        let with = tab.picture();
        tab.scripts(false);
        tab.load(&address);
        let without = tab.picture();
        tab.scripts(true);
        assert!(with.len() > 10_000, "{address} is empty");
        assert!(with == without, "{address} differs without scripts");
    }
}

/// The elements that the Tab key can reach, in the order of the page, and the one that has the focus.
const REACHABLE: &str =
    "[...document.querySelectorAll('a[href], button, select, summary, [tabindex=\"0\"]')]
    .filter(element => element.checkVisibility()).length";
const FOCUSED: &str = "(element => {
    if (element === document.body) return '';
    const style = getComputedStyle(element);
    return element.outerHTML.slice(0, 120) + (style.outlineStyle === 'none' ? ' WITHOUT OUTLINE' : '');
})(document.activeElement)";

fn every_control_is_reached_by_keyboard_and_shows_it(site: &Site, tab: &mut Tab) {
    tab.look(LIGHT);
    tab.load(&site.base);
    let reachable: usize = tab.evaluate(REACHABLE);
    assert!(reachable > 20, "{reachable}");
    let mut reached = Vec::new();
    loop {
        tab.press_tab();
        let focused: String = tab.evaluate(FOCUSED);
        if focused.is_empty() || reached.len() > reachable {
            break;
        }
        assert!(!focused.contains("WITHOUT OUTLINE"), "{focused}");
        reached.push(focused);
    }
    assert_eq!(reached.len(), reachable, "{reached:#?}");
}
