//! Reads requests from a connection, within limits.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

/// Longest head of a request, as most servers have it or less.
const HEAD_BYTES: usize = 64 * 1024;

/// Longest body of a request. A message has a few kB, and a batch of a collector some MB.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// Most header lines of a request.
const HEADERS: usize = 128;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, for example.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in small letters, values without spaces around them.
    pub headers: Vec<(String, String)>,
    /// The body, as it was sent: it may be compressed.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns the value of a header, by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client's connection, and what was read of the next request.
#[derive(Debug)]
pub struct Connection<'a> {
    pub(crate) stream: &'a TcpStream,
    unread: Vec<u8>,
}

impl<'a> Connection<'a> {
    /// Makes the reader of a connection from which nothing was read yet.
    pub const fn new(stream: &'a TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Reads the next request. Returns `None` if the client closed the connection before one.
    ///
    /// # Errors
    ///
    /// The connection breaks, or what arrives is no request within the limits.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let Some(mut request) = self.head()? else { return Ok(None) };
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = self.body(&request)?;
        Ok(Some(request))
    }

    /// Reads the head of the next request only.
    pub(crate) fn head(&mut self) -> io::Result<Option<Request>> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut parsed = httparse::Request::new(&mut headers);
            let end = parsed.parse(&self.unread).map_err(|error| no_request(&error.to_string()))?;
            if let httparse::Status::Complete(end) = end {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
                let request = Request {
                    method: parsed.method.unwrap_or_default().to_owned(),
                    path: parsed.path.unwrap_or_default().to_owned(),
                    headers: parsed
                        .headers
                        .iter()
                        .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
                        .collect(),
                    body: Vec::new(),
                };
                self.unread.drain(..end);
                return Ok(Some(request));
            }
            if self.unread.len() > HEAD_BYTES {
                return Err(no_request("its head is too long"));
            }
            if self.read()? == 0 {
                // Between two requests the client may go.
                return if self.unread.is_empty() { Ok(None) } else { Err(cut_off()) };
            }
        }
    }

    fn body(&mut self, head: &Request) -> io::Result<Vec<u8>> {
        let coding = head.header("transfer-encoding").unwrap_or_default();
        if coding.eq_ignore_ascii_case("chunked") {
            return self.chunks();
        }
        match head.header("content-length").map(str::parse) {
            None => Ok(Vec::new()),
            Some(Ok(length)) => self.take(length),
            Some(Err(_)) => Err(no_request("content-length is no number")),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = httparse::parse_chunk_size(&self.unread)
                .map_err(|_| no_request("the length of a chunk is no number"))?;
            let httparse::Status::Complete((start, size)) = size else {
                self.more()?;
                continue;
            };
            self.unread.drain(..start);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if body.len().saturating_add(size) > BODY_BYTES {
                return Err(no_request("its body is too long"));
            }
            if size == 0 {
                // Lines may follow it, of which none matters here.
                while self.line()? != b"\r\n" {}
                return Ok(body);
            }
            body.append(&mut self.take(size)?);
            self.take(2)?;
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                return self.take(end.saturating_add(1));
            }
            if self.unread.len() > HEAD_BYTES {
                return Err(no_request("a line is too long"));
            }
            self.more()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        if length > BODY_BYTES {
            return Err(no_request("its body is too long"));
        }
        while self.unread.len() < length {
            self.more()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    fn more(&mut self) -> io::Result<()> {
        if self.read()? == 0 { Err(cut_off()) } else { Ok(()) }
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut part = [0; 16 * 1024];
        let length = self.stream.read(&mut part)?;
        self.unread.extend_from_slice(part.get(..length).unwrap_or_default());
        Ok(length)
    }
}

fn no_request(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("this is no request: {why}"))
}

fn cut_off() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the client closed the connection in a request")
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener};

    use super::*;

    /// Sends bytes and returns the requests that are read, or the error after them.
    fn read(bytes: &[u8]) -> (Vec<Request>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(bytes).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let mut connection = Connection::new(&stream);
        let mut requests = Vec::new();
        loop {
            match connection.request() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => return (requests, String::new()),
                Err(error) => return (requests, error.to_string()),
            }
        }
    }

    #[test]
    fn requests_are_read_one_after_another_in_both_forms_of_a_body() {
        let (requests, error) = read(
            b"POST /a?b=c HTTP/1.1\r\nContent-Length: 3\r\nX:  y \r\n\r\nabc\
              POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;x\r\nf\r\n0\r\nT: u\r\n\r\n\
              GET / HTTP/1.1\r\n\r\n",
        );
        assert_eq!(error, "");
        let [first, second, third] = requests.try_into().unwrap();
        assert_eq!((first.method.as_str(), first.path.as_str()), ("POST", "/a?b=c"));
        assert_eq!((first.header("x"), first.text()), (Some("y"), "abc".to_owned()));
        assert_eq!(second.text(), "def");
        assert_eq!((third.method.as_str(), third.body.len()), ("GET", 0));
    }

    #[test]
    fn what_is_no_request_is_an_error_and_the_memory_is_bounded() {
        for (bytes, why) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], "invalid"),
            (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "no number"),
            (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", "too long"),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n", "too long"),
            (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", "closed"),
            (b"POST / HT", "closed"),
        ] {
            let (requests, error) = read(bytes);
            assert!(requests.is_empty() && error.contains(why), "{error}");
        }
        let endless = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 3 * HEAD_BYTES]].concat();
        assert!(read(&endless).1.contains("too long"));
    }
}
