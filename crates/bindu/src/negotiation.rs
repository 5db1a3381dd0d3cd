//! How an agent bids for tasks.
//!
//! An agent judges by itself how well a task suits it, by its skills, its price and its load; see
//! [`NegotiationSettings`]. A program may bring what compares by meaning: an [`Embedder`], for
//! [`Agent::embedder`](crate::Agent::embedder).

#[cfg(feature = "embeddings")]
mod embedder;

use std::sync::Arc;

use bindu_agent::negotiation::{Config, Negotiator, Rules, Semantics, SemanticsConfig, Weights};
use bindu_agent::skills::SkillSet;
use bindu_server::Negotiation;

pub use bindu_agent::negotiation::{EmbedError, Embedder};

use crate::door::Ground;
use crate::settings::{NegotiationRules, NegotiationSettings};

/// Judges by the skills that everybody may see, and by the price. `own` is an embedder that the
/// program brings. Also whether it matters from which addresses requests come.
pub(crate) fn of(
    ground: &Ground<'_>,
    skills: &SkillSet,
    own: Option<Arc<dyn Embedder>>,
) -> (Negotiation, bool) {
    let set = &ground.settings.negotiation;
    let prices = ground.config.execution_cost.iter().map(|cost| cost.amount.as_str());
    let negotiator = Negotiator::new(skills, config(set)).prices(prices);
    let embedder = if set.use_embeddings { own.or_else(|| by_http(ground)) } else { None };
    let semantics = embedder.map(|embedder| {
        let config = SemanticsConfig {
            remembered: set.embedding_cache_size,
            batch: set.embedding_batch_size,
            ..SemanticsConfig::default()
        };
        Semantics::new(embedder, &negotiator, config)
    });
    let is_rationed = semantics.is_some() && set.embeddings_per_minute.is_some();
    (Negotiation { negotiator, semantics, per_minute: set.embeddings_per_minute }, is_rationed)
}

fn config(set: &NegotiationSettings) -> Config {
    Config {
        rules: match set.rules {
            NegotiationRules::Reference => Rules::Reference,
            NegotiationRules::Improved => Rules::Improved,
        },
        weights: Weights {
            skill_match: set.skill_match_weight,
            io_compatibility: set.io_compatibility_weight,
            performance: set.performance_weight,
            load: set.load_weight,
            cost: set.cost_weight,
        },
        default_latency_ms: set.default_latency_ms,
        max_keyword_length: set.max_keyword_length,
        max_text_length: set.max_task_text_length,
        embedding_weight: set.embedding_weight,
        keyword_weight: set.keyword_weight,
    }
}

#[cfg(feature = "embeddings")]
fn by_http(ground: &Ground<'_>) -> Option<Arc<dyn Embedder>> {
    let service = ground.resolved.embeddings.as_ref()?;
    match embedder::HttpEmbedder::new(service, &ground.settings.negotiation.embedding_model) {
        Ok(embedder) => Some(Arc::new(embedder)),
        Err(error) => {
            tracing::warn!(
                error = &*error as &dyn std::error::Error,
                "nobody can be asked what texts mean: tasks are judged by their words"
            );
            None
        }
    }
}

#[cfg(not(feature = "embeddings"))]
fn by_http(_: &Ground<'_>) -> Option<Arc<dyn Embedder>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_scoring() {
        assert_eq!(config(&NegotiationSettings::default()), Config::default());
    }
}
