//! The rules of [`ReplayGuard`].

use futures_util::future::join_all;

use super::fixture::{at, done, rule, same};
use crate::ReplayGuard;

/// A key is new once, until its time has passed. The guard may go by the times that it is given, or
/// by its own clock: the case's times are far ahead.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_key_is_new_once(guard: &dyn ReplayGuard) {
    let first = async |key: &str| {
        done!(guard.first(key, at(0), at(900_000_000)).await, "a key can be asked for")
    };
    rule!(first("a").await, "a key is new the first time");
    rule!(!first("a").await, "and not the second time");
    rule!(first("b").await, "another key is new");
    rule!(first("").await, "an empty key is a key");
    rule!(first("a ").await, "keys are compared as they are");
    rule!(!first("b").await, "keys do not disturb each other");
}

/// Of ten that come with one key at once, one is the first.
///
/// # Panics
///
/// If the rule is broken.
pub async fn one_of_ten_is_the_first(guard: &dyn ReplayGuard) {
    for key in ["x", "y", "z"] {
        let asked = (0..10).map(|_| guard.first(key, at(0), at(900_000_000)));
        let firsts = join_all(asked).await.into_iter();
        let firsts = firsts.filter(|first| done!(first, "a key can be asked for").eq(&true));
        same!(firsts.count(), 1, "of ten at once one is the first");
    }
}

/// A key that was forgotten is new again, once; the others stay known.
///
/// # Panics
///
/// If the rule is broken.
pub async fn a_forgotten_key_is_new_again(guard: &dyn ReplayGuard) {
    let first = async |key: &str| {
        done!(guard.first(key, at(0), at(900_000_000)).await, "a key can be asked for")
    };
    done!(guard.forget("never seen").await, "a key that is not there can be forgotten");
    rule!(first("a").await, "a key is new the first time");
    rule!(first("b").await, "another key is new");
    done!(guard.forget("a").await, "a key can be forgotten");
    rule!(!first("b").await, "forgetting a key leaves the others");
    rule!(first("a").await, "a forgotten key is new again");
    rule!(!first("a").await, "and then not any more");
}

/// Makes a test of every rule of [`ReplayGuard`](crate::ReplayGuard): one `#[tokio::test]` per
/// case.
///
/// Takes the path of an async function without arguments that makes a guard that has seen nothing.
#[macro_export]
macro_rules! replay_guard_tests {
    ($fresh:path) => {
        mod replay_guard_conformance {
            #[allow(unused_imports, reason = "a path may be absolute")]
            use super::*;

            #[::tokio::test]
            async fn a_key_is_new_once() {
                $crate::conformance::a_key_is_new_once(&$fresh().await).await;
            }

            #[::tokio::test]
            async fn one_of_ten_is_the_first() {
                $crate::conformance::one_of_ten_is_the_first(&$fresh().await).await;
            }

            #[::tokio::test]
            async fn a_forgotten_key_is_new_again() {
                $crate::conformance::a_forgotten_key_is_new_again(&$fresh().await).await;
            }
        }
    };
}
