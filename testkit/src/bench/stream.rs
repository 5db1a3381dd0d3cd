//! Reading event streams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::connection::Connection;
use super::load::Count;

/// Counts events in a body that comes in pieces: each ends with an empty line.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) count: u64,
    /// Whether the last byte was a line end.
    after_line: bool,
}

impl Events {
    pub(super) fn read(&mut self, piece: &[u8]) {
        // A line end right after another; the first of a piece may follow that of the one before.
        let mut next = if self.after_line { 0 } else { usize::MAX };
        for at in memchr::memchr_iter(b'\n', piece) {
            if at == next {
                self.count += 1;
            }
            next = at + 1;
        }
        self.after_line = piece.last().map_or(self.after_line, |last| *last == b'\n');
    }
}

/// Reads streams on so many connections for some time; counts events.
pub(super) async fn read(
    address: SocketAddr,
    request: Arc<[u8]>,
    connections: usize,
    least: u64,
    time: Duration,
) -> io::Result<Count> {
    let mut reading = JoinSet::new();
    let begun = Instant::now();
    for _ in 0..connections {
        let request = Arc::clone(&request);
        reading.spawn(async move {
            let mut connection = Connection::open(address).await?;
            let mut count = 0;
            while begun.elapsed() < time {
                count += one(&mut connection, &request, least).await?;
            }
            io::Result::Ok(count)
        });
    }
    let mut count = Count::default();
    while let Some(read) = reading.join_next().await {
        count.done += read.map_err(io::Error::other)??;
    }
    count.took = begun.elapsed();
    Ok(count)
}

/// Reads one stream to its end; says how many events it had.
pub(super) async fn one(
    connection: &mut Connection,
    request: &[u8],
    least: u64,
) -> io::Result<u64> {
    let mut events = Events::default();
    let mut said = Vec::new();
    let read = |piece: &[u8]| {
        events.read(piece);
        if events.count == 0 {
            said.extend_from_slice(piece);
        }
        true
    };
    let status = connection.stream(request, read).await?;
    if status == 200 && events.count >= least {
        return Ok(events.count);
    }
    let said = String::from_utf8_lossy(&said);
    Err(io::Error::other(format!(
        "a stream of status {status} and {} events: {said}",
        events.count
    )))
}

/// The bytes of one stream.
pub(super) async fn record(address: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    let mut bytes = Vec::new();
    let read = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        true
    };
    connection.stream(request, read).await?;
    Ok(bytes)
}

/// How long one stream after the other takes on one connection, from the request to the end of
/// its last event; sorted.
pub(super) async fn latencies(
    address: SocketAddr,
    request: &[u8],
    least: u64,
    time: Duration,
) -> io::Result<Vec<Duration>> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..100 {
        one(&mut connection, request, least).await?;
    }
    let mut took = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < time {
        let sent = Instant::now();
        let mut events = Events::default();
        let mut ended = sent;
        let read = |piece: &[u8]| {
            let before = events.count;
            events.read(piece);
            if events.count > before {
                ended = Instant::now();
            }
            true
        };
        let status = connection.stream(request, read).await?;
        if status != 200 || events.count < least {
            return Err(io::Error::other(format!("a stream of {} events", events.count)));
        }
        took.push(ended - sent);
    }
    took.sort_unstable();
    Ok(took)
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_are_counted_however_the_body_is_cut() {
        let body = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: c\n\n";
        for cut in 0..=body.len() {
            for second in cut..=body.len() {
                let mut events = Events::default();
                events.read(&body[..cut]);
                events.read(&body[cut..second]);
                events.read(&body[second..]);
                assert_eq!(events.count, 3, "cut at {cut} and {second}");
            }
        }
    }
}
