//! Keys under which a write happens only once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bindu_protocol::{MessageId, Owner, TaskId, Timestamp};

use super::weight;
use crate::Once;

/// What a key takes beside its texts, in the map and in the order.
const KEY: usize = 192;

/// The keys in use, at most so many and so large together.
pub(super) struct OnceKeys {
    max: usize,
    max_bytes: usize,
    weight: usize,
    keys: HashMap<Arc<Key>, Used>,
    /// In the order of their making, which is that of their ends as long as all live equally long.
    order: VecDeque<(Timestamp, Arc<Key>)>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    owner: Owner,
    message: MessageId,
}

impl Key {
    fn weight(&self) -> usize {
        KEY + weight::owner(&self.owner) + weight::message_id(&self.message)
    }
}

struct Used {
    by: TaskId,
    until: Timestamp,
}

impl OnceKeys {
    pub(super) fn new(max: usize, max_bytes: usize) -> Self {
        Self { max, max_bytes, weight: 0, keys: HashMap::new(), order: VecDeque::new() }
    }

    /// About how many bytes the keys take.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// The task that used the key, if that is still remembered at `at`.
    pub(super) fn find(&self, once: &Once, at: Timestamp) -> Option<&TaskId> {
        let key = Key { owner: once.owner.clone(), message: once.message.clone() };
        self.keys.get(&key).filter(|used| used.until > at).map(|used| &used.by)
    }

    pub(super) fn insert(&mut self, once: Once, by: TaskId, at: Timestamp) {
        let key = Arc::new(Key { owner: once.owner, message: once.message });
        while self.order.front().is_some_and(|(until, _)| *until <= at)
            || self.order.len() >= self.max.max(1)
            || self.weight + key.weight() > self.max_bytes
        {
            let Some((until, key)) = self.order.pop_front() else { break };
            self.weight -= key.weight();
            // The key may have been used again since, for longer.
            if self.keys.get(&key).is_some_and(|used| used.until == until) {
                self.keys.remove(&key);
            }
        }
        self.weight += key.weight();
        self.order.push_back((once.until, Arc::clone(&key)));
        self.keys.insert(key, Used { by, until: once.until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bounded_and_end() {
        let at = Timestamp::from_unix_micros;
        let once =
            |until| Once { owner: Owner::nobody(), message: MessageId::random(), until: at(until) };
        let mut keys = OnceKeys::new(3, 10_000);
        let first = once(100);
        keys.insert(first.clone(), TaskId::random(), at(0));
        assert!(keys.find(&first, at(99)).is_some());
        assert!(keys.find(&first, at(100)).is_none());
        for _ in 0..10 {
            keys.insert(once(200), TaskId::random(), at(1));
        }
        assert_eq!((keys.keys.len(), keys.order.len()), (3, 3));
        assert!(keys.find(&first, at(1)).is_none());
        keys.insert(once(400), TaskId::random(), at(200));
        assert_eq!((keys.keys.len(), keys.order.len()), (1, 1));
        assert_eq!(keys.weight(), KEY);
    }

    #[test]
    fn keys_are_bounded_by_bytes() {
        let at = Timestamp::from_unix_micros;
        let mut keys = OnceKeys::new(1_000, 3 * KEY);
        for _ in 0..10 {
            let message = MessageId::random();
            let once = Once { owner: Owner::nobody(), message, until: at(100) };
            keys.insert(once, TaskId::random(), at(0));
            assert!(keys.weight() <= 3 * KEY);
        }
        assert_eq!((keys.keys.len(), keys.order.len()), (3, 3));
    }
}
