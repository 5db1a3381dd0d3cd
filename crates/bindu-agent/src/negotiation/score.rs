//! The arithmetic.

use std::collections::{BTreeSet, HashSet};

use bindu_protocol::{
    CostAmount, NegotiationAnswer, NegotiationRequest, RejectionReason, SkillMatch, Subscores,
};

use super::profile::{Label, Profile};
use super::words::{Text, set};
use super::{Circumstances, Config, Negotiator, Price, Rules, Weights};

pub(super) fn assess(
    negotiator: &Negotiator,
    request: &NegotiationRequest,
    circumstances: &Circumstances<'_>,
) -> NegotiationAnswer {
    if let Some(reason) = unmet(negotiator, request) {
        return rejected(reason, 1.0);
    }
    let Matches { found, tags, capabilities, slowest } =
        matches(negotiator, request, circumstances);
    let best = found.best();

    let price = cost(negotiator.price, request);
    if price <= 0.0 {
        return rejected(RejectionReason::CostExceedsBudget, 0.9);
    }
    let estimate = found.is_any().then(|| match negotiator.config.rules {
        Rules::Reference => latency(negotiator.skills.iter(), &negotiator.config),
        Rules::Improved => slowest.unwrap_or(negotiator.config.default_latency_ms),
    });
    if let (Some(estimate), Some(most)) = (estimate, request.max_latency_ms)
        && estimate > 2.0 * most
    {
        return NegotiationAnswer {
            latency_estimate_ms: Some(estimate),
            ..rejected(RejectionReason::LatencyExceedsConstraint, 0.9)
        };
    }

    let subscores = Subscores {
        skill_match: best,
        // Media types that do not fit have ended it above.
        io_compatibility: 1.0,
        load: circumstances.queue_depth.map_or(0.5, load),
        cost: price,
        performance: performance(estimate, request.max_latency_ms),
    };
    let weights = weights(&negotiator.config.weights, request);
    let score = weights.skill_match * subscores.skill_match
        + weights.io_compatibility * subscores.io_compatibility
        + weights.performance * subscores.performance
        + weights.load * subscores.load
        + weights.cost * subscores.cost;
    let accepted = score >= request.min_score.unwrap_or_default() && best > 0.0;

    NegotiationAnswer {
        accepted,
        score: round(score),
        confidence: confidence(&found, request, circumstances),
        rejection_reason: (!accepted).then_some(RejectionReason::ScoreBelowThreshold),
        skill_matches: found.into_matches(),
        matched_tags: tags.into_iter().map(str::to_owned).collect(),
        matched_capabilities: capabilities.into_iter().map(str::to_owned).collect(),
        latency_estimate_ms: estimate,
        queue_depth: circumstances.queue_depth,
        subscores: Some(subscores),
    }
}

fn rejected(reason: RejectionReason, confidence: f64) -> NegotiationAnswer {
    NegotiationAnswer { confidence, rejection_reason: Some(reason), ..NegotiationAnswer::default() }
}

/// The first condition that the agent does not meet, whatever the task.
fn unmet(negotiator: &Negotiator, request: &NegotiationRequest) -> Option<RejectionReason> {
    let lacks = |wanted: &[String], there: &HashSet<String>| {
        !wanted.is_empty() && !wanted.iter().any(|kind| there.contains(kind))
    };
    let has = |tool: &String| negotiator.tools.contains(tool);
    if negotiator.skills.is_empty() {
        Some(RejectionReason::NoSkillsAdvertised)
    } else if lacks(&request.input_mime_types, &negotiator.input_modes) {
        Some(RejectionReason::InputMimeUnsupported)
    } else if lacks(&request.output_mime_types, &negotiator.output_modes) {
        Some(RejectionReason::OutputMimeUnsupported)
    } else if !request.required_tools.iter().all(has) {
        Some(RejectionReason::RequiredToolMissing)
    } else if request.forbidden_tools.iter().any(has) {
        Some(RejectionReason::ForbiddenToolPresent)
    } else {
        None
    }
}

/// The skills that suit.
struct Matches<'n> {
    found: Found,
    tags: BTreeSet<&'n str>,
    capabilities: BTreeSet<&'n str>,
    /// The longest time that one of them takes.
    slowest: Option<f64>,
}

/// What was found.
enum Found {
    /// The task says nothing, so nothing speaks for or against it.
    NothingToGoBy,
    /// Best first.
    Skills(Vec<SkillMatch>),
}

impl Found {
    fn best(&self) -> f64 {
        match self {
            Self::NothingToGoBy => 0.5,
            Self::Skills(skills) => skills.first().map_or(0.0, |best| best.score),
        }
    }

    const fn is_any(&self) -> bool {
        matches!(self, Self::Skills(skills) if !skills.is_empty())
    }

    fn into_matches(self) -> Vec<SkillMatch> {
        match self {
            Self::NothingToGoBy => Vec::new(),
            Self::Skills(skills) => skills,
        }
    }
}

fn matches<'n>(
    negotiator: &'n Negotiator,
    request: &NegotiationRequest,
    circumstances: &Circumstances<'_>,
) -> Matches<'n> {
    let config = &negotiator.config;
    let text = Text::of(request, config.max_text_length);
    let lower = text.whole.to_lowercase();
    let lower_summary = text.summary().to_lowercase();
    let task = set(&lower, config);
    let mut found = Vec::new();
    let (mut tags, mut capabilities, mut slowest) = (BTreeSet::new(), BTreeSet::new(), None);
    if task.is_empty() && request.task_summary.is_empty() {
        return Matches { found: Found::NothingToGoBy, tags, capabilities, slowest };
    }
    for (index, skill) in negotiator.skills.iter().enumerate() {
        if skill.anti_patterns.iter().any(|pattern| lower.contains(pattern)) {
            continue;
        }
        let similarity = circumstances.similarities.and_then(|all| all.get(index)).copied();
        let similarity = similarity.filter(|similarity| *similarity > 0.0);
        let common: HashSet<&str> =
            task.iter().copied().filter(|word| skill.keywords.contains(*word)).collect();
        let base = base(common.len(), &task, skill, similarity, config);
        let base = skill.specializations.iter().fold(base, |base, (domain, boost)| {
            if lower_summary.contains(domain) { (base + boost).min(1.0) } else { base }
        });
        if base <= 0.0 {
            continue;
        }
        let mentioned = |labels: &'n [Label]| {
            labels
                .iter()
                .filter(|label| label.words.iter().any(|word| common.contains(word.as_str())))
                .map(|label| label.text.as_str())
                .collect::<Vec<_>>()
        };
        let (of_tags, of_capabilities) = (mentioned(&skill.tags), mentioned(&skill.capabilities));
        found.push(SkillMatch {
            skill_id: skill.id.clone(),
            skill_name: skill.name.clone(),
            score: round(base),
            reasons: reasons(similarity, &of_tags, &of_capabilities),
        });
        tags.extend(of_tags);
        capabilities.extend(of_capabilities);
        slowest = [slowest, skill.latency_ms].into_iter().flatten().reduce(f64::max);
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    Matches { found: Found::Skills(found), tags, capabilities, slowest }
}

/// How well a skill suits by its words and its meaning.
fn base(
    common: usize,
    task: &HashSet<&str>,
    skill: &Profile,
    similarity: Option<f64>,
    config: &Config,
) -> f64 {
    let all = task.len() + skill.keywords.len() - common;
    let keywords = if all == 0 { 0.0 } else { fraction(common, all) };
    match similarity {
        // At most 1, also if the shares are more than a whole.
        Some(similarity) => {
            (config.embedding_weight * similarity + config.keyword_weight * keywords).min(1.0)
        }
        None => keywords,
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are no 2^53 words")]
fn fraction(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

fn reasons(similarity: Option<f64>, tags: &[&str], capabilities: &[&str]) -> Vec<String> {
    let similarity = similarity.map(|it| format!("semantic similarity: {it:.2}"));
    let listed = |what: &str, labels: &[&str]| {
        (!labels.is_empty()).then(|| format!("{what}: {}", labels.join(", ")))
    };
    let all = [similarity, listed("tags", tags), listed("capabilities", capabilities)];
    all.into_iter().flatten().collect()
}

/// The longest time that one of some skills takes.
fn latency<'n>(skills: impl Iterator<Item = &'n Profile>, config: &Config) -> f64 {
    let times = skills.filter_map(|skill| skill.latency_ms);
    times.reduce(f64::max).unwrap_or(config.default_latency_ms)
}

fn load(depth: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "beyond 2^53 it is 0 when rounded")]
    round(1.0 / (1.0 + depth as f64))
}

fn cost(price: Price, request: &NegotiationRequest) -> f64 {
    let price = match price {
        Price::Free => return 1.0,
        Price::Amount(price) => Some(price),
        Price::Unknown => None,
    };
    let budget = request.max_cost_amount.as_ref().and_then(CostAmount::amount);
    match (price, budget) {
        (Some(price), Some(budget)) if budget > 0.0 => {
            if price <= budget {
                round(1.0 - price / budget * 0.5)
            } else {
                0.0
            }
        }
        _ => 0.5,
    }
}

fn performance(estimate: Option<f64>, most: Option<f64>) -> f64 {
    match (estimate, most) {
        (Some(estimate), Some(most)) if most > 0.0 => (1.0 - estimate / most).max(0.0),
        // Without a limit, and where no time at all is both allowed and needed.
        _ => 1.0,
    }
}

/// The weights that hold for a request, with a sum of 1.
fn weights(ours: &Weights, request: &NegotiationRequest) -> Weights {
    let asked = &request.weights;
    let all = [
        asked.skill_match.unwrap_or(ours.skill_match),
        asked.io_compatibility.unwrap_or(ours.io_compatibility),
        asked.performance.unwrap_or(ours.performance),
        asked.load.unwrap_or(ours.load),
        asked.cost.unwrap_or(ours.cost),
    ];
    let [skill_match, io_compatibility, performance, load, cost] = normalized(all);
    Weights { skill_match, io_compatibility, performance, load, cost }
}

fn normalized(mut weights: [f64; 5]) -> [f64; 5] {
    for weight in &mut weights {
        // Neither a request nor a setting can have others; a program might.
        *weight = if weight.is_finite() { weight.max(0.0) } else { 0.0 };
    }
    if !weights.iter().sum::<f64>().is_finite() {
        let largest = weights.iter().copied().fold(0.0, f64::max);
        weights = weights.map(|weight| weight / largest);
    }
    let sum: f64 = weights.iter().sum();
    if sum > 0.0 { weights.map(|weight| weight / sum) } else { [0.2; 5] }
}

fn confidence(
    found: &Found,
    request: &NegotiationRequest,
    circumstances: &Circumstances<'_>,
) -> f64 {
    let mut confidence = 0.5;
    if found.is_any() {
        confidence += if found.best() > 0.3 { 0.2 } else { 0.1 };
    }
    let given = [
        !request.input_mime_types.is_empty() || !request.output_mime_types.is_empty(),
        request.max_latency_ms.is_some(),
        circumstances.queue_depth.is_some(),
    ];
    for _ in given.into_iter().filter(|given| *given) {
        confidence += 0.1;
    }
    round(f64::min(confidence, 1.0))
}

/// To 4 places, halves to the even digit: what the digits of the double itself say, as Python's
/// `round` has it. Multiplying first would round twice.
fn round(number: f64) -> f64 {
    format!("{number:.4}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests;
