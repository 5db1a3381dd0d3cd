//! Two servers that get the same requests in turns, each signed and sent once.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::super::connection::Connection;
use super::super::load::{CONNECTIONS, Count};
use super::super::machine::cpu_time;
use super::caller::Caller;
use super::pki::localhost;

/// How long one side sends before the other has its turn.
const TURN: Duration = Duration::from_secs(1);

/// How many requests warm a side up; they also tell how many its turns need.
const WARM_UP: usize = 2000;

/// A connection, TLS or not.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

type Line = Connection<Box<dyn Io>>;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) address: SocketAddr,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

impl Side {
    pub(super) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { address, tls }
    }

    async fn connect(&self) -> io::Result<Line> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection::over(match &self.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = localhost();
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?)
            }
        }))
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) count: Count,
    micros: Vec<u32>,
}

impl Taken {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.micros.extend(other.micros);
        self.micros.sort_unstable();
    }

    /// How long this many of a hundred took at most, in milliseconds.
    pub(super) fn millis_at(&self, percent: usize) -> f64 {
        let place = (self.micros.len() * percent).div_ceil(100).saturating_sub(1);
        f64::from(self.micros.get(place).copied().unwrap_or_default()) / 1000.0
    }
}

/// The body of one answer.
pub(super) async fn once(side: &Side, request: &[u8]) -> io::Result<Vec<u8>> {
    exchange(&mut side.connect().await?, request).await.map(<[u8]>::to_vec)
}

async fn exchange<'c>(line: &'c mut Line, request: &[u8]) -> io::Result<&'c [u8]> {
    let answer = line.exchange(request).await?;
    if answer.status == 200 && memmem::find(answer.body, br#""completed""#).is_some() {
        return Ok(answer.body);
    }
    let body = String::from_utf8_lossy(answer.body);
    Err(io::Error::other(format!("an answer of status {}: {body}", answer.status)))
}

/// Lets the sides take turns until each had `time`; every other round goes backwards. Requests are
/// signed between the turns, and connections are kept all the time.
pub(super) async fn in_turns(
    time: Duration,
    caller: Caller,
    sides: [Side; 2],
) -> anyhow::Result<[Taken; 2]> {
    let mut lines: [Vec<Line>; 2] = [Vec::new(), Vec::new()];
    let mut needed = [WARM_UP; 2];
    for (place, side) in sides.iter().enumerate() {
        for _ in 0..CONNECTIONS {
            lines[place].push(side.connect().await?);
        }
        let requests = caller.requests(WARM_UP)?;
        let warm = send(&mut lines[place], requests, TURN).await?;
        needed[place] = enough(&warm.count);
    }
    let mut taken = [Taken::default(), Taken::default()];
    let rounds = time.as_millis().div_ceil(TURN.as_millis()).max(1);
    for round in 0..rounds {
        for place in 0..2 {
            let side = if round % 2 == 0 { place } else { 1 - place };
            let requests = caller.requests(needed[side])?;
            let before = cpu_time();
            let mut turn = send(&mut lines[side], requests, TURN).await?;
            turn.count.cpu = cpu_time().saturating_sub(before);
            needed[side] = needed[side].max(enough(&turn.count));
            taken[side].add(turn);
        }
    }
    Ok(taken)
}

/// How many requests a turn at this rate needs; half as many more, since rates vary.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^53"
)]
fn enough(count: &Count) -> usize {
    (count.rate() * TURN.as_secs_f64() * 1.5) as usize + CONNECTIONS
}

/// Sends requests on all connections, until there are none left or time is up.
async fn send(
    lines: &mut Vec<Line>,
    requests: Vec<Box<[u8]>>,
    time: Duration,
) -> io::Result<Taken> {
    let work = Arc::new((requests, AtomicUsize::new(0)));
    let mut sending = JoinSet::new();
    let begun = Instant::now();
    for mut line in lines.drain(..) {
        let work = Arc::clone(&work);
        sending.spawn(async move {
            let (requests, next) = &*work;
            let mut micros = Vec::new();
            while begun.elapsed() < time
                && let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed))
            {
                let start = Instant::now();
                exchange(&mut line, request).await?;
                micros.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            io::Result::Ok((line, micros))
        });
    }
    let mut taken = Taken::default();
    while let Some(sent) = sending.join_next().await {
        let (line, micros) = sent.map_err(io::Error::other)??;
        lines.push(line);
        taken.micros.extend(micros);
    }
    taken.count.done = taken.micros.len() as u64;
    taken.count.took = begun.elapsed();
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_the_ninety_ninth_counts() {
        let mut taken = Taken::default();
        taken.add(Taken { micros: (51..=100).map(|n| n * 1000).collect(), ..Taken::default() });
        taken.add(Taken { micros: (1..=50).map(|n| n * 1000).collect(), ..Taken::default() });
        assert!((taken.millis_at(99) - 99.0).abs() < 1e-9, "{}", taken.millis_at(99));
        assert!((taken.millis_at(50) - 50.0).abs() < 1e-9, "{}", taken.millis_at(50));
    }
}
