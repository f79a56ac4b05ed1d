//! The front page: six sentences, the filters, and the figures.

use maud::{Markup, PreEscaped, html};

use super::address::{Site, To};
use super::figure;
use super::server_address::{MARK, UNKNOWN};
use super::shell::Shell;
use super::today::{self, Heard};
use crate::questions::{Engine, Filter, Report, Window};

/// Makes the page. `heard` is for maintainers only, and empty for the public.
pub(crate) fn page(shell: &Shell, filter: &Filter, report: &Report, heard: &[Heard]) -> String {
    let (first, last) = &report.days;
    let nothing_known = heard.is_empty()
        && report.headline.is_empty()
        && report.figures.iter().all(|figure| figure.rows.is_empty());
    let markup = html! {
        div.intro {
            h1 { "What inference engines run on" }
            p {
                "vLLM and LMCache report anonymously on which hardware and with which settings they run. "
                @if !nothing_known {
                    "These are the counts from " time datetime=(first) { (long(first)) } " to "
                    time datetime=(last) { (long(last)) } ". Unless a figure says otherwise, an engine is one process that was heard of in six slots of ten minutes."
                }
            }
            @if shell.internal {
                p { "Maintainers see the last seven days up to now. The public page has the closed days, and longer windows." }
            }
        }
        @if nothing_known {
            (nothing(shell))
        } @else {
            (today::section(heard))
            ul.said { @for sentence in &report.headline { li { (emphasised(sentence)) } } }
            (filters(shell, filter, &report.versions))
            (contents(report))
            @for engine in Engine::ALL {
                @let figures = report.figures.iter().filter(|figure| figure.engine == engine);
                @if figures.clone().next().is_some() {
                    section.group aria-labelledby=(engine.id()) {
                        h2 id=(engine.id()) { (engine.title()) }
                        div.figures {
                            @for one in figures { (figure::section(shell.site, filter, one)) }
                        }
                    }
                }
            }
        }
    };
    shell.page(&To::Report(filter), "Usage of inference engines", &markup)
}

/// Explains an empty page: what is missing, and how to see something.
fn nothing(shell: &Shell) -> Markup {
    let method = shell.site.link(&To::Report(&Filter::default()), &To::Method);
    let server = PreEscaped(if shell.site == Site::Served { MARK } else { UNKNOWN });
    html! {
        div.text {
            h2 { @if shell.internal { "No engine has reported yet" } @else { "There is nothing to publish yet" } }
            @if !shell.internal { p {
                "A day appears two days after its end, and a number appears if enough engines of enough networks stand "
                "behind it: " a href=(method) { "the method" } " has the rules. "
                "Maintainers see every message at once, on the other address that the server printed at its start."
            } }
            p {
                @if shell.site == Site::Served {
                    "To let an engine report here, start it with one of these:"
                } @else {
                    "To let an engine report, start it with one of these. ADDRESS:PORT is where the server listens:"
                }
            }
            // A narrow screen scrolls it, by keyboard too.
            pre tabindex="0" {
                "VLLM_USAGE_STATS_SERVER=" (server) "  # vLLM, with or without otel-usage\n"
                "LMCACHE_USAGE_TRACK_URL=" (server) "  # LMCache, likewise\n"
                "OTEL_USAGE_EXPORTERS=otlp OTEL_USAGE_OTLP_ENDPOINT=" (server) "  # any other\n"
            }
        }
    }
}

/// Marks the first number of a sentence, which the style sheet shows large if the sentence begins with it.
fn emphasised(sentence: &str) -> Markup {
    let number = |word: &str| {
        let word = word.trim_matches(['(', ')', ',', '.', ';', ':']);
        // A version such as 0.33.1 or a name such as H100 is no number to quote.
        word.starts_with(|first: char| first.is_ascii_digit())
            && word.matches('.').count() <= 1
            && word.chars().all(|letter| letter.is_ascii_digit() || ",.%".contains(letter))
    };
    let words: Vec<&str> = sentence.split(' ').collect();
    let nth = words.iter().position(|word| number(word)).unwrap_or(words.len());
    let (before, rest) = words.split_at(nth);
    let Some((word, after)) = rest.split_first() else {
        return html! { (sentence) };
    };
    let bare = word.trim_end_matches([',', '.', ';', ':']);
    let tail = word.strip_prefix(bare).unwrap_or_default();
    html! {
        @if !before.is_empty() { (before.join(" ")) " " }
        b.first[before.is_empty()] { (bare) } (tail) " " (after.join(" "))
    }
}

/// The figures by name, because a page of all of them is long.
fn contents(report: &Report) -> Markup {
    html! {
        nav.contents aria-label="Figures" {
            details {
                summary { "All " (report.figures.len()) " figures" }
                @for engine in Engine::ALL {
                    @let figures = report.figures.iter().filter(|figure| figure.engine == engine);
                    @if figures.clone().next().is_some() {
                        p { b { (engine.title()) } }
                        ul { @for one in figures { li { a href={ "#" (one.id) } { (one.title) } } } }
                    }
                }
            }
        }
    }
}

/// Links for what has few choices, a form for the version.
fn filters(shell: &Shell, filter: &Filter, versions: &[String]) -> Markup {
    let site = shell.site;
    let here = To::Report(filter);
    let choice = |to: &Filter, name: &str| {
        let chosen = (to == filter).then_some("true");
        html! { li { a href=(site.link(&here, &To::Report(to))) aria-current=[chosen] { (name) } } }
    };
    // The versions of another engine are others.
    let engine = |engine| {
        let version = filter.version.clone().filter(|_| engine == filter.engine);
        Filter { engine, version, ..filter.clone() }
    };
    html! {
        nav.filters aria-label="Filters" {
            div {
                span.of { "Engine" }
                ul {
                    (choice(&engine(None), "All"))
                    @for one in Engine::ALL { (choice(&engine(Some(one)), one.title())) }
                }
            }
            div {
                span.of { "Window" }
                ul {
                    @for window in shell.windows().iter().copied() {
                        (choice(&Filter { window, ..filter.clone() }, name(window)))
                    }
                }
            }
            div {
                span.of { "Show" }
                ul {
                    (choice(&Filter { share: false, ..filter.clone() }, "Counts"))
                    (choice(&Filter { share: true, ..filter.clone() }, "Shares"))
                }
            }
            // Files answer no form.
            @if site == Site::Served && !versions.is_empty() {
                form method="get" action="./" {
                    @if let Some(engine) = filter.engine {
                        input type="hidden" name="engine" value=(engine.id());
                    }
                    input type="hidden" name="days" value=(filter.window.days());
                    @if filter.share { input type="hidden" name="show" value="share"; }
                    div {
                        label for="version" { "Version" }
                        select #version name="version" {
                            option value="" { "All" }
                            @for version in versions {
                                option value=(version) selected[filter.version.as_ref() == Some(version)] {
                                    (version)
                                }
                            }
                        }
                    }
                    button { "Show" }
                }
            }
        }
    }
}

const fn name(window: Window) -> &'static str {
    match window {
        Window::Week => "7 days",
        Window::Month => "28 days",
        Window::Quarter => "90 days",
        Window::Year => "1 year",
    }
}

/// Writes a date as `7 November 2026`.
fn long(date: &str) -> String {
    date.parse::<jiff::civil::Date>()
        .map_or_else(|_| date.to_owned(), |date| date.strftime("%-d %B %Y").to_string())
}
