use bindu_http::BoxError;

use super::call::Operation;
use crate::SettleResponse;
use crate::refusal::Detail;

/// Why a facilitator did not do what it was asked, as far as that is known.
///
/// Messages hold no address of the facilitator. Their sources may: they are for the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FacilitatorError {
    /// Its address cannot be used.
    #[error("the address of the facilitator cannot be used: {0}")]
    Config(&'static str),
    /// It surely knows nothing of it: there was no connection, or nothing to send.
    #[error("the facilitator could not be asked to {doing}")]
    NotSent {
        /// What was under way: `settle`.
        doing: &'static str,
        /// What happened.
        source: BoxError,
    },
    /// It says no, with a status of 4xx: it did nothing.
    #[error("facilitator {doing} failed ({status}): {detail}")]
    Refused {
        /// What was under way: `settle`.
        doing: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it says, shortened.
        detail: Detail,
    },
    /// There is no answer, or none from which anything can be concluded: too late, cut off, a
    /// status of 5xx, a redirect to elsewhere, no JSON.
    #[error("facilitator {doing}: no answer that says anything")]
    Unknown {
        /// What was under way: `settle`.
        doing: &'static str,
        /// What happened.
        source: BoxError,
    },
    /// It says yes, to something else than was asked: it is wrong, or it lies.
    #[error("facilitator {doing}: {what}")]
    Contradiction {
        /// What was under way: `settle`.
        doing: &'static str,
        /// In what it is wrong.
        what: &'static str,
        /// What it said, if the money was to be moved.
        receipt: Option<Box<SettleResponse>>,
    },
}

impl FacilitatorError {
    /// If the money was to be moved: whether it may have.
    #[must_use]
    pub const fn may_have_moved(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Contradiction { .. })
    }

    /// Whether the same call may have another answer later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::Unknown { .. } | Self::Contradiction { .. } => true,
            Self::Refused { status, .. } => matches!(*status, 401 | 403 | 404 | 425 | 429),
            Self::Config(_) => false,
        }
    }

    pub(super) fn not_sent(doing: Operation, source: impl Into<BoxError>) -> Self {
        Self::NotSent { doing: doing.as_str(), source: source.into() }
    }

    pub(super) fn unknown(doing: Operation, source: impl Into<BoxError>) -> Self {
        Self::Unknown { doing: doing.as_str(), source: source.into() }
    }
}
