//! The seam: what remembers that something was seen before.

use std::fmt;

use bindu_protocol::Timestamp;

use crate::{BoxFuture, StorageError};

/// Remembers keys for a while, so that whatever stands behind a key is accepted once.
///
/// Shared by all processes that share the backend.
pub trait ReplayGuard: fmt::Debug + Send + Sync + 'static {
    /// Whether `key` comes for the first time; from then on until `until` it does not. Of several
    /// calls at once, one is told so.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`] if the backend cannot be reached; [`StorageError::Full`] if no
    /// further key can be remembered. Whoever guards money takes neither for a yes.
    fn first<'a>(
        &'a self,
        key: &'a str,
        now: Timestamp,
        until: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StorageError>>;

    /// Forgets a key, which then comes for the first time again: for what was shown and turned out
    /// to be void, so that whoever it belongs to can still show it. A key that is not there is
    /// forgotten already.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`] if the backend cannot be reached; the key may be forgotten or not.
    fn forget<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StorageError>>;
}
