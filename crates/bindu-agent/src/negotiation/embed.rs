//! The seam: who knows what texts mean.

use std::error::Error;
use std::fmt;

use crate::BoxFuture;

/// Turns texts into vectors that are close where the meanings are.
pub trait Embedder: fmt::Debug + Send + Sync + 'static {
    /// One vector for each text, in the order of the texts. It should come to an end by itself, well
    /// or badly; dropped, it may have been done or not.
    ///
    /// # Errors
    ///
    /// [`EmbedError::Refused`] if it is because of these texts, [`EmbedError::Unavailable`] if others
    /// would fare no better at the moment.
    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Result<Vec<Vec<f32>>, EmbedError>>;
}

/// Why texts have no vectors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// These texts are not taken: too long, for example.
    #[error("the texts are refused: {0}")]
    Refused(String),
    /// Nobody can tell at the moment.
    #[error("texts cannot be embedded")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl EmbedError {
    /// That nobody can tell at the moment, and why.
    pub fn unavailable(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(why.into())
    }
}

/// The cosine of the angle between two vectors; 0 if one has no direction, or they have nothing in
/// common to compare.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() {
        return 0.0;
    }
    let (mut dot, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        dot += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    let norms = of_a.sqrt() * of_b.sqrt();
    if norms > 0.0 && norms.is_finite() { (dot / norms).clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_is_that_of_directions() {
        let near = |a: &[f32], b: &[f32], expected: f64| {
            let cosine = cosine(a, b);
            assert!((cosine - expected).abs() < 1e-9, "{a:?} {b:?}: {cosine}");
        };
        near(&[1.0, 0.0], &[3.0, 0.0], 1.0);
        near(&[1.0, 0.0], &[0.0, 2.0], 0.0);
        near(&[1.0, 0.0], &[-1.0, 0.0], -1.0);
        near(&[1.0, 1.0], &[1.0, 0.0], 0.5_f64.sqrt());
        near(&[0.0, 0.0], &[1.0, 0.0], 0.0);
        near(&[1.0], &[1.0, 0.0], 0.0);
        near(&[f32::MAX, f32::INFINITY], &[1.0, 1.0], 0.0);
    }
}
