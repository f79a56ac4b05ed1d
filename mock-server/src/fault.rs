//! The faults, and the words by which a command line names them.

use std::fmt;
use std::str::FromStr;

/// Each fault: its form on the command line, and what the server does.
pub const FAULTS: [(&str, &str); 19] = [
    ("ok", "no fault: answers 200 and keeps the connection"),
    (
        "hang-connect",
        "accepts no connection, as a server behind a firewall that drops packets; only alone",
    ),
    ("hang-accept", "accepts a connection and reads nothing"),
    ("hang-tls", "begins a TLS handshake and never completes it"),
    ("hang-head", "reads the head of a request and nothing more"),
    ("hang-body", "reads the whole request and never answers"),
    ("hang-answer", "stops in the middle of the body of its answer, whose status is 200"),
    ("slow[:BYTES]", "answers this many bytes a second [1]"),
    ("close", "closes the connection at once"),
    ("reset", "resets the connection in the middle of the head of its answer"),
    ("garbage", "answers with bytes that are not HTTP"),
    ("status:CODE[:TIME]", "answers with this status, and TIME (seconds or a date) as Retry-After"),
    ("length:long", "announces more bytes than it sends, and closes"),
    ("length:short", "sends more bytes than it announces: a second answer, to no request"),
    ("length:two", "announces two lengths"),
    ("length:word", "announces a length that is no number"),
    ("large[:BYTES]", "answers with a body of this size [10485760]"),
    ("large-head[:BYTES]", "answers with header lines of this size [10485760]"),
    ("continue", "answers `100 Continue` without end"),
];

/// The server's treatment of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Answers 200 to each request.
    Ok,
    /// Accepts no connection.
    HangConnect,
    /// Reads nothing.
    HangAccept,
    /// Begins a TLS handshake and stops.
    HangTls,
    /// Reads the head of a request and stops.
    HangHead,
    /// Reads a request and stops.
    HangBody,
    /// Stops in the middle of the answer.
    HangAnswer,
    /// Answers this many bytes a second.
    Slow(u32),
    /// Closes at once.
    Close,
    /// Resets the connection in the middle of the answer.
    Reset,
    /// Answers with bytes that are not HTTP.
    Garbage,
    /// Answers with a status, and a value of `Retry-After`.
    Status(u16, Option<String>),
    /// Announces a wrong length.
    Length(Length),
    /// Answers with a body of this many bytes.
    Large(u64),
    /// Answers with header lines of this many bytes.
    LargeHead(u64),
    /// Answers `100 Continue` without end.
    Continue,
}

/// A wrong length of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Length {
    /// Longer than the body.
    Long,
    /// Shorter than the body.
    Short,
    /// Two that differ.
    Two,
    /// No number.
    Word,
}

/// Size of a large answer, if none is given.
const LARGE: u64 = 10 * 1024 * 1024;

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, argument) = match text.split_once(':') {
            Some((name, argument)) => (name, Some(argument)),
            None => (text, None),
        };
        let number = |otherwise: u64| match argument.map(str::parse) {
            None => Ok(otherwise),
            Some(Ok(number)) if number > 0 => Ok(number),
            Some(_) => Err(format!("{text}: write a number of bytes after `{name}:`")),
        };
        let fault = match name {
            "slow" => {
                let bytes = u32::try_from(number(1)?);
                return bytes.map(Self::Slow).map_err(|error| format!("{text}: {error}"));
            }
            "large" => return number(LARGE).map(Self::Large),
            "large-head" => return number(LARGE).map(Self::LargeHead),
            "status" => return status(text, argument.unwrap_or_default()),
            "length" => {
                let length = match argument {
                    Some("long") => Length::Long,
                    Some("short") => Length::Short,
                    Some("two") => Length::Two,
                    Some("word") => Length::Word,
                    _ => return Err(format!("{text}: use length:long, short, two or word")),
                };
                return Ok(Self::Length(length));
            }
            "ok" => Self::Ok,
            "hang-connect" => Self::HangConnect,
            "hang-accept" => Self::HangAccept,
            "hang-tls" => Self::HangTls,
            "hang-head" => Self::HangHead,
            "hang-body" => Self::HangBody,
            "hang-answer" => Self::HangAnswer,
            "close" => Self::Close,
            "reset" => Self::Reset,
            "garbage" => Self::Garbage,
            "continue" => Self::Continue,
            _ => return Err(format!("{name} is no fault; --help lists them")),
        };
        match argument {
            None => Ok(fault),
            Some(_) => Err(format!("{text}: `{name}` takes nothing after it")),
        }
    }
}

fn status(text: &str, argument: &str) -> Result<Fault, String> {
    let (code, after) = match argument.split_once(':') {
        // A date has colons of its own.
        Some((code, after)) => (code, Some(after)),
        None => (argument, None),
    };
    if after.is_some_and(|after| after.contains(char::is_control)) {
        return Err(format!("{text:?}: the time must be one line"));
    }
    match code.parse() {
        Ok(code @ 200..=599) => Ok(Fault::Status(code, after.map(str::to_owned))),
        _ => Err(format!("{text}: write a status from 200 to 599, for example status:503:120")),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::HangConnect => f.write_str("hang-connect"),
            Self::HangAccept => f.write_str("hang-accept"),
            Self::HangTls => f.write_str("hang-tls"),
            Self::HangHead => f.write_str("hang-head"),
            Self::HangBody => f.write_str("hang-body"),
            Self::HangAnswer => f.write_str("hang-answer"),
            Self::Slow(bytes) => write!(f, "slow:{bytes}"),
            Self::Close => f.write_str("close"),
            Self::Reset => f.write_str("reset"),
            Self::Garbage => f.write_str("garbage"),
            Self::Status(code, None) => write!(f, "status:{code}"),
            Self::Status(code, Some(after)) => write!(f, "status:{code}:{after}"),
            Self::Length(Length::Long) => f.write_str("length:long"),
            Self::Length(Length::Short) => f.write_str("length:short"),
            Self::Length(Length::Two) => f.write_str("length:two"),
            Self::Length(Length::Word) => f.write_str("length:word"),
            Self::Large(bytes) => write!(f, "large:{bytes}"),
            Self::LargeHead(bytes) => write!(f, "large-head:{bytes}"),
            Self::Continue => f.write_str("continue"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_list_is_understood_and_named_as_it_is_given() {
        for (form, _) in FAULTS {
            let full = form.replace(['[', ']'], "").replace("CODE", "503").replace("BYTES", "7");
            let full = full.replace("TIME", "Wed, 21 Oct 2026 07:28:00 GMT");
            let fault: Fault = full.parse().unwrap();
            assert_eq!(fault.to_string(), full);
            let (short, _) = form.split_once('[').unwrap_or((form, ""));
            short.replace("CODE", "429").parse::<Fault>().unwrap();
        }
    }

    #[test]
    fn a_mistake_names_the_remedy() {
        for (text, remedy) in [
            ("hang", "--help"),
            ("", "--help"),
            ("status", "status:503:120"),
            ("status:99", "status:503:120"),
            ("status:200:1\r\nX: y", "one line"),
            ("slow:0", "a number"),
            ("slow:99999999999", "out of range"),
            ("large:x", "a number"),
            ("length:none", "long, short"),
            ("close:1", "nothing after"),
        ] {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }
}
