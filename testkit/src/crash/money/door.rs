//! A door before the facilitator: while it is shut, nobody can connect.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// How long to wait for the port to be free again.
const TRIES: u32 = 200;
const BEAT: Duration = Duration::from_millis(10);

/// Passes on what comes, as long as it is open. Dropped, it is shut.
#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    inner: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Door {
    /// One that is open, on a free port.
    pub(super) async fn open(inner: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = Mutex::new(Some(tokio::spawn(pass(listener, inner))));
        Ok(Self { address, inner, server })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    fn server(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shuts it: connections break, and new ones are refused.
    pub(super) fn shut(&self) {
        if let Some(server) = self.server().take() {
            server.abort();
        }
    }

    /// Opens it again, at the same address.
    pub(super) async fn reopen(&self) -> io::Result<()> {
        let mut left = TRIES;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Err(_) if left > 0 => left -= 1,
                result => break result?,
            }
            tokio::time::sleep(BEAT).await;
        };
        *self.server() = Some(tokio::spawn(pass(listener, self.inner)));
        Ok(())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
    }
}

async fn pass(listener: TcpListener, inner: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((mut from, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            let Ok(mut to) = TcpStream::connect(inner).await else { return };
            // However it ends: whoever asked sees it.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Connection, get};
    use crate::fake_facilitator::FakeFacilitator;

    #[tokio::test]
    async fn a_door_is_shut_and_opened() {
        let facilitator = FakeFacilitator::start().await.unwrap();
        let inner = facilitator.url().trim_start_matches("http://").parse().unwrap();
        let door = Door::open(inner).await.unwrap();
        let mut kept = Connection::open(door.address()).await.unwrap();
        assert_eq!(kept.exchange(&get("/supported")).await.unwrap().status, 200);
        door.shut();
        assert!(kept.exchange(&get("/supported")).await.is_err());
        while Connection::open(door.address()).await.is_ok() {
            tokio::time::sleep(BEAT).await;
        }
        door.reopen().await.unwrap();
        let mut again = Connection::open(door.address()).await.unwrap();
        assert_eq!(again.exchange(&get("/supported")).await.unwrap().status, 200);
    }
}
