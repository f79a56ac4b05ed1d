//! Receives the body of a request: its bytes, without compression and without the frame of gRPC.
//!
//! Every piece that is held is counted in the memory that all requests share. A request that finds no memory left
//! is answered "later".

use std::io::Read;

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, HeaderName};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Body;

use crate::answer::{Answer, Form};
use crate::config::Limits;
use crate::memory::Share;

/// The bytes that are decompressed at once.
const PIECE: usize = 64 * 1024;

/// The largest plain request that the runtime's threads decode, in a few milliseconds. It holds a collector's
/// usual batch of 100 to 200 records, for which a change of threads would cost more than it gives.
const SMALL: usize = 256 * 1024;

/// Most members of a gzip body. A sender that compresses in pieces has some; more are only work.
const MEMBERS: usize = 64;

/// The head of a message in gRPC: whether it is compressed, and its length.
const FRAME: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

/// A body as it arrived.
#[derive(Debug)]
pub(crate) struct Raw {
    bytes: Vec<u8>,
    coding: Coding,
    form: Form,
}

impl Coding {
    /// Returns the coding that the headers name, `None` if it is unknown. An empty name stands for no
    /// compression.
    pub(crate) fn of(headers: &HeaderMap, form: Form) -> Option<Self> {
        let header = if form == Form::Grpc { GRPC_ENCODING } else { CONTENT_ENCODING };
        let name = headers.get(header).map_or(Some(""), |value| value.to_str().ok())?.trim();
        let is = |word| name.eq_ignore_ascii_case(word);
        match () {
            () if name.is_empty() || is("identity") => Some(Self::Plain),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

impl Raw {
    /// Reads the body.
    pub(crate) async fn read(
        mut body: impl Body<Data = Bytes> + Unpin,
        coding: Coding,
        form: Form,
        limits: &Limits,
        share: &mut Share,
    ) -> Result<Self, Answer> {
        let largest = if coding == Coding::Plain {
            limits.decoded_bytes.min(limits.body_bytes)
        } else {
            limits.body_bytes
        };
        // A body is not read if its head announces too much.
        if body.size_hint().lower() > largest as u64 {
            return Err(Answer::too_large(largest));
        }
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let cut = |_| Answer::Undecodable("the body ends early".to_owned());
            let Ok(data) = frame.map_err(cut)?.into_data() else { continue };
            if bytes.len().saturating_add(data.len()) > largest {
                return Err(Answer::too_large(largest));
            }
            if !share.grow(data.len()) {
                return Err(Answer::full());
            }
            make_room(&mut bytes, data.len(), largest);
            bytes.extend_from_slice(&data);
        }
        Ok(Self { bytes, coding, form })
    }

    /// Returns whether the message can be read in a few milliseconds.
    pub(crate) const fn is_small(&self) -> bool {
        matches!(self.coding, Coding::Plain) && self.bytes.len() <= SMALL
    }

    /// Returns the message: decompressed, and without the frame of gRPC.
    pub(crate) fn message(self, limits: &Limits, share: &mut Share) -> Result<Vec<u8>, Answer> {
        let Self { mut bytes, mut coding, form } = self;
        if form == Form::Grpc {
            let wrong = || Answer::Undecodable("not one message of gRPC".to_owned());
            let (head, rest) = bytes.split_first_chunk::<FRAME>().ok_or_else(wrong)?;
            let [compressed, length @ ..] = *head;
            if u32::try_from(rest.len()) != Ok(u32::from_be_bytes(length)) || compressed > 1 {
                return Err(wrong());
            }
            if compressed == 0 {
                coding = Coding::Plain;
            } else if coding == Coding::Plain {
                return Err(Answer::Undecodable("compressed, and no encoding is named".to_owned()));
            }
            bytes.drain(..FRAME);
        }
        let message = match coding {
            Coding::Plain => return Ok(bytes),
            Coding::Gzip => gunzip(&bytes, limits, share)?,
            Coding::Zstd => unzstd(&bytes, limits, share)?,
        };
        share.shrink(bytes.len());
        Ok(message)
    }
}

fn gunzip(bytes: &[u8], limits: &Limits, share: &mut Share) -> Result<Vec<u8>, Answer> {
    // The last four bytes tell the length.
    let length = bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let mut message = room(u64::from(length), limits);
    let mut rest = bytes;
    // Each member costs a decoder, and an empty one has 20 bytes.
    for _ in 0..MEMBERS {
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        decompress(&mut decoder, &mut message, limits, share)?;
        rest = decoder.into_inner();
        if rest.is_empty() {
            return Ok(message);
        }
    }
    Err(Answer::broken())
}

fn unzstd(bytes: &[u8], limits: &Limits, share: &mut Share) -> Result<Vec<u8>, Answer> {
    let broken = |_| Answer::broken();
    // A frame that tells its size is refused before anything is read.
    let length = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten().unwrap_or(0);
    if length > limits.decoded_bytes as u64 {
        return Err(Answer::too_large(limits.decoded_bytes));
    }
    let mut decoder = zstd::Decoder::with_buffer(bytes).map_err(broken)?;
    // The sender chooses the window, for which the decoder takes memory. Every decoder has to take 8 MiB.
    let window = limits.decoded_bytes.max(8 << 20).next_power_of_two();
    decoder.window_log_max(window.trailing_zeros()).map_err(broken)?;
    let mut message = room(length, limits);
    decompress(decoder, &mut message, limits, share)?;
    Ok(message)
}

/// Makes room for `more` bytes. The buffer doubles, but not beyond its limit.
fn make_room(buffer: &mut Vec<u8>, more: usize, limit: usize) {
    let needed = buffer.len().saturating_add(more);
    if needed > buffer.capacity() {
        let doubled = buffer.capacity().saturating_mul(2).min(limit);
        buffer.reserve_exact(doubled.max(needed).saturating_sub(buffer.len()));
    }
}

/// Returns a buffer for the number of bytes that the sender promises.
fn room(length: u64, limits: &Limits) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(limits.decoded_bytes);
    // Memory that is not written to is not taken. The last piece finds the end.
    Vec::with_capacity(length.saturating_add(PIECE))
}

/// Appends what is decompressed to `message`.
fn decompress(
    mut from: impl Read,
    message: &mut Vec<u8>,
    limits: &Limits,
    share: &mut Share,
) -> Result<(), Answer> {
    loop {
        let before = message.len();
        make_room(message, PIECE, limits.decoded_bytes);
        let mut piece = (&mut from).take(PIECE as u64);
        piece.read_to_end(message).map_err(|_| Answer::broken())?;
        let more = message.len().saturating_sub(before);
        if more == 0 {
            return Ok(());
        }
        if message.len() > limits.decoded_bytes {
            return Err(Answer::too_large(limits.decoded_bytes));
        }
        if !share.grow(more) {
            return Err(Answer::full());
        }
    }
}
