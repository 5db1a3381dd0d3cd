//! Connections that wait for their next request, and the tasks that drive them.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Extensions, Uri};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::connect::{BoxIo, Connected, Target};
use crate::Body;
use crate::error::HttpError;

pub(super) type Sender = SendRequest<Body>;
pub(super) type Connection = http1::Connection<TokioIo<BoxIo>, Body>;

/// Whose connections can serve a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    https: bool,
    authority: Authority,
}

impl Key {
    pub(super) fn of(uri: &Uri) -> Result<Self, HttpError> {
        let https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) => return Err(HttpError::InvalidUrl("the scheme is neither http nor https")),
            None => return Err(HttpError::InvalidUrl("it is not absolute")),
        };
        let authority = uri.authority().ok_or(HttpError::InvalidUrl("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(HttpError::InvalidUrl("it holds credentials"));
        }
        if authority.host().is_empty() {
            return Err(HttpError::InvalidUrl("it has no host"));
        }
        Ok(Self { https, authority: authority.clone() })
    }

    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    pub(super) fn target(&self) -> Target {
        let host = self.authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = self.authority.port_u16().unwrap_or(if self.https { 443 } else { 80 });
        Target { https: self.https, host: host.to_owned(), port }
    }
}

/// A connection that one request has for itself.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: Sender,
    pub(super) extensions: Option<Arc<Extensions>>,
    key: Key,
    id: u64,
    /// The connector's [generation](super::Connector::generation) when it was made.
    generation: u64,
}

struct Idle {
    lease: Lease,
    since: Instant,
}

/// Idle connections, and the tasks of all.
pub(super) struct Pool {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    tasks: Mutex<JoinSet<()>>,
    next_id: AtomicU64,
    max_idle_per_host: usize,
    idle_timeout: Duration,
}

impl Pool {
    pub(super) fn new(max_idle_per_host: usize, idle_timeout: Duration) -> Self {
        Self {
            idle: Mutex::default(),
            tasks: Mutex::default(),
            next_id: AtomicU64::new(0),
            max_idle_per_host,
            idle_timeout,
        }
    }

    /// The connection that was used last, if one is still open.
    pub(super) async fn take(&self, key: &Key, generation: u64) -> Option<Lease> {
        loop {
            let mut idle = self.pop(key)?;
            if idle.lease.generation != generation {
                continue;
            }
            // The body was read to its end; at most the connection's task has yet to see it.
            if idle.lease.sender.ready().await.is_ok() {
                return Some(idle.lease);
            }
        }
    }

    fn pop(&self, key: &Key) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let of_host = idle.get_mut(key)?;
        let taken = of_host.pop();
        if of_host.is_empty() {
            idle.remove(key);
        }
        taken.filter(|idle| idle.since.elapsed() < self.idle_timeout)
    }

    pub(super) fn give_back(&self, lease: Lease) {
        if lease.sender.is_closed() {
            return;
        }
        let mut idle = lock(&self.idle);
        let of_host = idle.entry(lease.key.clone()).or_default();
        if of_host.len() < self.max_idle_per_host {
            of_host.push(Idle { lease, since: Instant::now() });
        }
    }

    pub(super) fn clear(&self) {
        lock(&self.idle).clear();
    }

    fn prune(&self) {
        lock(&self.idle).retain(|_, of_host| {
            of_host.retain(|idle| {
                idle.since.elapsed() < self.idle_timeout && !idle.lease.sender.is_closed()
            });
            !of_host.is_empty()
        });
    }

    fn forget(&self, key: &Key, id: u64) {
        let mut idle = lock(&self.idle);
        if let Some(of_host) = idle.get_mut(key) {
            of_host.retain(|idle| idle.lease.id != id);
            if of_host.is_empty() {
                idle.remove(key);
            }
        }
    }

    /// Drives a new connection in a task of the pool.
    pub(super) fn adopt(
        shared: &Arc<Shared>,
        key: Key,
        sender: Sender,
        connection: Connection,
        extensions: Extensions,
        generation: u64,
    ) -> Lease {
        let pool = &shared.pool;
        let id = pool.next_id.fetch_add(1, Ordering::Relaxed);
        let extensions = (!extensions.is_empty()).then(|| Arc::new(extensions));
        // Weak: a connection must not keep alive the client that owns its task.
        let owner = Arc::downgrade(shared);
        let every = pool.idle_timeout.max(Duration::from_millis(10));
        let of = key.clone();
        let driving = async move {
            let mut connection = pin!(connection);
            let ended = loop {
                tokio::select! {
                    ended = &mut connection => break ended,
                    () = sleep(every) => {
                        if let Some(shared) = owner.upgrade() {
                            shared.pool.prune();
                        }
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(host = of.authority(), %error, "a connection failed");
            }
            if let Some(shared) = owner.upgrade() {
                shared.pool.forget(&of, id);
            }
        };
        let mut tasks = lock(&pool.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(driving);
        Lease { sender, extensions, key, id, generation }
    }
}

/// Begins HTTP on a connection.
pub(super) async fn handshake(
    connected: Connected,
) -> hyper::Result<(Sender, Connection, Extensions)> {
    let Connected { io, extensions } = connected;
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    Ok((sender, connection, extensions))
}

/// No code here can panic with the lock held in a way that leaves the map wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &'static str) -> Result<Key, HttpError> {
        Key::of(&Uri::from_static(uri))
    }

    #[test]
    fn a_target_is_host_and_port_of_the_url() {
        let target = |uri| {
            let target = key(uri).unwrap().target();
            (target.https, target.host, target.port)
        };
        assert_eq!(target("http://example.com/x"), (false, "example.com".into(), 80));
        assert_eq!(target("https://example.com"), (true, "example.com".into(), 443));
        assert_eq!(target("http://[::1]:8080/"), (false, "::1".into(), 8080));
    }

    #[test]
    fn urls_that_cannot_be_called_are_refused() {
        for uri in ["/path", "ftp://host/", "http://user:pass@host/", "http://@host/"] {
            assert!(matches!(key(uri), Err(HttpError::InvalidUrl(_))), "{uri}");
        }
    }
}
