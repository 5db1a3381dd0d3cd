//! Whether an agent can do a task, and how well: what it answers when it is asked to bid.
//!
//! ```
//! use bindu_agent::negotiation::{Circumstances, Config, Negotiator};
//! use bindu_agent::skills::{Skill, SkillSet};
//! use bindu_protocol::NegotiationRequest;
//! use serde_json::json;
//!
//! let skill = Skill::from_value(json!({
//!     "name": "pdf-processing", "description": "Reads PDFs.", "tags": ["pdf", "text extraction"],
//! }))?;
//! let negotiator = Negotiator::new(&SkillSet::new(vec![skill])?, Config::default());
//!
//! let request = NegotiationRequest::new("Extract text from a PDF");
//! let answer = negotiator.assess(&request, &Circumstances::default());
//! assert!(answer.accepted);
//! assert_eq!(answer.matched_tags, ["pdf", "text extraction"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Negotiator`] is arithmetic: no clock, no network, the same answer for the same question. What
//! changes from one question to the next are its [`Circumstances`]. Among them are similarities of
//! meaning, which [`Semantics`] has from an [`Embedder`].
//!
//! # How it is scored
//!
//! First the conditions that are met or not: media types, tools. Then five numbers from 0 to 1, each
//! with its [weight](Weights): how well the best skill's words cover the task's (the share that both
//! have of all that either has, raised by what the skill specialises in), media types, speed against
//! what is allowed, load, price against the budget. The score is their weighted mean.
//!
//! [`Rules`] says whether this is done to the letter of the Python reference.

mod embed;
mod profile;
mod score;
mod semantics;
mod words;

use std::collections::HashSet;

use bindu_protocol::{CostAmount, NegotiationAnswer, NegotiationRequest};

use self::profile::Profile;
use crate::skills::SkillSet;

pub use self::embed::{EmbedError, Embedder};
pub use self::semantics::{Semantics, SemanticsConfig};

/// By which rules is scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rules {
    /// Those of the Python reference, so that bids of both can be compared.
    #[default]
    Reference,
    /// With three differences: keywords of several words match by each of their words, words are
    /// those of any script, and the time is that of the slowest skill that suits, not of the
    /// slowest of all.
    Improved,
}

/// How much each consideration counts, relative to the others. Only their proportions matter; if all
/// are zero, all count the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// That a skill suits the task. Default 0.55.
    pub skill_match: f64,
    /// That media types fit. Default 0.2.
    pub io_compatibility: f64,
    /// That it is fast. Default 0.15.
    pub performance: f64,
    /// That there is little else to do. Default 0.05.
    pub load: f64,
    /// That it is cheap. Default 0.05.
    pub cost: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { skill_match: 0.55, io_compatibility: 0.2, performance: 0.15, load: 0.05, cost: 0.05 }
    }
}

/// How an agent scores; every member has a default.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// By which rules.
    pub rules: Rules,
    /// What counts how much, where the request does not say.
    pub weights: Weights,
    /// How long a task takes if no skill says, in milliseconds. Default 5,000.
    pub default_latency_ms: f64,
    /// The longest word that counts, in characters; a longer one is passed over. Default 100.
    pub max_keyword_length: usize,
    /// How much of the summary, and of the details, is looked at, in characters. Default 10,000.
    pub max_text_length: usize,
    /// The share of similarity of meaning in how well a skill suits, if it is known. Default 0.7.
    pub embedding_weight: f64,
    /// The share of common words beside it. Default 0.3.
    pub keyword_weight: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Rules::Reference,
            weights: Weights::default(),
            default_latency_ms: 5_000.0,
            max_keyword_length: 100,
            max_text_length: 10_000,
            embedding_weight: 0.7,
            keyword_weight: 0.3,
        }
    }
}

/// What changes from one question to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Circumstances<'a> {
    /// How many tasks are not finished; `None` if nobody knows.
    pub queue_depth: Option<u64>,
    /// How similar in meaning the task is to each skill, in the order of the skills, from -1 to 1;
    /// `None` if nobody knows. What is not above zero does not count.
    pub similarities: Option<&'a [f64]>,
}

/// What a task costs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Price {
    Free,
    Amount(f64),
    /// It costs something, but no number is said.
    Unknown,
}

/// Judges tasks by an agent's skills and its price.
#[derive(Clone, Debug)]
pub struct Negotiator {
    config: Config,
    skills: Vec<Profile>,
    input_modes: HashSet<String>,
    output_modes: HashSet<String>,
    tools: HashSet<String>,
    price: Price,
}

impl Negotiator {
    /// Judges by these skills. Tasks are free, unless [`prices`](Self::prices) says otherwise.
    #[must_use]
    pub fn new(skills: &SkillSet, config: Config) -> Self {
        let profiles: Vec<_> = skills.iter().map(|skill| Profile::of(skill, &config)).collect();
        let all = |modes: fn(&crate::skills::Skill) -> &[String]| {
            skills.iter().flat_map(modes).cloned().collect::<HashSet<String>>()
        };
        Self {
            input_modes: all(|skill| &skill.input_modes),
            output_modes: all(|skill| &skill.output_modes),
            tools: profiles.iter().flat_map(|profile| profile.tools.iter().cloned()).collect(),
            skills: profiles,
            price: Price::Free,
            config,
        }
    }

    /// What a task costs, such as `0.01` or `$0.01`; of several ways to pay, the cheapest counts.
    /// None at all is for free.
    #[must_use]
    pub fn prices<'a>(mut self, amounts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut price = Price::Free;
        for amount in amounts {
            price = match (CostAmount::from(amount).amount(), price) {
                (Some(amount), Price::Amount(least)) => Price::Amount(least.min(amount)),
                (Some(amount), _) => Price::Amount(amount),
                (None, Price::Free) => Price::Unknown,
                (None, price) => price,
            };
        }
        self.price = price;
        self
    }

    /// Whether the task is taken on, how well it suits, and why.
    ///
    /// The work is bounded by the lengths of the task's texts and the number of words of all skills.
    #[must_use]
    pub fn assess(
        &self,
        request: &NegotiationRequest,
        circumstances: &Circumstances<'_>,
    ) -> NegotiationAnswer {
        score::assess(self, request, circumstances)
    }

    /// What each skill is about, in the order of the skills, for an [`Embedder`].
    #[must_use]
    pub fn skill_texts(&self) -> Vec<String> {
        self.skills.iter().map(|skill| skill.text.clone()).collect()
    }

    /// What a task is about, for an [`Embedder`].
    #[must_use]
    pub fn task_text(&self, request: &NegotiationRequest) -> String {
        words::Text::of(request, self.config.max_text_length).whole
    }
}
