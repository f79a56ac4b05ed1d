//! The frame of every page: head, navigation, foot.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::address::{Site, To};
use crate::questions::{Filter, LIVE, Window};

/// The colours, widths and everything else that is not text.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Lets a page load its style sheet, and nothing from anywhere else. It runs no script.
pub(crate) const POLICY: &str = "default-src 'none'; img-src 'self' data:; style-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The picture in the tab of the browser: three bars.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
     %3Cpath d='M1 9h4v6H1zM6 5h4v10H6zM11 1h4v14h-4z' fill='%234397d0'/%3E%3C/svg%3E";

/// The common part of the pages of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) site: Site,
    /// The maintainers' listener: numbers that are not for publication.
    pub(crate) internal: bool,
    /// The time of the answer, in milliseconds since the Unix epoch.
    pub(crate) now: i64,
}

impl Shell {
    /// Returns the windows that a reader may choose.
    pub(crate) const fn windows(&self) -> &'static [Window] {
        if self.internal { &[LIVE] } else { &Window::ALL }
    }

    /// Wraps the content of a page.
    pub(crate) fn page(&self, here: &To<'_>, title: &str, content: &Markup) -> String {
        let all = Filter::default();
        let pages = [
            (To::Report(&all), "Report"),
            (To::Method, "Method"),
            (To::Dictionary, "Dictionary"),
            (To::Quality, "Quality"),
            (To::Data, "Data"),
        ];
        let same = |to: &To<'_>| std::mem::discriminant(to) == std::mem::discriminant(here);
        let link = |to: &To<'_>| self.site.link(here, to);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // A file has no header. A browser ignores `frame-ancestors` here.
                    @if self.site == Site::Files {
                        meta http-equiv="Content-Security-Policy" content=(POLICY.replace("; frame-ancestors 'none'", ""));
                    }
                    meta name="description" content="Anonymous usage of inference engines, counted and published.";
                    title { (title) }
                    link rel="stylesheet" href=(link(&To::Style));
                    link rel="icon" href=(PreEscaped(ICON));
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        a.brand href=(link(&To::Report(&all))) { "otel-usage" }
                        nav aria-label="Pages" {
                            ul {
                                @for (to, name) in &pages {
                                    li { a href=(link(to)) aria-current=[same(to).then_some("page")] { (name) } }
                                }
                            }
                        }
                    }
                    main #main { (content) }
                    footer {
                        @if self.internal {
                            p { strong { "For maintainers only." } " These numbers went through no rule of publication." }
                        } @else {
                            p {
                                "Counted from anonymous reports. No number here stands for a few engines only: "
                                a href=(link(&To::Method)) { "the method" } " has the rules. "
                                "This page needs no script, sets no cookie and loads nothing from elsewhere."
                            }
                        }
                        p { "Made " (moment(self.now)) " by otel-usage " (env!("CARGO_PKG_VERSION")) "." }
                    }
                }
            }
        };
        page.into_string()
    }
}

/// Writes a time as `28 Nov 2026, 12:05 UTC`.
pub(crate) fn moment(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map(|time| time.strftime("%-d %b %Y, %H:%M UTC").to_string())
        .unwrap_or_default()
}
