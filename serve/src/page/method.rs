//! The method: what is counted, and under which rules a number is published.

use maud::{Markup, html};

use super::address::{Site, To};
use super::figure::measure;
use super::shell::Shell;
use crate::questions::{Privacy, QUESTIONS, Question};

pub(crate) fn page(shell: &Shell) -> String {
    let to = |to: &To<'_>| shell.site.link(&To::Method, to);
    let markup = html! {
        div.intro {
            h1 { "How the numbers are made" }
            p {
                "Everything on these pages is counted by one program, whose source is public, from messages whose "
                a href=(to(&To::Dictionary)) { "fields are listed" } ". Nothing is extrapolated. Of a large network only a part is counted."
            }
        }
        div.text {
            h2 #engines { "What an engine is" }
            p {
                "An engine is one process that reported. It has a random number of its own, which no other process and "
                "no machine keeps, so a restart is a new engine. Three words say how long it lived:"
            }
            dl {
                dt { "Started" }
                dd { "It reported at least once. Tests, crashes and restarts are among these, so they say little." }
                dt { "Served" }
                dd { "It was heard of in at least six slots of ten minutes, or sent at least six messages at intervals (LMCache). The figures count these, but for the lives of engines and the starts before schema 1." }
                dt { "Steady" }
                dd { "It was heard of over seven days." }
            }
            p {
                "The messages of two contracts of LMCache carry no number of the engine. Its engines cannot be told apart or "
                "seen to serve, so only a total of their starts is published, under the same rules."
            }
            h2 #days { "What a day is" }
            p {
                "A day is a day of UTC. A message belongs to the day of its own clock if that clock is at most ten minutes "
                "ahead of this server and at most seven days behind; otherwise to the day of its arrival, "
                "and it is counted as skewed on " a href=(to(&To::Quality)) { "the page of quality" } "."
            }
            p {
                "A day is closed and published 48 hours after its end. Messages that arrive later change its "
                "published counts in a numbered correction, at most once a day. A correction never publishes a number that "
                "the close withheld, and waits until the late engines obey the rules by themselves."
            }
            (rules(&to(&To::Quality)))
            h2 #blind { "What the numbers cannot say" }
            ul {
                li { "How many engines do not report. Reporting can be switched off, and networks without a way out are silent." }
                li { "How many people or companies run engines. Nothing that is reported identifies either." }
                li { "Where engines run, but for the cloud provider that some of them name. Addresses are not kept." }
                li { "What one operator did from one day to the next. Each day obeys the rules for itself; the change between two days is protected by rounding only." }
                li { "Whether an engine is real. Engines that are made up in several networks can fill a cell, and their sender can subtract them again." }
                li { "How many accelerators exist: an engine reports the devices that it sees, and two engines may see the same." }
            }
            h2 #figures { "Each figure" }
            @for question in QUESTIONS { (figure(question)) }
            h2 #files { "Numbers as files" }
            p {
                "Each figure has its numbers as CSV and JSON, with the same rules: an empty cell or " code { "null" }
                " is a number that is not published. " a href=(to(&To::Data)) { "The page of data" } " has a file for each day."
                @if shell.site == Site::Served { " The address of a page holds all choices, so it can be sent to others." }
            }
        }
    };
    shell.page(&To::Method, "Method – usage of inference engines", &markup)
}

/// The rules of publication, in the words of a reader.
fn rules(quality: &str) -> Markup {
    html! {
        h2 #rules { "When a number is published" }
        ul {
            li { "At least 20 served engines stand behind it (a server may be told another number, never below 10), from at least three networks, and no network has more than half of them." }
            li { "A row that fails this joins " em { "other" } ", which obeys the same rule: if it fails too, the next smallest joins it. So no withheld number can be found by subtraction." }
            li {
                "A network counts as at most twenty engines, or as a fifteen-hundredth of all where that is more, and has at "
                "most the devices that so many engines of a typical (median) network have. Of late engines it counts a "
                "twentieth of that. So ten networks of made-up engines move no share by a point where 30,000 engines or more are counted. Where fewer are, "
                "they can move more, and " a href=(quality) { "the page of quality" } " says how much."
            }
            li { "If subtracting one table from another, such as the engines that served from those that started, would show a small group, the smaller table is withheld." }
            li { "Counts are rounded to five below one thousand, and to three digits above. Shares are made from rounded counts." }
            li { "Only these tables exist. There is no search, and no combination of filters beyond those offered." }
            li { "Text that engines report, such as the name of an accelerator, appears only as a number of a whole week, and never if it looks like a path, an address or a token." }
            li { "A network is known for a day, as 20 bits of a keyed hash whose key lives in memory. They are erased when the day closes; those of late engines, at the correction or after ten days. No address is stored, logged or measured." }
        }
    }
}

fn figure(question: &Question) -> Markup {
    let grain = match question.privacy() {
        Privacy::Closed => "a number for each day",
        Privacy::FreeText => "a number for each week, because engines write the text",
    };
    html! {
        h3 id=(question.id) { (question.title) }
        p { (question.sentence) }
        p.unit { (measure(question.unit)) " of " (question.denominator) "; " (grain) "." }
    }
}
