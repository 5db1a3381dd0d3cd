//! Which process, and which connection.

use super::{call, config, instances, spawn};
use crate::support::{Act, Sdk, until};
use bindu_grpc::calls::Config;

#[tokio::test]
async fn equals_take_turns() {
    let sdks = [Sdk::start().await, Sdk::start().await, Sdk::start().await];
    let instances = instances(config(), sdks.iter().map(Sdk::callback));
    for _ in 0..9 {
        call(&instances).await.unwrap();
    }
    assert_eq!(sdks.each_ref().map(Sdk::count), [3, 3, 3]);
}

#[tokio::test]
async fn the_one_with_the_fewest_calls_gets_the_next() {
    let [busy, free] = [Sdk::with(Act::Held("x")).await, Sdk::start().await];
    let instances = instances(config(), [busy.callback()]);
    let held: Vec<_> = (0..3).map(|_| spawn(&instances)).collect();
    until("all run", || busy.running() == 3).await;
    instances.add(free.callback());
    for _ in 0..10 {
        call(&instances).await.unwrap();
    }
    assert_eq!((busy.count(), free.count()), (3, 10));
    busy.release();
    for calling in held {
        calling.await.unwrap().unwrap();
    }
    assert_eq!(instances.statuses()[0].running, 0);
}

#[tokio::test]
async fn a_further_connection_is_opened_when_all_are_full() {
    let sdk = Sdk::with(Act::Held("x")).await;
    let instances = instances(Config { channels: 3, ..config() }, [sdk.callback()]);
    let mut calls = Vec::new();
    for (count, connections) in [(100, 1), (200, 2), (300, 3), (450, 3)] {
        while calls.len() < count {
            calls.push(spawn(&instances));
        }
        until("all run", || sdk.running() == count).await;
        assert_eq!(instances.statuses()[0].connections, connections, "{count} calls");
    }
    sdk.release();
    for calling in calls {
        calling.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn calls_that_come_together_share_the_first_connection() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    let calls: Vec<_> = (0..80).map(|_| spawn(&instances)).collect();
    for calling in calls {
        calling.await.unwrap().unwrap();
    }
    assert_eq!(instances.statuses()[0].connections, 1);
}

#[tokio::test]
async fn a_process_that_is_taken_away_finishes_and_gets_nothing_more() {
    let [leaving, staying] = [Sdk::with(Act::Held("bye")).await, Sdk::start().await];
    let instances = instances(config(), [leaving.callback()]);
    let held = spawn(&instances);
    until("it runs", || leaving.running() == 1).await;
    instances.add(staying.callback());
    assert!(instances.remove(&leaving.callback()));
    assert!(!instances.remove(&leaving.callback()));
    for _ in 0..4 {
        call(&instances).await.unwrap();
    }
    leaving.release();
    assert_eq!(held.await.unwrap().unwrap().content, "bye");
    assert_eq!((leaving.count(), staying.count()), (1, 4));
}

#[tokio::test]
async fn a_known_process_that_is_added_again_starts_anew() {
    let sdk = Sdk::with(Act::Held("old")).await;
    let instances = instances(config(), [sdk.callback()]);
    let held = spawn(&instances);
    until("it runs", || sdk.running() == 1).await;
    instances.add(sdk.callback());
    let statuses = instances.statuses();
    assert_eq!((statuses.len(), statuses[0].connections, statuses[0].running), (1, 0, 0));
    sdk.release();
    assert_eq!(held.await.unwrap().unwrap().content, "old");
    assert_eq!(call(&instances).await.unwrap().content, "old");
}
