use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock::after;

/// Ends one or more servers, in steps that the caller chooses.
///
/// Clones are handles to the same shutdown. The steps only go forward:
///
/// 1. [`stop_accepting`](Self::stop_accepting): the port is closed, open connections
///    are served on. Optional.
/// 2. [`drain`](Self::drain): idle connections are closed at once, requests in flight
///    are finished with `connection: close` (HTTP/2: `GOAWAY`), and what is not
///    finished by the deadline is cut. [`Server::serve`](super::Server::serve) then returns.
///
/// ```
/// # use std::time::Duration;
/// # use bindu_http::server::Shutdown;
/// let shutdown = Shutdown::new();
/// shutdown.stop_accepting();
/// shutdown.drain(Duration::from_secs(30));
/// shutdown.drain(Duration::ZERO); // a second signal: now
/// assert!(shutdown.is_draining());
/// ```
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<Phase>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    NotAccepting,
    Draining { until: Instant },
}

impl Shutdown {
    /// A shutdown that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Closes the listening port; connections that are open live on.
    pub fn stop_accepting(&self) {
        self.0.send_if_modified(|phase| {
            let begins = *phase == Phase::Serving;
            if begins {
                *phase = Phase::NotAccepting;
            }
            begins
        });
    }

    /// Finishes what is in flight, for at most `patience`. Called again it can only
    /// bring the deadline forward.
    pub fn drain(&self, patience: Duration) {
        let until = after(Instant::now(), patience);
        self.0.send_if_modified(|phase| match phase {
            Phase::Draining { until: set } if *set <= until => false,
            _ => {
                *phase = Phase::Draining { until };
                true
            }
        });
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        matches!(*self.0.borrow(), Phase::Draining { .. })
    }

    /// Waits until [`drain`](Self::drain) is called. A service ends its endless answers
    /// (streams of events) by it; otherwise they last until the deadline and are cut.
    pub async fn draining(&self) {
        // Cannot fail: this handle keeps the sender alive.
        let _ = self.subscribe().wait_for(|phase| matches!(phase, Phase::Draining { .. })).await;
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}
