//! A2A 0.3 over JSON-RPC: camelCase objects, the nine states of A2A.
//!
//! Reading needs no function of its own: every type of the model implements `Deserialize` and
//! takes both spellings.

use crate::{Dialect, View};

/// Shows a value in this dialect; short for [`Dialect::view`].
#[must_use]
pub const fn view<T: ?Sized>(value: &T) -> View<'_, T> {
    Dialect::V0_3.view(value)
}
