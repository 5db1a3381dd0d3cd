//! Authorities, peers and servers made for a test.

pub(crate) mod authority;
pub(crate) mod fake_ca;
pub(crate) mod wire;

use std::time::Duration;

use bindu_did::Did;
use tokio::time::timeout;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Longer than anything here takes; only a test that fails waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const ANN: &str =
    "did:bindu:ann_at_example_com:echo:139e3940-e64b-5491-7220-88d9a0d74162";
pub(crate) const BEN: &str =
    "did:bindu:ben_at_example_com:shout:53cbcb43-82ef-8a50-ba7c-f79217d463de";

pub(crate) fn did(text: &str) -> Did {
    text.parse().expect("tests name valid DIDs")
}

/// Awaits something that must happen, without waiting for ever if it does not.
pub(crate) async fn within<F: Future>(future: F) -> Result<F::Output> {
    Ok(timeout(PATIENCE, future).await?)
}

/// An error with all that lies below it.
pub(crate) fn whole(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    text
}
