//! HTTP by hand: what goes over the socket is written here.
//!
//! Requests say HTTP/1.0, so that an answer ends with its connection and needs no unchunking.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use crate::served::{Result, within};

/// An answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

/// One thing that an event stream says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Comment(String),
    Event { id: Option<u64>, data: Value },
}

/// An answer whose body is read as it comes.
pub(crate) struct Open {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    stream: BufReader<TcpStream>,
}

/// Sends a request and waits for the head of the answer. A receive buffer of `buffer` bytes makes
/// a slow reader.
pub(crate) async fn open(
    address: SocketAddr,
    head: &str,
    body: &[u8],
    buffer: Option<u32>,
) -> Result<Open> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut stream = within(socket.connect(address)).await?;
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let mut request = format!("{line} HTTP/1.0\r\nHost: {address}\r\n");
    for field in fields.lines() {
        request.push_str(field.trim());
        request.push_str("\r\n");
    }
    if !body.is_empty() {
        write!(request, "Content-Length: {}\r\n", body.len())?;
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    // A server that refuses early may not read all of it.
    let _ = stream.write_all(body).await;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    within(stream.read_line(&mut line)).await?;
    let status = line.split(' ').nth(1).ok_or("no status line")?.parse()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        within(stream.read_line(&mut line)).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Open { status, headers, stream })
}

/// Sends a request and waits for the whole answer.
pub(crate) async fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Result<Answer> {
    let mut answer = open(address, head, body, None).await?;
    let mut body = Vec::new();
    within(answer.stream.read_to_end(&mut body)).await?;
    Ok(Answer { status: answer.status, headers: answer.headers, body })
}

impl Open {
    /// The next thing that an event stream says; `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Said>> {
        let (mut id, mut data) = (None, None);
        loop {
            let mut line = String::new();
            if within(self.stream.read_line(&mut line)).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            if line.is_empty() {
                if let Some(data) = data {
                    return Ok(Some(Said::Event { id, data }));
                }
            } else if let Some(comment) = line.strip_prefix(':') {
                return Ok(Some(Said::Comment(comment.trim().to_owned())));
            } else if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.parse()?);
            } else if let Some(value) = line.strip_prefix("data: ") {
                data = Some(serde_json::from_str(value)?);
            } else {
                return Err(format!("an unknown line: {line}").into());
            }
        }
    }

    /// All events until the end, without comments.
    pub(crate) async fn events(&mut self) -> Result<Vec<(Option<u64>, Value)>> {
        let mut events = Vec::new();
        while let Some(said) = self.next().await? {
            if let Said::Event { id, data } = said {
                events.push((id, data));
            }
        }
        Ok(events)
    }
}
