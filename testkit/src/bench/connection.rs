//! A connection that costs little: whatever the client takes, the server does not get.

use std::io;
use std::net::SocketAddr;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How much is read at once.
const READ: usize = 64 * 1024;

/// A keep-alive connection that sends ready-made requests.
#[derive(Debug)]
pub(crate) struct Connection<S = TcpStream> {
    stream: S,
    /// What was read; the first `used` bytes belong to the answer before.
    buffer: Vec<u8>,
    used: usize,
}

/// An answer whose body came whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// A request with a JSON body to the JSON-RPC address.
pub(crate) fn post(body: &str) -> Vec<u8> {
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

struct Head {
    status: u16,
    /// `None`: the body comes in chunks.
    length: Option<usize>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection that is open already.
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ), used: 0 }
    }

    /// Sends some bytes, whole requests or not.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        // What TLS still holds back; nothing else does.
        self.stream.flush().await
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.write(request).await?;
        self.answer().await
    }

    /// Reads an answer of a known length.
    pub(crate) async fn answer(&mut self) -> io::Result<Answer<'_>> {
        let head = self.head().await?;
        let length = head.length.ok_or_else(|| malformed("the body has no length"))?;
        while self.buffer.len() < self.used + length {
            self.read().await?;
        }
        let body = self.used..self.used + length;
        self.used = body.end;
        Ok(Answer { status: head.status, body: &self.buffer[body] })
    }

    /// Sends a request and shows the pieces of a body in chunks as they come, until it ends or
    /// `show` answers `false`.
    pub(crate) async fn stream(
        &mut self,
        request: &[u8],
        mut show: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<u16> {
        self.write(request).await?;
        let head = self.head().await?;
        if let Some(length) = head.length {
            while self.buffer.len() < self.used + length {
                self.read().await?;
            }
            show(&self.buffer[self.used..self.used + length]);
            self.used += length;
            return Ok(head.status);
        }
        loop {
            let size = loop {
                let unread = &self.buffer[self.used..];
                if let Some(end) = memchr::memchr(b'\n', unread) {
                    let size = size(&unread[..end])?;
                    self.used += end + 1;
                    break size;
                }
                self.read().await?;
            };
            let mut left = size;
            let mut goes_on = true;
            while left > 0 {
                let there = left.min(self.buffer.len() - self.used);
                if there == 0 {
                    self.read().await?;
                    continue;
                }
                goes_on &= show(&self.buffer[self.used..self.used + there]);
                self.used += there;
                left -= there;
            }
            // The line end after the chunk, or after the last one: no trailers are expected.
            while self.buffer.len() < self.used + 2 {
                self.read().await?;
            }
            self.used += 2;
            if size == 0 || !goes_on {
                return Ok(head.status);
            }
        }
    }

    async fn head(&mut self) -> io::Result<Head> {
        if self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        }
        let mut looked = 0;
        loop {
            let unread = &self.buffer[self.used..];
            if let Some(end) = memmem::find(&unread[looked..], b"\r\n\r\n") {
                let end = looked + end;
                let head = parse(&unread[..end + 2])?;
                self.used += end + 4;
                return Ok(head);
            }
            looked = unread.len().saturating_sub(3);
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        if self.buffer.capacity() - self.buffer.len() < READ / 2 {
            if self.used > 0 {
                self.buffer.drain(..self.used);
                self.used = 0;
            }
            self.buffer.reserve(READ);
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

const LENGTH: &[u8] = b"\r\ncontent-length: ";

/// Reads what matters of a head. hyper writes the names of headers in lower case.
fn parse(head: &[u8]) -> io::Result<Head> {
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    let status = status.and_then(|digits| digits.parse().ok());
    let status = status.ok_or_else(|| malformed("no status"))?;
    let length = match memmem::find(head, LENGTH) {
        Some(at) => Some(number(&head[at + LENGTH.len()..], 10)?),
        None if memmem::find(head, b"\r\ntransfer-encoding: chunked").is_some() => None,
        None => Some(0),
    };
    Ok(Head { status, length })
}

fn size(line: &[u8]) -> io::Result<usize> {
    number(line, 16)
}

/// The number that `text` begins with.
fn number(text: &[u8], radix: u32) -> io::Result<usize> {
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let digits = text.iter().take_while(is_digit).count();
    let digits = std::str::from_utf8(&text[..digits]).map_err(malformed)?;
    usize::from_str_radix(digits, radix).map_err(malformed)
}

fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each of `answers` with a pause inside, so that nothing comes in one piece.
    async fn canned(answers: Vec<&'static str>) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let mut request = [0; 1024];
            for answer in answers {
                if stream.read(&mut request).await? == 0 {
                    break;
                }
                for piece in answer.as_bytes().chunks(7) {
                    stream.write_all(piece).await?;
                    tokio::task::yield_now().await;
                }
            }
            io::Result::Ok(())
        });
        Ok(address)
    }

    #[tokio::test]
    async fn answers_follow_each_other_whole_or_in_chunks() -> io::Result<()> {
        let address = canned(vec![
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nab\n\n\r\n1F\r\n0123456789012345678901234567890\r\n0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\n\r\n",
        ])
        .await?;
        let mut connection = Connection::open(address).await?;
        let answer = connection.exchange(&get("/")).await?;
        assert_eq!((answer.status, answer.body), (200, &b"hello"[..]));
        let mut body = Vec::new();
        let status = connection
            .stream(&post("{}"), |piece| {
                body.extend_from_slice(piece);
                true
            })
            .await?;
        assert_eq!((status, body), (200, b"ab\n\n0123456789012345678901234567890".to_vec()));
        let answer = connection.exchange(&get("/")).await?;
        assert_eq!((answer.status, answer.body), (304, &b""[..]));
        assert!(connection.exchange(&get("/")).await.is_err());
        Ok(())
    }
}
