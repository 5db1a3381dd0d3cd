use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bindu_protocol::NegotiationRequest;
use futures_util::future::join_all;
use serde_json::json;

use super::super::{Circumstances, Config};
use super::*;
use crate::BoxFuture;
use crate::skills::{Skill, SkillSet};

/// Knows two directions: texts about PDFs, and others.
#[derive(Debug, Default)]
struct Fake {
    calls: AtomicUsize,
    texts: AtomicUsize,
    is_down: AtomicBool,
}

impl Embedder for Fake {
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            self.texts.fetch_add(texts.len(), Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.is_down.load(Ordering::SeqCst) {
                return Err(EmbedError::unavailable("down"));
            }
            if texts.iter().any(|text| text.contains("refused")) {
                return Err(EmbedError::Refused("too long".into()));
            }
            if texts.iter().any(|text| text.contains("nonsense")) {
                return Ok(Vec::new());
            }
            let vector =
                |text: &String| if text.contains("pdf") { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
            Ok(texts.iter().map(vector).collect())
        })
    }
}

impl Fake {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

fn negotiator(skills: usize) -> Negotiator {
    let skill = |n| {
        let name = if n == 0 { "pdf".to_owned() } else { format!("other {n}") };
        Skill::from_value(json!({"name": name, "description": "d"})).unwrap()
    };
    Negotiator::new(&SkillSet::new((0..skills).map(skill).collect()).unwrap(), Config::default())
}

fn semantics(skills: usize, config: SemanticsConfig) -> (Arc<Fake>, Semantics) {
    let fake = Arc::new(Fake::default());
    (Arc::clone(&fake), Semantics::new(fake, &negotiator(skills), config))
}

#[tokio::test]
async fn skills_are_embedded_once_however_many_ask() {
    let (fake, semantics) =
        semantics(5, SemanticsConfig { batch: 2, ..SemanticsConfig::default() });
    let tasks: Vec<String> = (0..8).map(|n| format!("pdf {n}")).collect();
    let answers = join_all(tasks.iter().map(|task| semantics.similarities(task, || true))).await;
    for answer in answers {
        assert_eq!(
            answer.unwrap().iter().map(|it| it.round()).collect::<Vec<_>>(),
            [1.0, 0.0, 0.0, 0.0, 0.0]
        );
    }
    // Three batches of skills, and eight tasks.
    assert_eq!((fake.calls(), fake.texts.load(Ordering::SeqCst)), (11, 13));
}

#[tokio::test]
async fn a_task_is_asked_about_once_until_it_is_forgotten() {
    let (fake, semantics) =
        semantics(1, SemanticsConfig { remembered: 2, ..SemanticsConfig::default() });
    for task in ["a", "b", "a", "b"] {
        semantics.similarities(task, || true).await.unwrap();
    }
    assert_eq!(fake.calls(), 3);
    // What is known needs no leave.
    assert!(semantics.similarities("a", || panic!("nobody is asked")).await.is_some());
    semantics.similarities("c", || true).await.unwrap();
    semantics.similarities("b", || true).await.unwrap();
    assert_eq!(fake.calls(), 4);
    semantics.similarities("a", || true).await.unwrap();
    assert_eq!(fake.calls(), 5);
}

#[tokio::test]
async fn nobody_is_asked_without_leave_or_without_skills() {
    let (fake, one) = semantics(1, SemanticsConfig::default());
    assert_eq!(one.similarities("a", || false).await, None);
    assert_eq!(fake.calls(), 0);
    let (fake, none) = semantics(0, SemanticsConfig::default());
    assert_eq!(none.similarities("a", || panic!("there are no skills")).await, None);
    assert_eq!(fake.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_there_is_a_pause_and_then_another_try() {
    let (fake, semantics) = semantics(1, SemanticsConfig::default());
    assert!(semantics.similarities("a", || true).await.is_some());
    fake.is_down.store(true, Ordering::SeqCst);
    assert_eq!(semantics.similarities("b", || true).await, None);
    assert_eq!(fake.calls(), 3);

    fake.is_down.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(semantics.similarities("b", || true).await, None);
    assert_eq!(fake.calls(), 3);
    assert!(semantics.similarities("a", || false).await.is_some(), "what is known stays known");

    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(semantics.similarities("b", || true).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn skills_that_could_not_be_embedded_are_tried_by_one_and_again_after_the_pause() {
    let (fake, semantics) = semantics(1, SemanticsConfig::default());
    fake.is_down.store(true, Ordering::SeqCst);
    let answers = join_all((0..4).map(|_| semantics.similarities("a", || true))).await;
    assert!(answers.iter().all(Option::is_none));
    assert_eq!(fake.calls(), 1);
    fake.is_down.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(semantics.similarities("a", || true).await.is_some());
}

#[tokio::test]
async fn one_refused_task_does_not_stand_in_the_way_of_others() {
    let (_, semantics) = semantics(1, SemanticsConfig::default());
    assert_eq!(semantics.similarities("refused", || true).await, None);
    assert!(semantics.similarities("a", || true).await.is_some());
    // An answer without sense is a fault of the embedder.
    assert_eq!(semantics.similarities("nonsense", || true).await, None);
    assert_eq!(semantics.similarities("b", || true).await, None);
}

#[tokio::test]
async fn too_many_at_once_are_judged_by_words() {
    let (_, semantics) = semantics(1, SemanticsConfig { at_once: 1, ..SemanticsConfig::default() });
    let answers =
        tokio::join!(semantics.similarities("a", || true), semantics.similarities("b", || true),);
    assert!(answers.0.is_some() && answers.1.is_none());
    assert!(semantics.similarities("b", || true).await.is_some());
}

#[tokio::test]
async fn meaning_finds_what_words_do_not() {
    let negotiator = negotiator(2);
    let fake = Arc::new(Fake::default());
    let semantics = Semantics::new(fake, &negotiator, SemanticsConfig::default());
    let request = NegotiationRequest::new("read my pdfs");
    let known = semantics.similarities(&negotiator.task_text(&request), || true).await;
    let by = |similarities| {
        negotiator.assess(&request, &Circumstances { similarities, ..Circumstances::default() })
    };
    assert!(!by(None).accepted);
    let answer = by(known.as_deref());
    assert!(answer.accepted);
    assert_eq!(answer.skill_matches[0].reasons, ["semantic similarity: 1.00"]);
}
