use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::skills::{Skill, SkillSet};

fn skills(skills: Value) -> SkillSet {
    let Value::Array(skills) = skills else { unreachable!("a list is given") };
    let read = skills.into_iter().map(Skill::from_value).collect::<Result<_, _>>();
    SkillSet::new(read.unwrap()).unwrap()
}

/// The two skills whose scores are known.
fn known() -> SkillSet {
    skills(json!([
        {
            "id": "pdf-processing-v1", "name": "pdf-processing", "description": "Works on PDFs.",
            "tags": ["pdf", "documents", "text extraction"],
            "input_modes": ["application/pdf"],
            "output_modes": ["text/plain", "application/json"],
            "capabilities_detail": {
                "text_extraction": {"supported": true}, "form_filling": {"supported": true},
            },
            "allowed_tools": ["Read", "Write"],
            "performance": {"avg_processing_time_ms": 2000},
            "assessment": {
                "keywords": ["extract", "PDF", "fill form"],
                "specializations": [{"domain": "invoice processing", "confidence_boost": 0.3}],
                "anti_patterns": ["video editing"],
            },
        },
        {
            "id": "qa", "name": "question-answering", "description": "Answers.", "tags": ["qa"],
            "input_modes": ["text/plain"], "output_modes": ["text/plain"],
        },
    ]))
}

fn request(body: &Value) -> NegotiationRequest {
    NegotiationRequest::from_json(body.to_string().as_bytes()).unwrap()
}

fn asked(negotiator: &Negotiator, body: &Value, queue_depth: Option<u64>) -> Value {
    let circumstances = Circumstances { queue_depth, ..Circumstances::default() };
    serde_json::to_value(negotiator.assess(&request(body), &circumstances)).unwrap()
}

fn near(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap();
    assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
}

#[test]
fn the_known_scores_come_out() {
    let negotiator = Negotiator::new(&known(), Config::default());
    let extract = json!({"task_summary": "Extract text from PDF"});
    assert_eq!(
        asked(&negotiator, &extract, None),
        json!({
            "accepted": true, "score": 0.59, "confidence": 0.6,
            "skill_matches": [{
                "skill_id": "pdf-processing-v1", "skill_name": "pdf-processing", "score": 0.3,
                "reasons": ["tags: pdf, text extraction", "capabilities: text_extraction"],
            }],
            "matched_tags": ["pdf", "text extraction"],
            "matched_capabilities": ["text_extraction"],
            "latency_estimate_ms": 2000,
            "subscores": {
                "skill_match": 0.3, "io_compatibility": 1.0, "load": 0.5, "cost": 1.0,
                "performance": 1.0,
            },
        })
    );

    let narrow = json!({
        "task_summary": "Extract text from PDF", "max_latency_ms": 5000,
        "input_mime_types": ["application/pdf"], "output_mime_types": ["application/json"],
    });
    let answer = asked(&negotiator, &narrow, Some(0));
    assert_eq!(answer["accepted"], true);
    near(&answer["score"], 0.555);
    near(&answer["confidence"], 0.9);
    near(&answer["subscores"]["performance"], 0.6);
    near(&answer["subscores"]["load"], 1.0);
    assert_eq!(answer["queue_depth"], 0);

    let invoices = json!({"task_summary": "Invoice processing for tables", "max_latency_ms": 1500});
    let answer = asked(&negotiator, &invoices, Some(3));
    assert_eq!(answer["accepted"], true);
    near(&answer["score"], 0.4733);
    near(&answer["confidence"], 0.9);
    near(&answer["subscores"]["skill_match"], 0.3833);
    near(&answer["subscores"]["performance"], 0.0);
    near(&answer["subscores"]["load"], 0.25);
    assert_eq!(answer["skill_matches"][0]["reasons"], json!([]));
}

#[test]
fn the_known_refusals_come_out() {
    let negotiator = Negotiator::new(&known(), Config::default());
    let video = json!({"task_summary": "Extract pdf then video editing"});
    assert_eq!(
        asked(&negotiator, &video, None),
        json!({
            "accepted": false, "score": 0.425, "confidence": 0.5,
            "rejection_reason": "score_below_threshold",
            "subscores": {
                "skill_match": 0.0, "io_compatibility": 1.0, "load": 0.5, "cost": 1.0,
                "performance": 1.0,
            },
        })
    );
    let hurried = json!({"task_summary": "Extract pdf", "max_latency_ms": 900});
    assert_eq!(
        asked(&negotiator, &hurried, Some(1)),
        json!({
            "accepted": false, "score": 0.0, "confidence": 0.9,
            "rejection_reason": "latency_exceeds_constraint", "latency_estimate_ms": 2000,
        })
    );
    for (member, value, reason) in [
        ("required_tools", "Bash", "required_tool_missing"),
        ("forbidden_tools", "Write", "forbidden_tool_present"),
        ("input_mime_types", "image/png", "input_mime_unsupported"),
        ("output_mime_types", "video/mp4", "output_mime_unsupported"),
    ] {
        let mut body = json!({"task_summary": "Extract pdf"});
        body[member] = json!([value]);
        let expected = json!({
            "accepted": false, "score": 0.0, "confidence": 1.0, "rejection_reason": reason,
        });
        assert_eq!(asked(&negotiator, &body, Some(1)), expected);
    }
    let nobody = Negotiator::new(&SkillSet::default(), Config::default());
    let refused = asked(&nobody, &json!({"task_summary": "x"}), None);
    assert_eq!(refused["rejection_reason"], "no_skills_advertised");
}

#[test]
fn the_known_cost_scores_come_out() {
    let negotiator = Negotiator::new(&known(), Config::default()).prices(["$0.50"]);
    for (budget, score) in [
        (Value::Null, 0.5),
        (json!("1.00"), 0.75),
        (json!("$ 0.50"), 0.5),
        (json!(0), 0.5),
        (json!("abc"), 0.5),
        (json!("1.2.3"), 0.5),
        (json!(1), 0.75),
    ] {
        let body = json!({"task_summary": "Extract pdf", "max_cost_amount": budget});
        near(&asked(&negotiator, &body, None)["subscores"]["cost"], score);
    }
    let poor = json!({"task_summary": "Extract pdf", "max_cost_amount": "0.40"});
    assert_eq!(
        asked(&negotiator, &poor, None),
        json!({
            "accepted": false, "score": 0.0, "confidence": 0.9,
            "rejection_reason": "cost_exceeds_budget",
        })
    );
}

#[test]
fn of_several_prices_the_cheapest_counts() {
    let body = json!({"task_summary": "Extract pdf", "max_cost_amount": 1});
    let cost = |prices: &[&str]| {
        let negotiator = Negotiator::new(&known(), Config::default());
        let answer = asked(&negotiator.prices(prices.iter().copied()), &body, None);
        answer["subscores"]["cost"].as_f64().unwrap()
    };
    for (prices, expected) in [
        (&[][..], 1.0),
        (&["$2.50", "0.01 USDC"], 0.995),
        (&["0.01", "1.2.3"], 0.995),
        (&["1.2.3", "0.01"], 0.995),
        (&["1.2.3"], 0.5),
    ] {
        assert!((cost(prices) - expected).abs() < 1e-9, "{prices:?}: {}", cost(prices));
    }
}

#[test]
fn the_score_of_the_meaning_counts_where_there_is_one() {
    let negotiator = Negotiator::new(&known(), Config::default());
    let body = request(&json!({"task_summary": "Extract text from PDF"}));
    let with = |similarities: &[f64]| {
        let similarities = Some(similarities);
        let circumstances = Circumstances { similarities, ..Circumstances::default() };
        serde_json::to_value(negotiator.assess(&body, &circumstances)).unwrap()
    };
    let answer = with(&[0.5, 0.2]);
    let found = &answer["skill_matches"];
    near(&found[0]["score"], 0.44);
    assert_eq!(found[0]["reasons"][0], "semantic similarity: 0.50");
    near(&found[1]["score"], 0.14);
    assert_eq!(found[1]["reasons"], json!(["semantic similarity: 0.20"]));
    // What is not above zero is as if it were not known.
    let answer = with(&[-0.5, 0.0]);
    near(&answer["skill_matches"][0]["score"], 0.3);
    assert_eq!(answer["skill_matches"].as_array().unwrap().len(), 1);
}

#[test]
fn the_better_skill_comes_first_and_equals_keep_their_order() {
    let skill =
        |id: &str, tags: &[&str]| json!({"id": id, "name": "n", "description": "d", "tags": tags});
    let all = skills(json!([
        skill("far", &["alpha", "beta", "gamma", "delta"]),
        skill("b", &["alpha"]),
        skill("a", &["alpha"]),
    ]));
    let negotiator = Negotiator::new(&all, Config::default());
    let answer = asked(&negotiator, &json!({"task_summary": "alpha"}), None);
    let order: Vec<_> =
        answer["skill_matches"].as_array().unwrap().iter().map(|it| &it["skill_id"]).collect();
    assert_eq!(order, ["b", "a", "far"]);
    assert_eq!(answer["matched_tags"], json!(["alpha"]));
}

#[test]
fn a_tag_is_named_by_any_of_its_words() {
    let all = skills(json!([{
        "name": "n", "description": "d", "tags": ["text-extraction", "zeta", "Alpha"],
        "capabilities_detail": {"ocr-scan": {}},
    }]));
    let negotiator = Negotiator::new(&all, Config::default());
    let answer = asked(&negotiator, &json!({"task_summary": "zeta text alpha ocr"}), None);
    assert_eq!(answer["matched_tags"], json!(["Alpha", "text-extraction", "zeta"]));
    assert_eq!(
        answer["skill_matches"][0]["reasons"],
        json!(["tags: text-extraction, zeta, Alpha", "capabilities: ocr-scan"])
    );
}

#[test]
fn the_improved_rules_differ_where_they_say() {
    let all = skills(json!([
        {
            "id": "a", "name": "nn", "description": "d",
            "performance": {"avg_processing_time_ms": 10},
            "assessment": {"keywords": ["Fill Form", "übersetzen"]},
        },
        {"id": "b", "name": "mm", "description": "d", "performance": {"avg_processing_time_ms": 90}},
    ]));
    let by = |rules| {
        let negotiator = Negotiator::new(&all, Config { rules, ..Config::default() });
        asked(&negotiator, &json!({"task_summary": "fill the form"}), None)
    };
    assert_eq!(by(Rules::Reference)["accepted"], false);
    let improved = by(Rules::Improved);
    // Of nn, fill, form, übersetzen and the: two.
    near(&improved["subscores"]["skill_match"], 0.4);
    assert_eq!(improved["latency_estimate_ms"], 10);

    let foreign = |rules| {
        let negotiator = Negotiator::new(&all, Config { rules, ..Config::default() });
        asked(&negotiator, &json!({"task_summary": "ÜBERSETZEN"}), None)["accepted"].clone()
    };
    assert_eq!((foreign(Rules::Reference), foreign(Rules::Improved)), (json!(false), json!(true)));
}

#[test]
fn a_task_that_says_nothing_is_half_a_match() {
    let negotiator = Negotiator::new(&known(), Config::default());
    let answer = negotiator.assess(&NegotiationRequest::new(""), &Circumstances::default());
    assert!(answer.accepted && answer.skill_matches.is_empty());
    near(&json!(answer.subscores.unwrap().skill_match), 0.5);
}

#[test]
fn halves_are_rounded_to_the_even_digit() {
    let shown: Vec<_> = [0.03125, 0.00625, 0.40625, 0.59375, 2.0 / 7.0, 0.0]
        .into_iter()
        .map(|number| round(number).to_string())
        .collect();
    assert_eq!(shown, ["0.0312", "0.0063", "0.4062", "0.5938", "0.2857", "0"]);
    near(&json!(load(31)), 0.0312);
    near(&json!(load(u64::MAX)), 0.0);
}

#[test]
fn weights_that_are_nothing_or_too_much_count_alike() {
    let each = [0.2; 5].map(|weight: f64| weight.to_bits());
    assert_eq!(normalized([0.0; 5]).map(f64::to_bits), each);
    assert_eq!(normalized([f64::MAX; 5]).map(f64::to_bits), each);
    assert_eq!(normalized([f64::NAN, -1.0, f64::INFINITY, 0.0, 0.0]).map(f64::to_bits), each);
}

#[test]
fn no_time_at_all_is_met_by_no_time_at_all() {
    let skill = |time| {
        skills(json!([{
            "name": "sum", "description": "d", "performance": {"avg_processing_time_ms": time},
        }]))
    };
    let body = json!({"task_summary": "sum", "max_latency_ms": 0});
    let at_once = asked(&Negotiator::new(&skill(0), Config::default()), &body, None);
    near(&at_once["subscores"]["performance"], 1.0);
    let later = asked(&Negotiator::new(&skill(1), Config::default()), &body, None);
    assert_eq!(later["rejection_reason"], "latency_exceeds_constraint");
}

const WORDS: [&str; 8] = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];

/// Some of the words, by bits.
fn some(bits: u8) -> Vec<&'static str> {
    WORDS.into_iter().enumerate().filter(|(i, _)| bits & (1 << i) != 0).map(|(_, w)| w).collect()
}

/// What may be varied of a question, and of whom it is put to.
#[derive(Clone, Debug)]
struct Case {
    tags: u8,
    task: u8,
    time: u32,
    limit: Option<u32>,
    price: Option<u32>,
    budget: Option<u32>,
    queue: Option<u32>,
    similarity: Option<f64>,
    weights: [f64; 5],
}

impl Case {
    fn answer(&self) -> NegotiationAnswer {
        let skill = json!({
            "name": "n", "description": "d", "tags": some(self.tags),
            "performance": {"avg_processing_time_ms": self.time},
        });
        let prices: Vec<String> = self.price.iter().map(u32::to_string).collect();
        let negotiator = Negotiator::new(&skills(json!([skill])), Config::default())
            .prices(prices.iter().map(String::as_str));
        let [skill_match, io_compatibility, performance, load, cost] = self.weights;
        let body = json!({
            "task_summary": format!("unmatched {}", some(self.task).join(" ")),
            "max_latency_ms": self.limit, "max_cost_amount": self.budget,
            "weights": {
                "skill_match": skill_match, "io_compatibility": io_compatibility,
                "performance": performance, "load": load, "cost": cost,
            },
        });
        let similarities = self.similarity.map(|similarity| [similarity]);
        let circumstances = Circumstances {
            queue_depth: self.queue.map(u64::from),
            similarities: similarities.as_ref().map(|all| &all[..]),
        };
        negotiator.assess(&request(&body), &circumstances)
    }
}

prop_compose! {
    fn case()(
        (tags, task) in (any::<u8>(), any::<u8>()),
        time in 0_u32..10_000,
        limit in proptest::option::of(0_u32..10_000),
        (price, budget) in (proptest::option::of(0_u32..100), proptest::option::of(0_u32..100)),
        queue in proptest::option::of(0_u32..1_000),
        similarity in proptest::option::of(-1.0_f64..=1.0),
        weights in proptest::array::uniform5(0.0_f64..10.0),
    ) -> Case {
        Case { tags, task, time, limit, price, budget, queue, similarity, weights }
    }
}

proptest! {
    #[test]
    fn every_number_is_between_zero_and_one(case in case()) {
        let answer = case.answer();
        let subscores = answer.subscores.unwrap_or_default();
        let matches = answer.skill_matches.iter().map(|it| it.score);
        let all = [
            answer.score, answer.confidence, subscores.skill_match, subscores.io_compatibility,
            subscores.load, subscores.cost, subscores.performance,
        ];
        for number in all.into_iter().chain(matches) {
            prop_assert!((0.0..=1.0).contains(&number), "{answer:?}");
        }
        prop_assert_eq!(answer.accepted, answer.rejection_reason.is_none());
    }

    #[test]
    fn a_word_more_that_both_have_never_lowers_the_score(case in case(), word in 0_u8..8) {
        let bit = 1 << word;
        let with = Case { tags: case.tags | bit, task: case.task | bit, ..case.clone() };
        // Without any match no time is estimated, so that a first match may be a slow one.
        let with = Case { limit: None, ..with };
        let without = Case { task: with.task & !bit, ..with.clone() };
        prop_assert!(with.answer().score >= without.answer().score);
    }

    #[test]
    fn cheaper_never_lowers_the_score(case in case(), price in 0_u32..100, off in 0_u32..100) {
        let dear = Case { price: Some(price), ..case.clone() };
        let cheap = Case { price: Some(price.saturating_sub(off)), ..case };
        prop_assert!(cheap.answer().score >= dear.answer().score);
    }

    #[test]
    fn a_shorter_queue_never_lowers_the_score(case in case(), queue in 0_u32..1_000, off in 0_u32..1_000) {
        let long = Case { queue: Some(queue), ..case.clone() };
        let short = Case { queue: Some(queue.saturating_sub(off)), ..case };
        prop_assert!(short.answer().score >= long.answer().score);
    }

    #[test]
    fn faster_never_lowers_the_score(case in case(), off in 0_u32..10_000) {
        let fast = Case { time: case.time.saturating_sub(off), ..case.clone() };
        prop_assert!(fast.answer().score >= case.answer().score);
    }

    #[test]
    fn closer_in_meaning_never_lowers_the_score(case in case(), a in 0.001_f64..=1.0, b in 0.001_f64..=1.0) {
        let near = Case { similarity: Some(a.max(b)), limit: None, ..case.clone() };
        let far = Case { similarity: Some(a.min(b)), limit: None, ..case };
        prop_assert!(near.answer().score >= far.answer().score);
    }

    #[test]
    fn only_the_proportions_of_weights_matter(case in case(), scale in 0.001_f64..1000.0) {
        let scaled = Case { weights: case.weights.map(|weight| weight * scale), ..case.clone() };
        let (a, b) = (case.answer().score, scaled.answer().score);
        // A last digit may round the other way.
        prop_assert!((a - b).abs() < 0.000_15, "{a} {b}");
    }

    #[test]
    fn weights_have_a_sum_of_one(weights in proptest::array::uniform5(0.0_f64..=f64::MAX)) {
        let weights = normalized(weights);
        prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{weights:?}");
        prop_assert!(weights.iter().all(|weight| (0.0..=1.0).contains(weight)), "{weights:?}");
    }
}
