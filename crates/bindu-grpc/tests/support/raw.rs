//! A peer that speaks HTTP/2 byte by byte, so that it can break every rule.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bindu_grpc::calls::Callback;
use bindu_grpc::proto::HandleResponse;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the peer does with each connection.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Takes the connection and never says a word.
    Silent,
    /// Answers as if it were a web server of old.
    Http1,
    /// Closes each connection as soon as it is there.
    CloseAtOnce,
    /// Reads a whole request, sends these frames for it, and goes on with the next.
    Frames(Vec<u8>),
    /// Reads a whole request, sends these frames, and closes.
    FramesThenClose(Vec<u8>),
}

/// A listening peer.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Peer {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = (Arc::clone(&connections), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                counted.0.fetch_add(1, Ordering::SeqCst);
                serving.spawn(serve(tcp, script.clone(), Arc::clone(&counted.1)));
            }
        });
        Self { address, connections, requests, task }
    }

    pub(crate) fn callback(&self) -> Callback {
        self.address.to_string().parse().unwrap()
    }

    /// How many connections came.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many whole requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut tcp: TcpStream, script: Script, requests: Arc<AtomicUsize>) {
    match script {
        Script::CloseAtOnce => {}
        Script::Silent => {
            let mut sink = [0; 1024];
            while matches!(tcp.read(&mut sink).await, Ok(1..)) {}
        }
        Script::Http1 => {
            let mut preface = [0; 24];
            if tcp.read_exact(&mut preface).await.is_ok() {
                _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
        Script::Frames(frames) => while answer(&mut tcp, &frames, &requests).await {},
        Script::FramesThenClose(frames) => {
            answer(&mut tcp, &frames, &requests).await;
        }
    }
}

/// Reads to the end of one request and writes the frames. The preface of the connection is read
/// like a frame: its first bytes are no length that could be meant.
async fn answer(tcp: &mut TcpStream, frames: &[u8], requests: &AtomicUsize) -> bool {
    loop {
        let mut head = [0; 9];
        if tcp.read_exact(&mut head).await.is_err() {
            return false;
        }
        if &head == b"PRI * HTT" {
            let mut rest = [0; 15];
            if tcp.read_exact(&mut rest).await.is_err()
                || tcp.write_all(&frame(SETTINGS, 0, 0, &[])).await.is_err()
            {
                return false;
            }
            continue;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        if tcp.read_exact(&mut payload).await.is_err() {
            return false;
        }
        let (kind, flags) = (head[3], head[4]);
        if kind == SETTINGS && flags & ACK == 0 {
            _ = tcp.write_all(&frame(SETTINGS, ACK, 0, &[])).await;
        }
        if kind == DATA && flags & END_STREAM != 0 {
            requests.fetch_add(1, Ordering::SeqCst);
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            return tcp.write_all(&renumbered(frames, stream)).await.is_ok();
        }
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Frames of stream 1, for another stream.
fn renumbered(frames: &[u8], stream: u32) -> Vec<u8> {
    let mut out = frames.to_vec();
    let mut at = 0;
    while at + 9 <= out.len() {
        if out[at + 5..at + 9] != [0; 4] {
            out[at + 5..at + 9].copy_from_slice(&stream.to_be_bytes());
        }
        let length = u32::from_be_bytes([0, out[at], out[at + 1], out[at + 2]]);
        at += 9 + usize::try_from(length).unwrap();
    }
    out
}

fn literal(name: &str, value: &[u8]) -> Vec<u8> {
    // Without indexing, a new name, nothing compressed (RFC 7541, section 6.2.2).
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.as_bytes());
    assert!(value.len() < 127, "longer lengths take several bytes");
    field.push(u8::try_from(value.len()).unwrap());
    field.extend(value);
    field
}

/// `:status: 200` and these fields.
pub(crate) fn head(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = vec![0x88];
    block.extend(fields.iter().flat_map(|(name, value)| literal(name, value)));
    frame(HEADERS, END_HEADERS, 1, &block)
}

/// `:status: 200` and these fields, and nothing after it.
pub(crate) fn only(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut frame = head(fields);
    frame[4] |= END_STREAM;
    frame
}

/// These fields, and the end of the stream.
pub(crate) fn trailers(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
}

/// The head of an answer in gRPC.
pub(crate) fn grpc_head() -> Vec<u8> {
    head(&[("content-type", b"application/grpc")])
}

pub(crate) fn data(payload: &[u8]) -> Vec<u8> {
    frame(DATA, 0, 1, payload)
}

/// A response with the prefix of gRPC.
pub(crate) fn message(content: &str) -> Vec<u8> {
    let encoded =
        HandleResponse { content: content.into(), ..HandleResponse::default() }.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    framed.extend(encoded);
    framed
}

pub(crate) fn reset(code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 1, &code.to_be_bytes())
}

/// The last stream that was looked at, and why there will be no more.
pub(crate) fn go_away(last: u32, code: u32) -> Vec<u8> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend(code.to_be_bytes());
    frame(GOAWAY, 0, 0, &payload)
}
