//! One request, sent over and over on many connections.

use std::io;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::task::JoinSet;

use super::connection::Connection;

/// How many connections send at once.
pub(super) const CONNECTIONS: usize = 32;

/// A request and how to know its answer.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) request: Arc<[u8]>,
    /// What every answer has in it.
    pub(super) expected: &'static str,
}

/// How much work was done in how much time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) done: u64,
    pub(super) took: Duration,
    /// CPU time of both ends, which other processes of the machine change little.
    pub(super) cpu: Duration,
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.done += other.done;
        self.took += other.took;
        self.cpu += other.cpu;
    }
}

impl Count {
    /// How much was done in a second.
    pub(super) fn rate(self) -> f64 {
        self.done() / self.took.as_secs_f64()
    }

    /// How much CPU time one took, in microseconds.
    pub(super) fn cpu_micros(self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.done()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
    fn done(self) -> f64 {
        self.done as f64
    }
}

impl Load {
    pub(super) fn new(address: SocketAddr, request: Vec<u8>, expected: &'static str) -> Self {
        Self { address, request: request.into(), expected }
    }

    /// The body of one answer.
    pub(super) async fn once(&self) -> io::Result<Vec<u8>> {
        let mut connection = Connection::open(self.address).await?;
        Ok(self.exchange(&mut connection).await?.to_vec())
    }

    /// Sends for some time.
    pub(super) async fn run(&self, time: Duration) -> io::Result<Count> {
        self.run_until(Instant::now() + time, u64::MAX).await
    }

    /// Sends so many requests.
    pub(super) async fn send(&self, requests: u64) -> io::Result<Count> {
        self.run_until(Instant::now() + Duration::from_hours(1), requests).await
    }

    async fn run_until(&self, end: Instant, requests: u64) -> io::Result<Count> {
        let left = Arc::new(AtomicU64::new(requests));
        let mut sending = JoinSet::new();
        let begun = Instant::now();
        for _ in 0..CONNECTIONS {
            let (load, left) = (self.clone(), Arc::clone(&left));
            sending.spawn(async move {
                let mut connection = Connection::open(load.address).await?;
                let mut done = 0;
                while Instant::now() < end
                    && left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                            left.checked_sub(1)
                        })
                        .is_ok()
                {
                    load.exchange(&mut connection).await?;
                    done += 1;
                }
                io::Result::Ok(done)
            });
        }
        let mut count = Count::default();
        while let Some(sent) = sending.join_next().await {
            count.done += sent.map_err(io::Error::other)??;
        }
        count.took = begun.elapsed();
        Ok(count)
    }

    /// Sends on a connection, and checks the answer.
    pub(super) async fn exchange<'c>(
        &self,
        connection: &'c mut Connection,
    ) -> io::Result<&'c [u8]> {
        let answer = connection.exchange(&self.request).await?;
        let is_expected =
            answer.status == 200 && memmem::find(answer.body, self.expected.as_bytes()).is_some();
        if is_expected {
            return Ok(answer.body);
        }
        let body = String::from_utf8_lossy(answer.body);
        Err(io::Error::other(format!("an answer of status {}: {body}", answer.status)))
    }
}
