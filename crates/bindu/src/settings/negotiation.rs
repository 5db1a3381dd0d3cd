//! How an agent bids for tasks.

use std::num::NonZeroU32;

use super::Secret;
use super::section::{section, words};

words! {
    /// By which rules tasks are scored.
    pub enum NegotiationRules, "one of: reference, improved" {
        /// Those of the Python reference.
        Reference = "reference",
        /// Those of [`Rules::Improved`](bindu_agent::negotiation::Rules::Improved).
        Improved = "improved",
    }
}

section! {
    /// How well a task suits the agent, for whoever asks at `/agent/negotiation`.
    pub struct NegotiationSettings {
        /// By which rules tasks are scored: those of the Python reference, or those that match words
        /// of any script and every word of a keyword, and go by the time of the skills that suit.
        pub rules: NegotiationRules = ["NEGOTIATION__RULES"] default "reference";
        /// How much it counts that a skill suits the task. Only the proportions of the five weights
        /// matter.
        pub skill_match_weight: f64 = ["NEGOTIATION__SKILL_MATCH_WEIGHT"] default "0.55";
        /// How much it counts that media types fit.
        pub io_compatibility_weight: f64 = ["NEGOTIATION__IO_COMPATIBILITY_WEIGHT"] default "0.20";
        /// How much it counts that the agent is fast.
        pub performance_weight: f64 = ["NEGOTIATION__PERFORMANCE_WEIGHT"] default "0.15";
        /// How much it counts that there is little else to do.
        pub load_weight: f64 = ["NEGOTIATION__LOAD_WEIGHT"] default "0.05";
        /// How much it counts that the agent is cheap.
        pub cost_weight: f64 = ["NEGOTIATION__COST_WEIGHT"] default "0.05";
        /// How long a task takes if no skill says, in milliseconds.
        pub default_latency_ms: f64 = ["NEGOTIATION__DEFAULT_LATENCY_MS"] default "5000";
        /// The longest word that counts, in characters.
        pub max_keyword_length: usize = ["NEGOTIATION__MAX_KEYWORD_LENGTH"] default "100" nonzero;
        /// How much of a task's summary, and of its details, is looked at, in characters.
        pub max_task_text_length: usize =
            ["NEGOTIATION__MAX_TASK_TEXT_LENGTH"] default "10000" nonzero;
        /// Whether tasks and skills are also compared by meaning. That needs a key and the feature
        /// `embeddings`.
        pub use_embeddings: bool = ["NEGOTIATION__USE_EMBEDDINGS"] default "true";
        /// Kept for compatibility: whoever it is, the same API is called.
        pub embedding_provider: String = ["NEGOTIATION__EMBEDDING_PROVIDER"] default "openrouter";
        /// Who is asked what texts mean: `/embeddings` is put after it.
        pub embedding_base_url: String =
            ["NEGOTIATION__EMBEDDING_BASE_URL"] default "https://openrouter.ai/api/v1" nonzero;
        /// Which model.
        pub embedding_model: String =
            ["NEGOTIATION__EMBEDDING_MODEL"] default "text-embedding-3-small" nonzero;
        /// With which key.
        pub embedding_api_key: Option<Secret> = ["NEGOTIATION__EMBEDDING_API_KEY"] default "";
        /// The same, for agents with the capability `negotiation`, if `openrouter.ai` is asked and
        /// there is no other key.
        pub openrouter_api_key: Option<Secret> = ["OPENROUTER_API_KEY"] default "";
        /// The share of similarity of meaning in how well a skill suits.
        pub embedding_weight: f64 = ["NEGOTIATION__EMBEDDING_WEIGHT"] default "0.7";
        /// The share of common words beside it.
        pub keyword_weight: f64 = ["NEGOTIATION__KEYWORD_WEIGHT"] default "0.3";
        /// Texts of skills that are asked about at once.
        pub embedding_batch_size: usize = ["NEGOTIATION__EMBEDDING_BATCH_SIZE"] default "32" nonzero;
        /// Tasks whose meaning is remembered.
        pub embedding_cache_size: usize = ["NEGOTIATION__EMBEDDING_CACHE_SIZE"] default "1000";
        /// Tasks of one address that are compared by meaning each minute; beyond it words count.
        /// 0 sets no limit.
        pub embeddings_per_minute: Option<NonZeroU32> =
            ["NEGOTIATION__EMBEDDINGS_PER_MINUTE"] default "30";
    }
}
