//! Every page and file of the site by its address, for the server and for static files alike.

use std::path::Path;

use super::address::{Site, To, filter_of};
use super::shell::{STYLE, Shell};
use super::source::Source;
use super::{data, dictionary, method, numbers, quality, report, today};
use crate::questions::{Filter, LIVE, QUESTIONS, Report, files};

/// The content at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// The media types of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Html,
    Css,
    Csv,
    Json,
    Text,
}

/// The pages of one listener or of one folder.
#[derive(Debug)]
pub(crate) struct Pages {
    site: Site,
    pub(crate) source: Source,
}

impl Pages {
    pub(crate) fn new(site: Site, data: &Path, internal: bool) -> Self {
        Self { site, source: Source::new(data, internal) }
    }

    /// Returns what stands at an address of the server, `None` if there is nothing.
    ///
    /// # Errors
    ///
    /// If the data file cannot be read.
    pub(crate) fn at(&self, path: &str, query: &str, now: i64) -> anyhow::Result<Option<Content>> {
        let mut filter = filter_of(query);
        if self.source.internal {
            filter.window = LIVE;
        }
        let to = match path {
            "/" => To::Report(&filter),
            "/method" => To::Method,
            "/dictionary" => To::Dictionary,
            "/quality" => To::Quality,
            "/data/" => To::Data,
            "/data/SHA256SUMS" => To::Checksums,
            "/style.css" => To::Style,
            other => match other.strip_prefix("/figures/").and_then(|name| name.rsplit_once('.')) {
                Some((id, "csv")) => To::Numbers(id, &filter, "csv"),
                Some((id, "json")) => To::Numbers(id, &filter, "json"),
                _ => match self.day(path)? {
                    Some(day) => To::Day(day),
                    None => return Ok(None),
                },
            },
        };
        self.to(&to, now)
    }

    /// Returns the versions that a view may be limited to.
    pub(crate) fn versions(&self, now: i64) -> anyhow::Result<Vec<String>> {
        Ok(self.source.report(&Filter::default(), now)?.versions)
    }

    /// Makes a page or file.
    pub(crate) fn to(&self, to: &To<'_>, now: i64) -> anyhow::Result<Option<Content>> {
        match to {
            To::Numbers(id, ..) if !QUESTIONS.iter().any(|question| question.id == *id) => Ok(None),
            To::Report(filter) | To::Numbers(_, filter, _) => {
                self.of(&self.source.report(filter, now)?, filter, to)
            }
            To::Data => {
                let filter = Filter::default();
                self.of(&self.source.report(&filter, now)?, &filter, to)
            }
            To::Day(day) => {
                let text = self.source.read(|connection| files::file(connection, *day))?;
                Ok(text.map(|text| Content { kind: Kind::Csv, text }))
            }
            To::Checksums => {
                let text = self.source.checksums()?;
                Ok(Some(Content { kind: Kind::Text, text }))
            }
            To::Quality => Ok(html(quality::page(&self.shell(now), &self.source.quality(now)?))),
            To::Method => Ok(html(method::page(&self.shell(now)))),
            To::Dictionary => Ok(html(dictionary::page(&self.shell(now)))),
            To::Style => Ok(Some(Content { kind: Kind::Css, text: STYLE.to_owned() })),
        }
    }

    /// Makes a page or file that shows this report.
    pub(crate) fn of(
        &self,
        shown: &Report,
        filter: &Filter,
        to: &To<'_>,
    ) -> anyhow::Result<Option<Content>> {
        let shell = self.shell(shown.generated);
        match to {
            To::Numbers(id, _, form) => numbers::of(shown, id, form),
            To::Data => Ok(html(data::page(&shell, shown, &self.days()?))),
            _ => {
                let heard = if shell.internal {
                    let now = shown.generated;
                    self.source.read(|connection| Ok(today::read(connection, now)?))?
                } else {
                    Vec::new()
                };
                Ok(html(report::page(&shell, filter, shown, &heard)))
            }
        }
    }

    pub(crate) fn report(&self, filter: &Filter, now: i64) -> anyhow::Result<Report> {
        self.source.report(filter, now)
    }

    /// Returns the days that have a file, the newest first.
    pub(crate) fn days(&self) -> anyhow::Result<Vec<i64>> {
        self.source.read(files::days)
    }

    /// Returns the day whose file has this path.
    fn day(&self, path: &str) -> anyhow::Result<Option<i64>> {
        let Some(name) = path.strip_prefix("/data/") else { return Ok(None) };
        Ok(self.days()?.into_iter().find(|day| files::name(*day) == name))
    }

    const fn shell(&self, now: i64) -> Shell {
        Shell { site: self.site, internal: self.source.internal, now }
    }
}

fn html(text: String) -> Option<Content> {
    Some(Content { kind: Kind::Html, text })
}
