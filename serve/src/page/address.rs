//! The addresses of the pages. Every link is relative, so that a proxy may put the pages below any path, and files
//! work from any folder.

use crate::questions::{Engine, Filter, Window, files};

/// Where the pages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// From the server, which answers queries.
    Served,
    /// From files, where each view is a file of its own.
    Files,
}

/// Reads the query of an address. Unknown parameters are ignored, so that an old link still shows a page.
pub(crate) fn filter_of(query: &str) -> Filter {
    let mut filter = Filter::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "engine" => filter.engine = Engine::from_id(value),
            "version" => filter.version = version(value),
            "days" => {
                let days = value.parse().ok().and_then(Window::from_days);
                filter.window = days.unwrap_or_default();
            }
            "show" => filter.share = value == "share",
            _ => {}
        }
    }
    filter
}

/// Writes a filter as a query, without what is the default.
pub(crate) fn query(filter: &Filter) -> String {
    let mut pairs = Vec::new();
    pairs.extend(filter.engine.map(|engine| format!("engine={}", engine.id())));
    pairs.extend(filter.version.iter().map(|version| format!("version={version}")));
    pairs.extend(days(filter).map(|days| format!("days={days}")));
    pairs.extend(filter.share.then(|| "show=share".to_owned()));
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// Names a filter in the name of a file: `vllm-90-share`. The name of the default is empty.
fn name(filter: &Filter) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(filter.engine.map(|engine| engine.id().to_owned()));
    parts.extend(filter.version.clone());
    parts.extend(days(filter).map(|days| days.to_string()));
    parts.extend(filter.share.then(|| "share".to_owned()));
    parts.join("-")
}

/// Returns the number of days, `None` for the default.
fn days(filter: &Filter) -> Option<i64> {
    (filter.window != Window::default()).then(|| filter.window.days())
}

/// Every filter whose page is written as a file: all but those of one version.
pub(crate) fn filters() -> impl Iterator<Item = Filter> {
    let engines = [None].into_iter().chain(Engine::ALL.map(Some));
    engines.flat_map(|engine| {
        Window::ALL.into_iter().flat_map(move |window| {
            [false, true].map(|share| Filter { engine, version: None, window, share })
        })
    })
}

/// Returns a version if it looks like one.
fn version(value: &str) -> Option<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '.';
    let good = !value.is_empty() && value.len() <= 16 && value.chars().all(allowed);
    good.then(|| value.to_owned())
}

/// A page or file of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum To<'a> {
    Report(&'a Filter),
    Method,
    Dictionary,
    Quality,
    Data,
    /// Everything that is published of a day.
    Day(i64),
    /// The checksums of the files of days.
    Checksums,
    Style,
    /// The numbers of one figure: its id, its view, `csv` or `json`.
    Numbers(&'a str, &'a Filter, &'static str),
}

impl Site {
    /// Returns the address below the root of the site.
    pub(crate) fn path(self, to: &To<'_>) -> String {
        let page = |name: &str| match self {
            Self::Served => name.to_owned(),
            Self::Files => format!("{name}.html"),
        };
        match (to, self) {
            (To::Report(filter), Self::Served) => query(filter),
            (To::Report(filter), Self::Files) => match name(filter) {
                name if name.is_empty() => "index.html".to_owned(),
                name => format!("{name}.html"),
            },
            (To::Method, _) => page("method"),
            (To::Dictionary, _) => page("dictionary"),
            (To::Quality, _) => page("quality"),
            (To::Data, Self::Served) => "data/".to_owned(),
            (To::Data, Self::Files) => "data/index.html".to_owned(),
            (To::Day(day), _) => format!("data/{}", files::name(*day)),
            (To::Checksums, _) => "data/SHA256SUMS".to_owned(),
            (To::Style, _) => "style.css".to_owned(),
            (To::Numbers(id, filter, form), Self::Served) => {
                format!("figures/{id}.{form}{}", query(filter))
            }
            (To::Numbers(id, filter, form), Self::Files) => match name(filter) {
                name if name.is_empty() => format!("figures/{id}.{form}"),
                name => format!("figures/{name}/{id}.{form}"),
            },
        }
    }

    /// Returns the link from one page to another.
    pub(crate) fn link(self, from: &To<'_>, to: &To<'_>) -> String {
        let up = if matches!(from, To::Data) { "../" } else { "./" };
        format!("{up}{}", self.path(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_has_an_address_that_leads_back_to_it() {
        let versions = [None, Some("0.33".to_owned())];
        for mut filter in filters() {
            for version in versions.clone() {
                filter.version = version;
                assert_eq!(filter_of(query(&filter).trim_start_matches('?')), filter);
            }
        }
    }

    #[test]
    fn a_query_that_is_not_understood_shows_the_default() {
        let queries = ["", "engine=x&days=13&show=&version=<b>", "days=-1", "&&=&", "version=%3Cb"];
        for query in queries {
            assert_eq!(filter_of(query), Filter::default(), "{query}");
        }
    }

    #[test]
    fn every_filter_is_a_file_of_its_own() {
        let mut names: Vec<String> =
            filters().map(|filter| Site::Files.path(&To::Report(&filter))).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!((names.len(), all), (24, 24));
        assert!(names.contains(&"index.html".to_owned()), "{names:?}");
    }

    #[test]
    fn links_are_relative() {
        let filter = Filter { window: Window::Quarter, ..Filter::default() };
        assert_eq!(Site::Served.link(&To::Method, &To::Report(&filter)), "./?days=90");
        assert_eq!(Site::Served.link(&To::Data, &To::Method), "../method");
        assert_eq!(Site::Files.link(&To::Data, &To::Report(&filter)), "../90.html");
        let numbers = To::Numbers("dtype", &filter, "csv");
        assert_eq!(Site::Files.link(&To::Report(&filter), &numbers), "./figures/90/dtype.csv");
    }
}
