//! Who owns what, and in which order it was made.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use bindu_protocol::{ContextId, ContextSummary, Owner, TaskId, Timestamp};

use crate::{ContextQuery, Page, StorageError, TaskQuery};

/// Place in a list: by creation, within an instant by id.
type Place<Id> = (Timestamp, Id);

#[derive(Default)]
pub(super) struct Index {
    contexts: HashMap<ContextId, ContextEntry>,
    owners: HashMap<Arc<Owner>, Belongings>,
}

struct ContextEntry {
    owner: Arc<Owner>,
    created: Timestamp,
    /// In the order of their places.
    tasks: VecDeque<Place<TaskId>>,
}

#[derive(Default)]
struct Belongings {
    tasks: BTreeSet<Place<TaskId>>,
    contexts: BTreeSet<Place<ContextId>>,
}

impl Index {
    pub(super) fn owner_of(&self, context: &ContextId) -> Option<&Arc<Owner>> {
        self.contexts.get(context).map(|entry| &entry.owner)
    }

    /// The ids of a context's tasks, oldest first.
    pub(super) fn tasks_of(&self, context: &ContextId) -> Vec<TaskId> {
        let entry = self.contexts.get(context);
        entry.into_iter().flat_map(|entry| &entry.tasks).map(|(_, id)| id.clone()).collect()
    }

    /// Enters a new task, and its context if that is new.
    pub(super) fn insert(
        &mut self,
        owner: &Owner,
        context: &ContextId,
        created: Timestamp,
        id: &TaskId,
    ) {
        let shared = self.owners.get_key_value(owner).map(|(shared, _)| Arc::clone(shared));
        let owner = shared.unwrap_or_else(|| Arc::new(owner.clone()));
        let belongings = self.owners.entry(Arc::clone(&owner)).or_default();
        let place = (created, id.clone());
        belongings.tasks.insert(place.clone());
        if let Some(entry) = self.contexts.get_mut(context) {
            let at = entry.tasks.partition_point(|other| *other < place);
            entry.tasks.insert(at, place);
        } else {
            belongings.contexts.insert((created, context.clone()));
            let mut tasks = VecDeque::with_capacity(1);
            tasks.push_back(place);
            self.contexts.insert(context.clone(), ContextEntry { owner, created, tasks });
        }
    }

    /// Takes a task out, and its context if that was its last.
    pub(super) fn remove(&mut self, context: &ContextId, created: Timestamp, id: &TaskId) {
        let Some(entry) = self.contexts.get_mut(context) else { return };
        let place = (created, id.clone());
        if let Ok(at) = entry.tasks.binary_search(&place) {
            entry.tasks.remove(at);
        }
        let owner = Arc::clone(&entry.owner);
        let emptied = entry.tasks.is_empty().then_some(entry.created);
        if emptied.is_some() {
            self.contexts.remove(context);
        }
        let Some(belongings) = self.owners.get_mut(&owner) else { return };
        belongings.tasks.remove(&place);
        if let Some(created) = emptied {
            belongings.contexts.remove(&(created, context.clone()));
        }
        if belongings.tasks.is_empty() {
            self.owners.remove(&owner);
        }
    }

    pub(super) fn tasks(&self, query: &TaskQuery) -> Result<Page<TaskId>, StorageError> {
        let after = query.after.as_deref().map(parse_cursor).transpose()?;
        let span = Span { after, oldest_first: query.oldest_first, limit: query.limit };
        let page = if let Some(context) = &query.context {
            let entry = self.contexts.get(context);
            let entry = entry
                .filter(|entry| query.owner.as_ref().is_none_or(|owner| *owner == *entry.owner));
            span.page(entry.map(|entry| Sorted::Deque(&entry.tasks)))
        } else if let Some(owner) = &query.owner {
            span.page(self.owners.get(owner).map(|of| Sorted::Tree(&of.tasks)))
        } else {
            span.page(self.owners.values().map(|of| Sorted::Tree(&of.tasks)))
        };
        Ok(Page {
            items: page.items.into_iter().map(|(_, id)| id.clone()).collect(),
            next: page.next,
        })
    }

    pub(super) fn contexts(
        &self,
        query: &ContextQuery,
    ) -> Result<Page<ContextSummary>, StorageError> {
        let after = query.after.as_deref().map(parse_cursor).transpose()?;
        let span = Span { after, oldest_first: false, limit: query.limit };
        let page = if let Some(owner) = &query.owner {
            span.page(self.owners.get(owner).map(|of| Sorted::Tree(&of.contexts)))
        } else {
            span.page(self.owners.values().map(|of| Sorted::Tree(&of.contexts)))
        };
        let items = page.items.into_iter().map(|(_, context)| {
            let task_ids = self.tasks_of(context);
            ContextSummary { context_id: context.clone(), task_count: task_ids.len(), task_ids }
        });
        Ok(Page { items: items.collect(), next: page.next })
    }
}

/// A stretch of a list.
struct Span<Id> {
    after: Option<Place<Id>>,
    oldest_first: bool,
    limit: usize,
}

/// Something in the order of its places.
enum Sorted<'a, Id> {
    Tree(&'a BTreeSet<Place<Id>>),
    Deque(&'a VecDeque<Place<Id>>),
}

impl<Id: Clone + Ord + fmt::Display> Span<Id> {
    /// The stretch of all the lists together.
    fn page<'a>(&self, lists: impl IntoIterator<Item = Sorted<'a, Id>>) -> Page<&'a Place<Id>>
    where
        Id: 'a,
    {
        if self.limit == 0 {
            return Page { items: Vec::new(), next: None };
        }
        // One more than asked for tells whether more follows.
        let wanted = self.limit.saturating_add(1);
        let mut items = Vec::new();
        let mut several = false;
        for list in lists {
            several |= !items.is_empty();
            self.collect(list, wanted, &mut items);
        }
        if several {
            items.sort_unstable();
            if !self.oldest_first {
                items.reverse();
            }
        }
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let next = items.last().filter(|_| more).map(|place| cursor(place));
        Page { items, next }
    }

    fn collect<'a>(&self, list: Sorted<'a, Id>, wanted: usize, items: &mut Vec<&'a Place<Id>>) {
        let after = self.after.as_ref();
        match (list, self.oldest_first) {
            (Sorted::Tree(tree), true) => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                items.extend(tree.range((from, Bound::Unbounded)).take(wanted));
            }
            (Sorted::Tree(tree), false) => {
                let to = after.map_or(Bound::Unbounded, Bound::Excluded);
                items.extend(tree.range((Bound::Unbounded, to)).rev().take(wanted));
            }
            (Sorted::Deque(deque), true) => {
                let from = after.map_or(0, |after| deque.partition_point(|place| place <= after));
                items.extend(deque.range(from..).take(wanted));
            }
            (Sorted::Deque(deque), false) => {
                let to =
                    after.map_or(deque.len(), |after| deque.partition_point(|place| place < after));
                items.extend(deque.range(..to).rev().take(wanted));
            }
        }
    }
}

fn cursor<Id: fmt::Display>((created, id): &Place<Id>) -> String {
    format!("{}.{id}", created.as_unix_micros())
}

fn parse_cursor<Id: FromStr>(text: &str) -> Result<Place<Id>, StorageError> {
    let place = text.split_once('.').and_then(|(micros, id)| {
        Some((Timestamp::from_unix_micros(micros.parse().ok()?), id.parse().ok()?))
    });
    place.ok_or(StorageError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_takes_no_room() {
        let mut index = Index::default();
        let mut made = Vec::new();
        for number in 0..100 {
            let owner = Owner::from(Some(format!("owner-{}", number % 3)));
            let context: ContextId = format!("context-{}", number % 12).parse().unwrap();
            let created = Timestamp::from_unix_micros(number * 7 % 50);
            let id = TaskId::random();
            index.insert(&owner, &context, created, &id);
            made.push((context, created, id));
        }
        for (context, created, id) in &made {
            index.remove(context, *created, id);
            let of_contexts: usize = index.contexts.values().map(|entry| entry.tasks.len()).sum();
            let of_owners: usize = index.owners.values().map(|owner| owner.tasks.len()).sum();
            assert_eq!(of_contexts, of_owners);
        }
        assert!(index.contexts.is_empty() && index.owners.is_empty());
    }
}
