//! An agent without locks: everybody may call it, in the clear.

use std::sync::Arc;

use bindu_http::client::Connector;
use bindu_http::server::Server;
use bindu_server::{Builder, Decided};
use tokio::task::JoinHandle;

use crate::StartError;
use crate::backends::Backends;
use crate::card::Locked;
use crate::door::{Ground, Serving};

/// Nothing.
pub(crate) struct Locks;

impl Locks {
    #[expect(clippy::unused_async, reason = "locks take time where there are some")]
    pub(crate) async fn make(_: &Ground<'_>, _: &Backends) -> Result<Self, StartError> {
        Ok(Self)
    }

    #[expect(clippy::unused_self, reason = "locks have something to tell where there are some")]
    pub(crate) fn told(&self, _: &Ground<'_>) -> Locked {
        Locked::default()
    }

    #[expect(clippy::unused_self, reason = "locks have a connector where there are some")]
    pub(crate) fn connector(&self) -> Option<Arc<dyn Connector>> {
        None
    }

    #[expect(clippy::unused_self, reason = "locks decide where there are some")]
    pub(crate) fn decide(&self, builder: Builder) -> Builder<Decided> {
        builder.dangerously_open()
    }

    #[expect(clippy::unused_self, reason = "locks change it where there are some")]
    pub(crate) fn url(&self, ground: &Ground<'_>) -> String {
        ground.url.to_owned()
    }

    #[expect(clippy::unused_self, reason = "locks are put on where there are some")]
    pub(crate) fn serve(self, _: &Ground<'_>, server: Server, serving: Serving) -> JoinHandle<()> {
        serving.openly(server)
    }
}
