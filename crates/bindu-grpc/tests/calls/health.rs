//! Looking after processes.

use std::time::Duration;

use bindu_grpc::calls::{Config, Instances};
use tokio::time::Instant;

use super::{call, config, instances, spawn};
use crate::support::raw::{Peer, Script};
use crate::support::{Act, Can, Health, Sdk, until};

/// Watches until it is dropped.
struct Watch(tokio::task::JoinHandle<()>);

impl Watch {
    fn over(instances: &Instances) -> Self {
        let instances = instances.clone();
        Self(tokio::spawn(async move { instances.watch().await }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn three_misses_make_a_process_unhealthy_and_one_answer_healthy_again() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    let _watch = Watch::over(&instances);
    until("it was asked", || sdk.health_checks() > 0).await;
    assert_eq!((instances.healthy(), instances.all_dead_since()), (1, None));

    sdk.set_health(Health::Unwell);
    let before = sdk.health_checks();
    until("it is unhealthy", || instances.healthy() == 0).await;
    assert!(sdk.health_checks() >= before + 2, "three misses, one of which may have begun before");
    let since = instances.all_dead_since().unwrap();
    assert!(since <= Instant::now());

    let calling = spawn(&instances);
    sdk.set_health(Health::Well);
    assert_eq!(calling.await.unwrap().unwrap().content, "echo hi");
    assert_eq!((instances.healthy(), instances.all_dead_since()), (1, None));
}

#[tokio::test]
async fn an_unhealthy_process_gets_no_work() {
    let [well, unwell] = [Sdk::start().await, Sdk::start().await];
    let instances = instances(config(), [unwell.callback(), well.callback()]);
    unwell.set_health(Health::Unwell);
    let _watch = Watch::over(&instances);
    until("one is unhealthy", || instances.healthy() == 1).await;
    for _ in 0..4 {
        call(&instances).await.unwrap();
    }
    assert_eq!((unwell.count(), well.count()), (0, 4));
    assert_eq!(instances.all_dead_since(), None);
    instances.remove_dead(Duration::from_hours(1));
    assert_eq!(instances.statuses().len(), 2);
    instances.remove_dead(Duration::ZERO);
    assert_eq!(instances.statuses().len(), 1);
    assert_eq!(instances.statuses()[0].callback, well.callback());
}

#[tokio::test]
async fn the_last_dead_process_is_not_taken_away() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    sdk.set_health(Health::Unwell);
    let _watch = Watch::over(&instances);
    until("it is unhealthy", || instances.healthy() == 0).await;
    instances.remove_dead(Duration::ZERO);
    assert!(!instances.is_empty());
}

#[tokio::test]
async fn a_process_that_knows_no_health_is_alive() {
    let sdk = Sdk::start().await;
    sdk.set_health(Health::Unimplemented);
    let instances = instances(config(), [sdk.callback()]);
    let _watch = Watch::over(&instances);
    until("it was asked often", || sdk.health_checks() > 5).await;
    assert_eq!(instances.healthy(), 1);
}

#[tokio::test]
async fn a_silent_process_is_a_miss() {
    let sdk = Sdk::start().await;
    sdk.set_health(Health::Silent);
    let silent = Peer::start(Script::Silent).await;
    let config = Config { health_timeout: Duration::from_millis(20), ..config() };
    let instances = instances(config, [sdk.callback(), silent.callback()]);
    let _watch = Watch::over(&instances);
    until("both are unhealthy", || instances.healthy() == 0).await;
    sdk.set_health(Health::Well);
    until("one is back", || instances.healthy() == 1).await;
}

#[tokio::test]
async fn a_process_that_was_refused_comes_back_long_before_the_next_look() {
    let mut sdk = Sdk::start().await;
    let other = Sdk::start().await;
    let config = Config { health_interval: Duration::from_hours(1), ..config() };
    let instances = instances(config, [sdk.callback(), other.callback()]);
    let _watch = Watch::over(&instances);
    until("both were asked", || sdk.capabilities() + other.capabilities() == 2).await;
    sdk.kill().await;
    until("the connection is gone", || instances.statuses()[0].connections == 0).await;
    for _ in 0..2 {
        call(&instances).await.unwrap();
    }
    assert!(instances.statuses()[0].suspect);
    sdk.restart().await;
    until("it is trusted again", || !instances.statuses()[0].suspect).await;
    assert_eq!(instances.healthy(), 2);
}

#[tokio::test]
async fn capabilities_are_asked_once_for_each_registration() {
    let sdk = Sdk::start().await;
    sdk.set_can(Can::Unimplemented);
    let instances = instances(config(), [sdk.callback()]);
    let _watch = Watch::over(&instances);
    until("it was asked", || instances.statuses()[0].streams == Some(false)).await;
    until("time went by", || sdk.health_checks() > 2).await;
    assert_eq!(sdk.capabilities(), 1);
    sdk.set_can(Can::Stream);
    instances.add(sdk.callback());
    until("it was asked again", || instances.statuses()[0].streams == Some(true)).await;
    assert_eq!(sdk.capabilities(), 2);
}

#[tokio::test]
async fn a_handler_that_works_for_long_is_not_disturbed_by_looks() {
    let sdk = Sdk::with(Act::Held("done")).await;
    let instances = instances(config(), [sdk.callback()]);
    let _watch = Watch::over(&instances);
    let calling = spawn(&instances);
    until("it runs", || sdk.running() == 1 && sdk.health_checks() > 3).await;
    sdk.release();
    assert_eq!(calling.await.unwrap().unwrap().content, "done");
}

#[tokio::test]
async fn watching_ends_with_closing() {
    let sdk = Sdk::start().await;
    let instances = instances(config(), [sdk.callback()]);
    let mut watch = Watch::over(&instances);
    until("it was asked", || sdk.health_checks() > 0).await;
    instances.close();
    (&mut watch.0).await.unwrap();
    assert!(instances.all_dead_since().is_some());
}
