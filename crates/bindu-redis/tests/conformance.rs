//! The rules of the seams.

use bindu_redis::{RedisReplayGuard, RedisScheduler};

use crate::support::{config, connect};

async fn queue() -> RedisScheduler {
    connect(&config()).await
}

async fn guard() -> RedisReplayGuard {
    RedisReplayGuard::connect(&config()).await.expect("a Redis that answers")
}

bindu_scheduler::conformance_tests!(queue);
bindu_storage::replay_guard_tests!(guard);
