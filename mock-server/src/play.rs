//! Plays one fault on one connection.

use std::io::{self, Read as _, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::fault::{Fault, Length};
use crate::request::{Connection, Request};

/// Time for which a connection hangs. No client of interest waits longer, and each has a thread here.
pub(crate) const HOLD: Duration = Duration::from_secs(600);

/// A second answer, which a client must not take for that to its next request.
const SECOND: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Returns an answer without a body. `lines` are header lines, each with its end.
pub fn status(code: u16, lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 {code} X\r\n{lines}Content-Length: 0\r\n\r\n").into_bytes()
}

/// Returns an answer of status 200 with this body.
pub fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Counts the bytes that the client's side accepted.
struct Counted<'a> {
    stream: &'a TcpStream,
    sent: &'a mut u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.stream.write(bytes)?;
        *self.sent = self.sent.saturating_add(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Plays `fault` until the connection ends. Counts in `sent` what was answered.
pub(crate) fn play(
    stream: &TcpStream,
    fault: &Fault,
    sent: &mut u64,
    mut take: impl FnMut(Request),
) -> io::Result<()> {
    // A byte that is sent alone would otherwise wait for the next.
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(HOLD))?;
    let mut connection = Connection::new(stream);
    let mut out = Counted { stream, sent };
    match fault {
        Fault::Ok => {
            while let Some(request) = connection.request()? {
                let close = request
                    .header("connection")
                    .is_some_and(|value| value.eq_ignore_ascii_case("close"));
                take(request);
                // In one write: in several, the second would wait for the client's delayed acknowledgement of
                // the first, 40 ms.
                out.write_all(&status(200, ""))?;
                if close {
                    break;
                }
            }
            return Ok(());
        }
        // The server accepts no connection to play it on.
        Fault::Close | Fault::HangConnect => return Ok(()),
        Fault::HangAccept => {
            thread::sleep(HOLD);
            return Ok(());
        }
        Fault::HangTls => {
            wait_for_a_byte(stream)?;
            // The head of a record, and the beginning of the server's hello.
            out.write_all(&[22, 3, 3, 0, 122, 2, 0, 0, 118, 3, 3])?;
            thread::sleep(HOLD);
            return Ok(());
        }
        Fault::HangHead => {
            connection.head()?;
            thread::sleep(HOLD);
            return Ok(());
        }
        Fault::Reset => {
            wait_for_a_byte(stream)?;
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Le")?;
            // The client sees the beginning first.
            thread::sleep(Duration::from_millis(20));
            // Unread bytes make the system reset the connection when it is closed.
            return Ok(());
        }
        _ => {}
    }
    let Some(request) = connection.request()? else { return Ok(()) };
    take(request);
    match fault {
        Fault::HangAnswer => out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")?,
        Fault::Slow(bytes) => {
            for part in status(200, "").chunks(usize::try_from(*bytes).unwrap_or(usize::MAX).max(1))
            {
                out.write_all(part)?;
                thread::sleep(Duration::from_secs(1));
            }
        }
        Fault::Garbage => out.write_all(b"\0\x01\x02 200 OK\r\n\r\n\xff\xfe")?,
        Fault::Status(code, after) => {
            let after = after.as_ref().map(|after| format!("Retry-After: {after}\r\n"));
            let lines = format!("Connection: close\r\n{}", after.unwrap_or_default());
            return out.write_all(&status(*code, &lines));
        }
        Fault::Length(length) => {
            let text = match length {
                Length::Long => "Content-Length: 100\r\n\r\n{}",
                Length::Short => "Content-Length: 0\r\n\r\n",
                Length::Two => "Content-Length: 0\r\nContent-Length: 2\r\n\r\n{}",
                Length::Word => "Content-Length: two\r\n\r\n{}",
            };
            let mut all = format!("HTTP/1.1 200 OK\r\n{text}").into_bytes();
            if *length == Length::Short {
                all.extend_from_slice(SECOND);
                out.write_all(&all)?;
                // A client that keeps the connection sends its next request here, which is not answered.
                return drained(&mut connection, take);
            }
            return out.write_all(&all);
        }
        Fault::Large(bytes) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
            out.write_all(head.as_bytes())?;
            io::copy(&mut io::repeat(b'x').take(*bytes), &mut out)?;
        }
        Fault::LargeHead(bytes) => {
            out.write_all(b"HTTP/1.1 200 OK\r\n")?;
            let line = format!("X: {}\r\n", "x".repeat(1000));
            let end = out.sent.saturating_add(*bytes);
            while *out.sent < end {
                out.write_all(line.as_bytes())?;
            }
            out.write_all(b"Content-Length: 0\r\n\r\n")?;
        }
        Fault::Continue => loop {
            out.write_all(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10))?;
            // It shows as much as a flood, and costs the other tests nothing.
            thread::sleep(Duration::from_millis(1));
        },
        _ => {}
    }
    drained(&mut connection, take)
}

/// Reads until the client goes, and answers nothing.
fn drained(connection: &mut Connection<'_>, mut take: impl FnMut(Request)) -> io::Result<()> {
    connection.stream.set_read_timeout(Some(HOLD))?;
    while let Some(request) = connection.request()? {
        take(request);
    }
    Ok(())
}

fn wait_for_a_byte(mut stream: &TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0])
}
