//! The seam: what keeps account of payments.

use std::fmt;
use std::str::FromStr;

use bindu_protocol::{Json, Owner, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{BoxFuture, Page, StorageError};

/// Keeps account of payments, beside the tasks they pay for.
///
/// A payment is written down before its money moves, and each step of it is a compare-and-set on
/// its version: of two who want to take the same step, one does. A ledger knows nothing of chains,
/// of facilitators or of time; whoever writes has checked the move, see
/// [`PaymentState::can_become`].
///
/// It is kept where the tasks are: by all processes of an agent together, if they share a store. It
/// is not one of their tasks' belongings: clearing a context or pruning tasks leaves it as it is.
/// Futures may be dropped at any point: what was asked for then happens wholly or not at all.
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Writes a payment down, unless one of its key is there: then says which. Of several calls at
    /// once, one opens it. The version it comes with is ignored.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] if there is no room; [`StorageError::Backend`] if the backend cannot
    /// be reached. Whoever guards money takes neither for a yes.
    fn open(&self, payment: Payment) -> BoxFuture<'_, Result<Opened, StorageError>>;

    /// Replaces a payment that is still at `payment.version`, all of it but its key, and answers
    /// with it at its new version.
    ///
    /// # Errors
    ///
    /// [`StorageError::PaymentConflict`] if it has moved on, or is not there: nothing is written.
    /// Else as [`payment`](Self::payment).
    fn advance(&self, payment: Payment) -> BoxFuture<'_, Result<Payment, StorageError>>;

    /// Takes a payment out as if it had never been, if it is at `version`; says whether it was.
    /// Only for those whose money has surely not moved: the same authorization may come again.
    ///
    /// # Errors
    ///
    /// As [`payment`](Self::payment).
    fn withdraw<'a>(
        &'a self,
        key: &'a PaymentKey,
        version: u64,
    ) -> BoxFuture<'a, Result<bool, StorageError>>;

    /// Reads a payment.
    ///
    /// # Errors
    ///
    /// [`StorageError::Backend`] if the backend cannot be reached.
    fn payment<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<Payment>, StorageError>>;

    /// Reads the payments for a task, oldest first.
    ///
    /// # Errors
    ///
    /// As [`payment`](Self::payment).
    fn payments_of<'a>(
        &'a self,
        task: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Payment>, StorageError>>;

    /// Reads the payments that somebody has to look at: those whose `due` is not after `now`, the
    /// longest due first, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`payment`](Self::payment).
    fn due_payments(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Payment>, StorageError>>;

    /// Lists payments, newest first. A list that is read page by page while payments are opened and
    /// move on repeats none and skips none that stays in it.
    ///
    /// # Errors
    ///
    /// [`StorageError::BadCursor`] for a cursor that this ledger did not make. Else as
    /// [`payment`](Self::payment).
    fn payments(&self, query: PaymentQuery) -> BoxFuture<'_, Result<Page<Payment>, StorageError>>;
}

/// What came of opening a payment.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// It is written down, at this version.
    New(Payment),
    /// There was one of its key, which stays as it is.
    Taken(Payment),
}

/// Names a payment by what makes its authorization unique: chain, asset, payer and nonce.
///
/// As a text: the four, in lower case, with slashes between.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PaymentKey(Box<str>);

impl PaymentKey {
    /// The key of an authorization. The chain is a CAIP-2 id such as `eip155:8453`, the others are
    /// hexadecimal texts; case makes no difference. They have been checked before: what is none of
    /// these, a slash or nothing at all, becomes `_`.
    ///
    /// ```
    /// # use bindu_storage::PaymentKey;
    /// let key = PaymentKey::new("eip155:8453", "0xAB", "0xCD", "0x01");
    /// assert_eq!(key.as_str(), "eip155:8453/0xab/0xcd/0x01");
    /// assert_eq!(key.as_str().parse(), Ok(key));
    /// ```
    #[must_use]
    pub fn new(network: &str, asset: &str, payer: &str, nonce: &str) -> Self {
        // Whatever is written can be read again: a ledger would stumble over a key that cannot.
        let parts = [network, asset, payer, nonce].map(|part| match part {
            "" => "_".to_owned(),
            part => part.replace('/', "_").to_ascii_lowercase(),
        });
        Self(parts.join("/").into())
    }

    /// The key as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The chain, as a CAIP-2 id.
    #[must_use]
    pub fn network(&self) -> &str {
        self.part(0)
    }

    /// The asset's address.
    #[must_use]
    pub fn asset(&self) -> &str {
        self.part(1)
    }

    /// The payer's address.
    #[must_use]
    pub fn payer(&self) -> &str {
        self.part(2)
    }

    /// The nonce.
    #[must_use]
    pub fn nonce(&self) -> &str {
        self.part(3)
    }

    fn part(&self, number: usize) -> &str {
        self.0.split('/').nth(number).unwrap_or_default()
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for PaymentKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let parts: Vec<_> = text.split('/').collect();
        match *parts {
            [network, asset, payer, nonce] if parts.iter().all(|part| !part.is_empty()) => {
                Ok(Self::new(network, asset, payer, nonce))
            }
            _ => Err(NotAKey),
        }
    }
}

impl TryFrom<String> for PaymentKey {
    type Error = NotAKey;

    fn try_from(text: String) -> Result<Self, NotAKey> {
        text.parse()
    }
}

impl From<PaymentKey> for String {
    fn from(key: PaymentKey) -> Self {
        key.0.into()
    }
}

/// A text that is no [`PaymentKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payment is named by network/asset/payer/nonce")]
pub struct NotAKey;

/// A payment as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// Its name.
    pub key: PaymentKey,
    /// How often it was written: 1 when it is opened. What it is before makes no difference.
    pub version: u64,
    /// Where it stands.
    pub state: PaymentState,
    /// The task that it pays for. It may not exist yet.
    pub task: TaskId,
    /// Whose task.
    pub owner: Owner,
    /// What was signed: an x402 `PaymentPayload`. With it the money can be taken, by us alone.
    pub payload: Json,
    /// What was asked for: an x402 `PaymentRequirements`.
    pub requirements: Json,
    /// What came of taking the money: an x402 `SettleResponse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Json>,
    /// Why it failed, or why nobody knows what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How often it was tried to take the money.
    pub attempts: u32,
    /// After this the authorization is void.
    pub expires: Timestamp,
    /// When somebody has to look at it, unless it moves on before; `None` once nothing is left to
    /// be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When it was opened.
    pub created: Timestamp,
    /// When it was written last.
    pub updated: Timestamp,
}

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaymentState {
    /// It was promised, and is being verified. Nothing has moved.
    Required,
    /// It was found good. Nothing has moved.
    Verified,
    /// The money is being taken.
    Settling,
    /// The money was taken; the work is not done yet.
    Settled,
    /// The money was not taken, and will not be. Final.
    Failed,
    /// Whether the money was taken is not known.
    Unknown,
    /// The money was taken and the work done. Final.
    Delivered,
    /// The money was taken and the work will not be done: it is to be given back. Final.
    Orphaned,
}

impl PaymentState {
    /// All states, in the order in which a payment goes through them.
    pub const ALL: [Self; 8] = [
        Self::Required,
        Self::Verified,
        Self::Settling,
        Self::Settled,
        Self::Failed,
        Self::Unknown,
        Self::Delivered,
        Self::Orphaned,
    ];

    /// The state's name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Verified => "verified",
            Self::Settling => "settling",
            Self::Settled => "settled",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Delivered => "delivered",
            Self::Orphaned => "orphaned",
        }
    }

    /// Whether the payment is over: nobody does anything about it any more. Only a late word that
    /// the money was taken after all still moves one that failed.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Delivered | Self::Orphaned)
    }

    /// Whether the money was surely taken.
    #[must_use]
    pub const fn is_paid(self) -> bool {
        matches!(self, Self::Settled | Self::Delivered | Self::Orphaned)
    }

    /// Whether a payment may go from this state to `next`. One may be written again without
    /// moving.
    #[must_use]
    pub const fn can_become(self, next: Self) -> bool {
        use PaymentState as S;
        match (self, next) {
            (S::Required, to) => matches!(to, S::Required | S::Verified | S::Failed),
            (S::Verified, to) => {
                matches!(to, S::Required | S::Verified | S::Settling | S::Failed)
            }
            (S::Settling | S::Unknown, to) => {
                matches!(to, S::Settling | S::Settled | S::Failed | S::Unknown)
            }
            (S::Settled, to) => matches!(to, S::Settled | S::Delivered | S::Orphaned),
            // What was taken for failed may turn out to have been taken after all.
            (S::Failed, to) => matches!(to, S::Settled),
            (S::Delivered | S::Orphaned, _) => false,
        }
    }
}

impl fmt::Display for PaymentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for PaymentState {
    type Err = NotAPaymentState;

    fn from_str(text: &str) -> Result<Self, NotAPaymentState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(NotAPaymentState)
    }
}

/// A text that names no [`PaymentState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a state of a payment; the states are required, verified, settling, settled, failed, unknown, delivered, orphaned"
)]
pub struct NotAPaymentState;

/// Which payments to list.
#[derive(Clone, Debug, Default)]
pub struct PaymentQuery {
    /// Only those in this state.
    pub state: Option<PaymentState>,
    /// Where the page before ended.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}
