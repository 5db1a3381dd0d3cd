//! The ledger, in the same file as the tasks.

use bindu_protocol::{TaskId, Timestamp};
use bindu_storage::{
    BoxFuture, Ledger, Opened, Page, Payment, PaymentKey, PaymentQuery, StorageError,
};

use super::SqliteStore;
use crate::sql::payment;
use crate::writer::Transaction;

/// The payments lie in the same file, and are as durable as tasks. They stay for good.
impl Ledger for SqliteStore {
    fn open(&self, payment: Payment) -> BoxFuture<'_, Result<Opened, StorageError>> {
        let run = move |file: &Transaction<'_>| payment::open(file.connection, &payment);
        Box::pin(self.write("opening a payment", run))
    }

    fn advance(&self, payment: Payment) -> BoxFuture<'_, Result<Payment, StorageError>> {
        let run = move |file: &Transaction<'_>| payment::advance(file.connection, &payment);
        Box::pin(self.write("advancing a payment", run))
    }

    fn withdraw<'a>(
        &'a self,
        key: &'a PaymentKey,
        version: u64,
    ) -> BoxFuture<'a, Result<bool, StorageError>> {
        let key = key.clone();
        let run = move |file: &Transaction<'_>| payment::withdraw(file.connection, &key, version);
        Box::pin(self.write("withdrawing a payment", run))
    }

    fn payment<'a>(
        &'a self,
        key: &'a PaymentKey,
    ) -> BoxFuture<'a, Result<Option<Payment>, StorageError>> {
        let key = key.clone();
        let read = move |file: &_| payment::find(file, &key);
        Box::pin(self.readers.read("reading a payment", read))
    }

    fn payments_of<'a>(
        &'a self,
        task: &'a TaskId,
    ) -> BoxFuture<'a, Result<Vec<Payment>, StorageError>> {
        let task = task.clone();
        let read = move |file: &_| payment::of_task(file, &task);
        Box::pin(self.readers.read("reading the payments for a task", read))
    }

    fn due_payments(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Payment>, StorageError>> {
        let read = move |file: &_| payment::due(file, now, limit);
        Box::pin(self.readers.read("looking for due payments", read))
    }

    fn payments(&self, query: PaymentQuery) -> BoxFuture<'_, Result<Page<Payment>, StorageError>> {
        let read = move |file: &_| payment::list(file, &query);
        Box::pin(self.readers.read("listing payments", read))
    }
}
