//! How similar in meaning tasks are to an agent's skills.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use super::embed::cosine;
use super::{EmbedError, Embedder, Negotiator};

/// How [`Semantics`] asks; every member has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemanticsConfig {
    /// Tasks whose vectors are kept, so that they are not asked about twice; beyond it the oldest
    /// are forgotten. Default 1,000.
    pub remembered: usize,
    /// Texts of skills that are asked about at once. Default 32.
    pub batch: usize,
    /// Questions under way at one time; who comes then is judged by words alone. Default 16.
    pub at_once: usize,
    /// How long nothing is asked after it failed. Default 60 s.
    pub pause: Duration,
}

impl Default for SemanticsConfig {
    fn default() -> Self {
        Self { remembered: 1_000, batch: 32, at_once: 16, pause: Duration::from_mins(1) }
    }
}

type Vector = Arc<[f32]>;

/// Compares tasks with an agent's skills by an [`Embedder`].
///
/// The skills are embedded once, when the first task comes; tasks that come meanwhile wait for it.
/// What fails is logged, and is tried again after a pause; until then tasks have no similarities.
pub struct Semantics {
    embedder: Arc<dyn Embedder>,
    texts: Vec<String>,
    config: SemanticsConfig,
    skills: Mutex<Option<Arc<[Vector]>>>,
    tasks: std::sync::Mutex<Recent>,
    asking: Semaphore,
    paused_until: std::sync::Mutex<Option<Instant>>,
}

impl fmt::Debug for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semantics")
            .field("embedder", &self.embedder)
            .field("skills", &self.texts.len())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Semantics {
    /// Compares with the skills of a negotiator. Asks nothing yet.
    #[must_use]
    pub fn new(
        embedder: Arc<dyn Embedder>,
        negotiator: &Negotiator,
        config: SemanticsConfig,
    ) -> Self {
        Self {
            embedder,
            texts: negotiator.skill_texts(),
            config,
            skills: Mutex::default(),
            tasks: std::sync::Mutex::new(Recent::new(config.remembered)),
            asking: Semaphore::new(config.at_once),
            paused_until: std::sync::Mutex::default(),
        }
    }

    /// How similar a task's [text](Negotiator::task_text) is to each skill, in the order of the
    /// skills. `None` if that is not known: then words alone count.
    ///
    /// `may_ask` is called at most once, when the embedder would have to be asked about this task. If
    /// it says no, it is not.
    pub async fn similarities(
        &self,
        task: &str,
        may_ask: impl FnOnce() -> bool + Send,
    ) -> Option<Vec<f64>> {
        if self.texts.is_empty() {
            return None;
        }
        let key = lock(&self.tasks).key(task);
        let known = lock(&self.tasks).get(key);
        if let Some(task) = known {
            // Before there are vectors of tasks there are those of skills.
            let skills = self.skills.lock().await.clone()?;
            return Some(compare(&task, &skills));
        }
        if self.is_paused() || !may_ask() {
            return None;
        }
        let _permit = self.asking.try_acquire().ok()?;
        let skills = self.skills().await?;
        let task = self.embed(vec![task.to_owned()]).await.ok()?.pop()?;
        lock(&self.tasks).insert(key, Arc::clone(&task));
        Some(compare(&task, &skills))
    }

    /// The vectors of the skills; the first who asks has them made.
    async fn skills(&self) -> Option<Arc<[Vector]>> {
        let mut skills = self.skills.lock().await;
        if let Some(skills) = &*skills {
            return Some(Arc::clone(skills));
        }
        // While this one waited, another may have tried in vain.
        if self.is_paused() {
            return None;
        }
        let mut made = Vec::with_capacity(self.texts.len());
        for texts in self.texts.chunks(self.config.batch.max(1)) {
            let Ok(vectors) = self.embed(texts.to_vec()).await else {
                // They would be refused again.
                self.pause();
                return None;
            };
            made.extend(vectors);
        }
        let made: Arc<[Vector]> = made.into();
        *skills = Some(Arc::clone(&made));
        Some(made)
    }

    async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vector>, Failed> {
        let asked = texts.len();
        let told = self.embedder.embed(texts).await.and_then(|vectors| {
            let is_whole = vectors.len() == asked
                && vectors.iter().all(|it| !it.is_empty() && it.iter().all(|x| x.is_finite()));
            if is_whole {
                Ok(vectors)
            } else {
                Err(EmbedError::unavailable("the answer is not one vector a text"))
            }
        });
        told.map(|vectors| vectors.into_iter().map(Vector::from).collect()).map_err(|error| {
            let passes = matches!(error, EmbedError::Refused(_));
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no similarity of meaning: tasks are judged by their words"
            );
            if !passes {
                self.pause();
            }
            Failed
        })
    }

    fn is_paused(&self) -> bool {
        lock(&self.paused_until).is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self) {
        *lock(&self.paused_until) = Instant::now().checked_add(self.config.pause);
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn compare(task: &Vector, skills: &[Vector]) -> Vec<f64> {
    skills.iter().map(|skill| cosine(task, skill)).collect()
}

/// It failed, and that is logged.
struct Failed;

/// The vectors of the tasks that came last.
struct Recent {
    /// By fingerprint: texts are long, and whoever sends them does not know these keys.
    vectors: HashMap<[u64; 2], Vector>,
    order: VecDeque<[u64; 2]>,
    most: usize,
    hashers: [RandomState; 2],
}

impl Recent {
    fn new(most: usize) -> Self {
        let hashers = [RandomState::new(), RandomState::new()];
        Self { vectors: HashMap::new(), order: VecDeque::new(), most, hashers }
    }

    fn key(&self, text: &str) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(text))
    }

    fn get(&self, key: [u64; 2]) -> Option<Vector> {
        self.vectors.get(&key).cloned()
    }

    fn insert(&mut self, key: [u64; 2], vector: Vector) {
        if self.most == 0 || self.vectors.insert(key, vector).is_some() {
            return;
        }
        self.order.push_back(key);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.vectors.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
