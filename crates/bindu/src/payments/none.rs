//! An agent whose work costs nothing.

use bindu_protocol::AgentExtension;
use bindu_server::{Builder, Decided};
use bindu_tasks::Tasks;

use crate::StartError;
use crate::backends::Backends;
use crate::config::{AgentConfig, Problem};
use crate::door::Ground;
use crate::settings::Settings;

/// Nothing.
#[derive(Debug)]
pub(crate) struct Payments;

/// What is wrong with what a task costs.
pub(crate) fn problem(config: &AgentConfig, _: &Settings) -> Option<Problem> {
    (!config.execution_cost.is_empty()).then(|| {
        let message = "is on, but payment needs the `x402` feature, not in this build";
        Problem::new("'execution_cost'", message)
    })
}

impl Payments {
    #[expect(clippy::unused_async, reason = "payments take time where there are some")]
    pub(crate) async fn make(_: &Ground<'_>, _: &Backends) -> Result<Option<Self>, StartError> {
        Ok(None)
    }

    pub(crate) fn extensions() -> Vec<AgentExtension> {
        Vec::new()
    }

    #[expect(clippy::unused_self, reason = "payments guard methods where there are some")]
    pub(crate) fn guard(&self, builder: Builder<Decided>) -> Builder<Decided> {
        builder
    }

    #[expect(clippy::unused_self, reason = "payments are asked where there are some")]
    pub(crate) fn hook(&self, _: &Tasks, _: &mut bindu_worker::Config) {}

    pub(crate) async fn upkeep(self, _: Tasks) {
        std::future::pending::<()>().await;
    }
}
