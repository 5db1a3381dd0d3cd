//! Callers who do as they should not. What they get is their affair, as long as it is no 5xx and
//! comes to an end.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::polite::{call, message};
use super::site::{HEAD_TIMEOUT, MAX_BODY, Site};
use super::tally::Tally;
use crate::bench::Connection;

/// How long an answer to nonsense may take before it counts as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// How deep JSON goes that is deeper than anybody needs.
const DEEP: usize = 20_000;

/// Reads a stream as through a straw, then what is left of it: the agent must not have waited, and
/// must have said so.
pub(super) async fn read_slowly(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    while Instant::now() < end {
        let said = match timeout(PATIENCE, sip(&site)).await {
            Ok(Ok(said)) if said.contains("fell behind") => Ok(()),
            Ok(Ok(said)) => Err(format!("nobody said so: {:?}", said.len())),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the stream has no end".to_owned()),
        };
        tally.note("slow readers told that they fell behind", said);
    }
}

async fn sip(site: &Site) -> io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(site.address).await?;
    stream
        .write_all(&call("message/stream", &json!({ "message": message("stream 4000") })))
        .await?;
    let mut buffer = [0; 512];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        if stream.read(&mut buffer).await? == 0 {
            return Ok(String::new());
        }
        sleep(Duration::from_millis(25)).await;
    }
    // The end of the last chunk of the body.
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n0\r\n\r\n") && stream.read_buf(&mut rest).await? > 0 {}
    Ok(String::from_utf8_lossy(&rest).into_owned())
}

/// Leaves in the middle of a request, or right after it.
pub(super) async fn leave_a_request(
    site: Arc<Site>,
    tally: Arc<Tally>,
    end: Instant,
    number: usize,
) {
    let mut round = number;
    while Instant::now() < end {
        round += 1;
        let request = call("message/send", &json!({ "message": message("sleep 50") }));
        // The whole of it every fourth time: the task is accepted, and nobody hears of it.
        let sent = &request[..request.len() * (round % 4 + 1) / 4];
        let left = async {
            let mut stream = TcpStream::connect(site.address).await?;
            stream.write_all(sent).await?;
            sleep(Duration::from_millis(5)).await;
            if round.is_multiple_of(2) {
                // With a reset instead of an end.
                stream.set_zero_linger()?;
            }
            io::Result::Ok(())
        };
        tally.note("requests left", left.await.map_err(|error| error.to_string()));
        sleep(Duration::from_millis(5)).await;
    }
}

/// Leaves a stream after its first piece.
pub(super) async fn leave_a_stream(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    while Instant::now() < end {
        let request = call("message/stream", &json!({ "message": message("stream 500") }));
        let left = async {
            let mut connection = Connection::open(site.address).await?;
            connection.stream(&request, |_| false).await
        };
        tally.note("streams left", left.await.map(drop).map_err(|error| error.to_string()));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Sends bodies larger than they may be, with and without saying so first.
pub(super) async fn send_too_much(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    const HEAD: &str = "POST / HTTP/1.1\r\nhost: localhost\r\n";
    let announced = format!("{HEAD}content-length: {}\r\n\r\n", 4 * MAX_BODY);
    let in_chunks = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{:x}\r\n", 4 * MAX_BODY);
    while Instant::now() < end {
        for head in [&announced, &in_chunks] {
            let mut request = head.clone().into_bytes();
            request.resize(request.len() + 4 * MAX_BODY, b' ');
            let refused = match told(&site, &request).await {
                // The connection may be gone before the answer is read: enough was said.
                Ok(None | Some(413)) => Ok(()),
                other => Err(format!("{other:?}")),
            };
            tally.note("bodies too large", refused);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends bodies that are no requests.
pub(super) async fn send_nonsense(site: Arc<Site>, tally: Arc<Tally>, end: Instant, seed: usize) {
    let mut chance = Chance(seed as u64 + 1);
    while Instant::now() < end {
        let body = nonsense(&mut chance);
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(&body);
        let answered = match told(&site, &request).await {
            Ok(Some(200 | 400 | 404)) => Ok(()),
            other => Err(format!("{other:?} to {}", String::from_utf8_lossy(&body))),
        };
        tally.note("bodies of nonsense", answered);
        sleep(Duration::from_millis(5)).await;
    }
}

fn nonsense(chance: &mut Chance) -> Vec<u8> {
    const FIXED: [&[u8]; 12] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe\x00",
        b"{\"jsonrpc\":\"2.0\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1e999,\"method\":\"tasks/get\",\"params\":{}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"tasks/get\",\"params\":{\"id\":\"x\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/get\",\"params\":{\"id\":\"\\u0000\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tasks/get\",\"params\":{\"id\":\"\\ud800\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"message/send\",\"params\":[1,2,3]}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\",\"params\":null}",
    ];
    let which = chance.below(FIXED.len() + 6);
    if let Some(fixed) = FIXED.get(which) {
        return fixed.to_vec();
    }
    let mut body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "message/send",
        "params": { "message": message("hello"), "configuration": { "blocking": true } },
    })
    .to_string()
    .into_bytes();
    match which - FIXED.len() {
        0 => "[".repeat(DEEP).into_bytes(),
        1 => {
            let deep = format!("{}1{}", "[".repeat(DEEP), "]".repeat(DEEP));
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{deep}}}"#).into()
        }
        2 => {
            body.truncate(chance.below(body.len()));
            body
        }
        _ => {
            // Some wrong bytes in a right message.
            for _ in 0..=chance.below(4) {
                let at = chance.below(body.len());
                body[at] = chance.byte();
            }
            body
        }
    }
}

/// Sends heads that are none.
pub(super) async fn send_bad_heads(site: Arc<Site>, tally: Arc<Tally>, end: Instant, _: usize) {
    let long = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-many: a\r\n".repeat(300));
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    let heads: [&[u8]; 11] = [
        b"NONSENSE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-zero: \0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense, and enough of it to be several frames of it",
        long.as_bytes(),
        many.as_bytes(),
        path.as_bytes(),
    ];
    while Instant::now() < end {
        for head in heads {
            let answered = match told(&site, head).await {
                Ok(None | Some(100..500 | 505)) => Ok(()),
                other => {
                    let start = String::from_utf8_lossy(&head[..head.len().min(60)]).into_owned();
                    Err(format!("{other:?} to {start:?}"))
                }
            };
            tally.note("heads of nonsense", answered);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a head that never ends, as slowly as it can; the agent must hang up.
pub(super) async fn never_finish_a_head(
    site: Arc<Site>,
    tally: Arc<Tally>,
    end: Instant,
    _: usize,
) {
    while Instant::now() < end {
        tally.note("heads without end", drip(&site).await);
    }
}

async fn drip(site: &Site) -> Result<(), String> {
    let begun = Instant::now();
    let Ok(mut stream) = TcpStream::connect(site.address).await else {
        return Err("no connection".into());
    };
    let (mut reader, mut writer) = stream.split();
    let mut said = [0; 256];
    let hung_up = async { while reader.read(&mut said).await.is_ok_and(|read| read > 0) {} };
    let writing = async {
        let mut line = "GET / HTTP/1.1\r\nhost: x\r\n";
        while writer.write_all(line.as_bytes()).await.is_ok() {
            line = "x-more: and more\r\n";
            sleep(Duration::from_millis(100)).await;
        }
    };
    let ended = async {
        tokio::select! { () = hung_up => {} () = writing => {} }
    };
    match timeout(HEAD_TIMEOUT + PATIENCE, ended).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("the agent still listens after {:?}", begun.elapsed())),
    }
}

/// Sends some bytes on a connection of their own and reads until the other side is done; the
/// status of what came first, if anything did.
async fn told(site: &Site, bytes: &[u8]) -> io::Result<Option<u16>> {
    let exchange = async {
        let mut stream = TcpStream::connect(site.address).await?;
        let (mut reader, mut writer) = stream.split();
        let mut answer = Vec::new();
        let write = async {
            // The agent may stop reading at any point: then it is the answer that counts. Nothing
            // is shut down here: whoever does that takes the request back.
            let _ = writer.write_all(bytes).await;
        };
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                if answer.len() < 64 {
                    answer.extend_from_slice(&buffer[..read]);
                }
            }
        };
        tokio::join!(write, read);
        let digits = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        io::Result::Ok(digits.and_then(|digits| digits.parse().ok()))
    };
    timeout(PATIENCE, exchange).await.map_err(io::Error::other)?
}

/// Numbers that are the same in every run: enough to choose nonsense by.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }
}
