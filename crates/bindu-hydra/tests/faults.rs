//! A Hydra that is away, slow or broken: said so, at little cost, and without its address.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bindu_http::client::Client;
use bindu_hydra::{Config, Creation, Hydra, HydraError, OAuthClient};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::Method;
use serde_json::{Map, json};
use tokio::net::TcpListener;

use crate::support::{FakeHydra, Fault};

const PATH: &str = "/admin/oauth2/introspect";

fn config_for(address: &str) -> Config {
    let url: url::Url = format!("http://{address}").parse().expect("an address");
    Config { failure_threshold: u32::MAX, ..Config::new(url.clone(), url) }
}

fn hydra_at(address: &str) -> Hydra {
    Hydra::new(&config_for(address), Client::default()).expect("settings that can be used")
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").to_string()
}

fn assert_says_nothing(error: &HydraError, address: &str) {
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.retry_after().is_some_and(|wait| wait >= Duration::from_secs(1)));
    let shown = error.to_string();
    assert_eq!(shown, "hydra is not available (introspecting a token)");
    let port = address.rsplit(':').next().expect("a port");
    assert!(!shown.contains(port) && !shown.contains("127.0.0.1"));
}

#[tokio::test]
async fn whatever_hydra_answers_a_token_is_not_refused_for_it() {
    let fake = FakeHydra::start().await;
    let hydra = fake.hydra();
    let faults = [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(429),
        Fault::Status(302),
        Fault::Status(400),
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(404),
        Fault::RetryAfter(7),
        Fault::NotJson,
        Fault::OtherJson,
    ];
    for fault in faults {
        fake.spoil(PATH, fault.clone());
        let before = fake.calls().len();
        let error = hydra.introspect("a-token").await.unwrap_err();
        assert_says_nothing(&error, fake.address());
        let source = error.source().unwrap().to_string();
        assert!(!source.contains("a-token"), "{source}");
        assert_eq!(fake.calls().len(), before + 1, "not asked again after {fault:?}");
    }
}

#[tokio::test]
async fn hydra_may_say_when_to_come_back() {
    let fake = FakeHydra::start().await;
    for (asked, told) in [(0, 1), (7, 7), (86_400, 60)] {
        fake.spoil(PATH, Fault::RetryAfter(asked));
        let error = fake.hydra().introspect("t").await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(told)));
    }
}

#[tokio::test]
async fn a_hydra_that_says_nothing_is_given_up_in_time() {
    let fake = FakeHydra::start().await;
    fake.spoil_all(PATH, Fault::Silence);
    let config = Config { timeout: Duration::from_millis(50), ..fake.config() };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    let error = hydra.introspect("t").await.unwrap_err();
    assert_says_nothing(&error, fake.address());
    assert_eq!(fake.calls().len(), 1, "a slow Hydra is not asked twice");
}

#[tokio::test]
async fn waiting_for_a_turn_is_part_of_the_time() {
    let fake = FakeHydra::start().await;
    fake.spoil_all(PATH, Fault::Silence);
    let config = Config { timeout: Duration::from_millis(50), max_concurrent: 1, ..fake.config() };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    let (one, other) = tokio::join!(hydra.introspect("a"), hydra.introspect("b"));
    assert!(one.unwrap_err().is_unavailable() && other.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_tried_twice() {
    let address = nobody().await;
    let error = hydra_at(&address).introspect("t").await.unwrap_err();
    assert_says_nothing(&error, &address);
    assert!(error.source().unwrap().to_string().contains(&address), "the log may know");
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_once_more() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let counting = tokio::spawn(async move {
        let mut accepted = 0;
        while accepted < 2 {
            listener.accept().await.unwrap();
            accepted += 1;
        }
        accepted
    });
    let error = hydra_at(&address).introspect("t").await.unwrap_err();
    assert_says_nothing(&error, &address);
    assert_eq!(counting.await.unwrap(), 2);
}

#[tokio::test]
async fn half_an_answer_is_asked_for_again() {
    let fake = FakeHydra::start().await;
    fake.know_token("t", json!({ "active": true, "sub": "ann" }));
    fake.spoil(PATH, Fault::Cut);
    assert!(fake.hydra().introspect("t").await.unwrap().active);
    assert_eq!(fake.calls().len(), 2);
}

#[tokio::test]
async fn a_dead_hydra_is_left_alone() {
    let fake = FakeHydra::start().await;
    fake.spoil_all(PATH, Fault::Status(500));
    let config =
        Config { failure_threshold: 3, probe_interval: Duration::from_hours(1), ..fake.config() };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    for number in 0..100 {
        let error = hydra.clone().introspect(&format!("t{number}")).await.unwrap_err();
        assert_says_nothing(&error, fake.address());
        assert_eq!(error.source().is_none(), number >= 3);
    }
    assert_eq!(fake.calls().len(), 3);
    // The other API is another server.
    let refused = hydra.token("a", &"b".into(), &["c"], None).await.unwrap_err();
    assert!(refused.is_invalid_client());
}

#[tokio::test]
async fn a_probe_is_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepted = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&accepted);
    let accepting = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            drop(connection);
        }
    });
    let config = Config {
        failure_threshold: 1,
        probe_interval: Duration::from_hours(1),
        ..config_for(&address)
    };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    assert_says_nothing(&hydra.introspect("t").await.unwrap_err(), &address);
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
    accepting.abort();
}

#[tokio::test]
async fn those_who_waited_for_a_turn_do_not_go_out_to_a_dead_hydra() {
    let fake = FakeHydra::start().await;
    fake.spoil_all(PATH, Fault::Status(500));
    fake.hold();
    let config = Config {
        failure_threshold: 1,
        probe_interval: Duration::from_hours(1),
        max_concurrent: 1,
        ..fake.config()
    };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    let tokens: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    let asking = join_all(tokens.iter().map(|token| hydra.introspect(token)));
    let letting_out = async {
        fake.wait_for_calls(1).await;
        fake.let_out(1000);
    };
    let (answers, ()) = tokio::join!(asking, letting_out);
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(HydraError::is_unavailable)));
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn nobody_queues_up_for_a_dead_hydra() {
    let fake = FakeHydra::start().await;
    fake.spoil(PATH, Fault::Status(500));
    let config = Config {
        failure_threshold: 1,
        probe_interval: Duration::from_hours(1),
        max_concurrent: 1,
        ..fake.config()
    };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    assert!(hydra.introspect("t").await.is_err());

    // The other API has the only turn.
    fake.spoil("/oauth2/token", Fault::Silence);
    let busy = hydra.clone();
    let waiting = tokio::spawn(async move {
        let secret = "b".into();
        busy.token("a", &secret, &["c"], None).await.is_ok()
    });
    fake.wait_for_calls(2).await;
    let answer = hydra.introspect("t").now_or_never().expect("an answer at once");
    assert_says_nothing(&answer.unwrap_err(), fake.address());
    waiting.abort();
}

#[tokio::test]
async fn a_hydra_that_is_back_is_noticed() {
    let fake = FakeHydra::start().await;
    let config = Config { failure_threshold: 1, probe_interval: Duration::ZERO, ..fake.config() };
    let hydra = Hydra::new(&config, Client::default()).unwrap();
    fake.spoil_all(PATH, Fault::NotJson);
    assert!(hydra.introspect("t").await.is_err());
    assert!(hydra.introspect("t").await.is_err());
    fake.heal();
    for _ in 0..10 {
        assert!(!hydra.introspect("t").await.unwrap().active);
    }
}

#[tokio::test]
async fn at_start_several_attempts_are_made() {
    let fake = FakeHydra::start().await;
    let patient = fake.hydra().patient();
    for fault in [Fault::Status(429), Fault::Status(500), Fault::Cut] {
        fake.spoil("/admin/clients/", fault);
    }
    assert_eq!(patient.client("a").await.unwrap(), None);
    assert_eq!(fake.calls().len(), 4);

    fake.spoil_all("/admin/clients/", Fault::Status(503));
    assert!(patient.client("a").await.unwrap_err().is_unavailable());
    assert_eq!(fake.calls().len(), 8);

    fake.spoil_all("/admin/clients/", Fault::NotJson);
    assert!(patient.client("a").await.unwrap_err().is_unavailable());
    assert_eq!(fake.calls().len(), 9, "what is no Hydra does not become one");
}

#[tokio::test]
async fn whether_a_client_was_made_by_an_attempt_that_was_not_heard_is_said() {
    let fake = FakeHydra::start().await;
    let client = OAuthClient::new(Map::from_iter([("client_id".to_owned(), json!("a"))]));
    fake.spoil("/admin/clients", Fault::Unheard);
    let hydra = fake.hydra();
    let made = hydra.patient().create_client(&client).await.unwrap();
    assert_eq!(made, Creation::Exists { perhaps_ours: true });
    let made = hydra.create_client(&client).await.unwrap();
    assert_eq!(made, Creation::Exists { perhaps_ours: false });
    assert_eq!(fake.count(&Method::POST, "/admin/clients"), 3);
}

#[tokio::test]
async fn clients_are_deleted_and_tokens_revoked() {
    let fake = FakeHydra::start().await;
    let hydra = fake.hydra();
    fake.know_client(json!({ "client_id": "a" }));
    assert!(hydra.is_ready().await);
    assert!(hydra.delete_client("a").await.unwrap());
    assert!(!hydra.delete_client("a").await.unwrap());
    assert!(matches!(
        hydra.update_client("a", &OAuthClient::default()).await.unwrap_err(),
        HydraError::Refused { status: 404, .. }
    ));
    assert!(!hydra_at(&nobody().await).is_ready().await);
}

#[test]
fn addresses_that_cannot_be_called_are_refused_at_once() {
    for (url, setting) in [
        ("ftp://hydra", "admin URL"),
        ("http://ann:hunter2@hydra", "admin URL"),
        ("http://hydra/?x=1", "admin URL"),
    ] {
        let good: url::Url = "http://hydra:4444".parse().unwrap();
        let config = Config::new(url.parse().unwrap(), good);
        let error = Hydra::new(&config, Client::default()).unwrap_err();
        assert!(error.to_string().contains(setting) && !error.to_string().contains("hunter2"));
    }
}
