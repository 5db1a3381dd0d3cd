//! What an agent's locks are made of, and what they are put on.

#![cfg_attr(
    not(feature = "mtls"),
    expect(dead_code, reason = "some of it matters to a certificate alone")
)]

use std::path::Path;
use std::sync::Arc;

use bindu_did::key_dir::Identity;
use bindu_http::server::{Server, Shutdown};
use bindu_protocol::AgentCard;
use bindu_server::{AgentServer, Metrics};
use tokio::task::JoinHandle;

use crate::config::{AgentConfig, Resolved};
use crate::settings::Settings;

/// What the locks are made of.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) config: &'a AgentConfig,
    pub(crate) settings: &'a Settings,
    pub(crate) resolved: &'a Resolved,
    pub(crate) identity: &'a Arc<Identity>,
    /// The address that the card advertises.
    pub(crate) url: &'a str,
    /// The directory that relative paths start from.
    pub(crate) base: &'a Path,
}

/// What the locks are put on.
pub(crate) struct Serving {
    pub(crate) service: AgentServer,
    /// The card as it is at the start.
    pub(crate) card: AgentCard,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Shutdown,
    /// Whether it matters from which address a request comes.
    pub(crate) tells_addresses: bool,
}

impl Serving {
    /// Serves in the clear, to whoever it is.
    pub(crate) fn openly(self, server: Server) -> JoinHandle<()> {
        let Self { service, shutdown, tells_addresses, .. } = self;
        tokio::spawn(async move {
            if tells_addresses {
                server.serve(service, shutdown).await;
                return;
            }
            server.serve_connections(move |_| service.clone(), shutdown).await;
        })
    }
}
