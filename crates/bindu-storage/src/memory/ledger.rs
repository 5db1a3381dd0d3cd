//! Payments in memory.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bindu_protocol::{TaskId, Timestamp};

use crate::{
    BoxFuture, Ledger, Opened, Page, Payment, PaymentKey, PaymentQuery, PaymentState, StorageError,
};

/// How long a payment that is over stays, in microseconds: a day.
const KEPT: i64 = 24 * 60 * 60 * 1_000_000;

/// A place in a list: since when, and which of that moment.
type Place = (Timestamp, PaymentKey);

/// Keeps account of payments in memory: for one process, and only as long as it lives.
///
/// Whoever takes money should keep account on a disk: what this ledger knows is lost with the
/// process, also that somebody has paid.
///
/// It is bounded in payments. Those that are over are dropped a day after they were written last,
/// by the times that later ones come with; until then it would rather be full than forget.
///
/// ```
/// use bindu_storage::{Ledger, MemoryLedger, PaymentQuery};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), bindu_storage::StorageError> {
/// let ledger = MemoryLedger::new(1_000);
/// let page = ledger.payments(PaymentQuery { limit: 10, ..PaymentQuery::default() }).await?;
/// assert!(page.items.is_empty());
/// # Ok(())
/// # }
/// ```
pub struct MemoryLedger {
    book: Mutex<Book>,
    max: usize,
}

impl MemoryLedger {
    /// Keeps at most `max` payments.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { book: Mutex::default(), max }
    }

    /// A panic elsewhere does not take the ledger away: its collections are changed together,
    /// without anything between that can panic.
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryLedger {
    /// One that keeps 100,000 payments: some hundred megabytes.
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("max", &self.max)
            .field("payments", &self.lock().payments.len())
            .finish_non_exhaustive()
    }
}

/// The payments, and where to look for them without looking at all.
#[derive(Default)]
struct Book {
    payments: HashMap<PaymentKey, Payment>,
    tasks: HashMap<TaskId, BTreeSet<Place>>,
    /// By creation: all, and those in each state.
    lists: HashMap<Option<PaymentState>, BTreeSet<Place>>,
    due: BTreeSet<Place>,
    /// Those that are over, by when they were written.
    over: BTreeSet<Place>,
}

impl Book {
    fn insert(&mut self, payment: Payment) {
        let key = payment.key.clone();
        let place = (payment.created, key.clone());
        self.tasks.entry(payment.task.clone()).or_default().insert(place.clone());
        self.lists.entry(Some(payment.state)).or_default().insert(place.clone());
        self.lists.entry(None).or_default().insert(place);
        if let Some(due) = payment.due {
            self.due.insert((due, key.clone()));
        }
        if payment.state.is_final() {
            self.over.insert((payment.updated, key.clone()));
        }
        self.payments.insert(key, payment);
    }

    fn remove(&mut self, key: &PaymentKey) {
        let Some(payment) = self.payments.remove(key) else { return };
        let place = (payment.created, payment.key);
        if let Some(places) = self.tasks.get_mut(&payment.task) {
            places.remove(&place);
            if places.is_empty() {
                self.tasks.remove(&payment.task);
            }
        }
        for list in [None, Some(payment.state)] {
            if let Some(places) = self.lists.get_mut(&list) {
                places.remove(&place);
            }
        }
        let (_, key) = place;
        if let Some(due) = payment.due {
            self.due.remove(&(due, key.clone()));
        }
        self.over.remove(&(payment.updated, key));
    }

    fn drop_old(&mut self, now: Timestamp) {
        let before = now.as_unix_micros().saturating_sub(KEPT);
        while let Some((updated, key)) = self.over.first()
            && updated.as_unix_micros() <= before
        {
            let key = key.clone();
            self.remove(&key);
        }
    }

    fn open(&mut self, payment: Payment, max: usize) -> Result<Opened, StorageError> {
        // First what has gone by: whether it is there must not depend on how full it is.
        self.drop_old(payment.updated);
        if let Some(there) = self.payments.get(&payment.key) {
            return Ok(Opened::Taken(there.clone()));
        }
        if self.payments.len() >= max {
            return Err(StorageError::Full { limit: max, unit: "payments" });
        }
        let payment = Payment { version: 1, ..payment };
        self.insert(payment.clone());
        Ok(Opened::New(payment))
    }

    fn advance(&mut self, mut payment: Payment) -> Result<Payment, StorageError> {
        if !self.is_at(&payment.key, payment.version) {
            return Err(StorageError::PaymentConflict(payment.key));
        }
        payment.version += 1;
        self.remove(&payment.key);
        self.insert(payment.clone());
        Ok(payment)
    }

    fn is_at(&self, key: &PaymentKey, version: u64) -> bool {
        self.payments.get(key).is_some_and(|there| there.version == version)
    }

    fn withdraw(&mut self, key: &PaymentKey, version: u64) -> bool {
        let is_there = self.is_at(key, version);
        if is_there {
            self.remove(key);
        }
        is_there
    }

    fn at<'a>(&'a self, places: impl Iterator<Item = &'a Place>) -> Vec<Payment> {
        places.filter_map(|(_, key)| self.payments.get(key)).cloned().collect()
    }

    fn list(&self, query: &PaymentQuery) -> Result<Page<Payment>, StorageError> {
        let after = query.after.as_deref().map(parse_cursor).transpose()?;
        let Some(places) = self.lists.get(&query.state).filter(|_| query.limit > 0) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let mut left = match &after {
            Some(after) => places.range(..after),
            None => places.range::<Place, _>(..),
        };
        let items = self.at(left.by_ref().rev().take(query.limit));
        let next = items.last().filter(|_| left.next().is_some()).map(cursor);
        Ok(Page { items, next })
    }
}

fn cursor(payment: &Payment) -> String {
    format!("{}.{}", payment.created.as_unix_micros(), payment.key)
}

fn parse_cursor(text: &str) -> Result<Place, StorageError> {
    let place = text.split_once('.').and_then(|(micros, key)| {
        Some((Timestamp::from_unix_micros(micros.parse().ok()?), key.parse().ok()?))
    });
    place.ok_or(StorageError::BadCursor)
}

// The blocks are lazy, so that a future that is dropped unpolled did nothing.
impl Ledger for MemoryLedger {
    fn open(&self, payment: Payment) -> BoxFuture<'_, Result<Opened, StorageError>> {
        Box::pin(async move { self.lock().open(payment, self.max) })
    }

    fn advance(&self, payment: Payment) -> BoxFuture<'_, Result<Payment, StorageError>> {
        Box::pin(async move { self.lock().advance(payment) })
    }

    fn withdraw<'a>(
        &'a self,
        key: &'a PaymentKey,
        version: u64,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        Box::pin(async move { Ok(self.lock().withdraw(key, version)) })
    }

    fn payment<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<Payment>, StorageError>> {
        Box::pin(async move { Ok(self.lock().payments.get(key).cloned()) })
    }

    fn payments_of<'a>(
        &'a self,
        task: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Payment>, StorageError>> {
        Box::pin(async move {
            let book = self.lock();
            Ok(book.tasks.get(task).map_or_else(Vec::new, |places| book.at(places.iter())))
        })
    }

    fn due_payments(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Payment>, StorageError>> {
        Box::pin(async move {
            let book = self.lock();
            let due = book.due.iter().take_while(|(due, _)| *due <= now);
            Ok(book.at(due.take(limit)))
        })
    }

    fn payments(&self, query: PaymentQuery) -> BoxFuture<'_, Result<Page<Payment>, StorageError>> {
        Box::pin(async move { self.lock().list(&query) })
    }
}
