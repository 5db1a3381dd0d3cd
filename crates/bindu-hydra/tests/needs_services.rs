//! Against a real Hydra: what it really answers, and what it really keeps.

use std::time::{Duration, SystemTime};

use bindu_did::SigningKey;
use bindu_http::client::Client;
use bindu_hydra::{
    Config, Creation, CredentialsFile, Hydra, HydraError, Introspector, IntrospectorConfig, Keys,
    KeysConfig, OAuthClient, Outcome, Registration, Tokens, register,
};
use bindu_testkit::services::{Machine, Server};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use uuid::Uuid;

#[allow(clippy::disallowed_methods, reason = "tests are told by the environment where servers are")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("run it through cargo xtask test, or set {name} to the address of a server")
    })
}

fn address(name: &str) -> url::Url {
    variable(name).parse().expect("an address")
}

fn hydra() -> Hydra {
    let config = Config::new(address("HYDRA__ADMIN_URL"), address("HYDRA__PUBLIC_URL"));
    Hydra::new(&config, Client::default()).expect("settings that can be used")
}

/// An agent that nobody else is.
struct Agent {
    hydra: Hydra,
    what: Registration,
    dir: TempDir,
}

impl Agent {
    fn new() -> Self {
        Self::of(hydra())
    }

    fn of(hydra: Hydra) -> Self {
        let key = SigningKey::generate().expect("randomness").public_key();
        let did = format!("did:bindu:test_at_example_com:some agent:{}", Uuid::new_v4());
        let what = Registration {
            url: Some("https://agent.example.com".to_owned()),
            ..Registration::new(did.parse().expect("a DID"), key.id(), "agent", key)
        };
        Self { hydra, what, dir: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self) -> CredentialsFile {
        CredentialsFile::at(self.dir.path().join("oauth_credentials.json"))
    }

    async fn register(&self) -> Result<bindu_hydra::Registered, HydraError> {
        register(&self.hydra, &self.what, &self.file(), SystemTime::now()).await
    }

    async fn client(&self) -> OAuthClient {
        let found = self.hydra.client(self.what.did.as_str()).await;
        found.expect("Hydra answers").expect("a client")
    }
}

#[tokio::test]
async fn an_agent_registers_comes_back_and_loses_its_file() {
    let agent = Agent::new();
    let first = agent.register().await.unwrap();
    assert_eq!((&first.outcome, first.verified), (&Outcome::Created, true));
    let again = agent.register().await.unwrap();
    assert_eq!((&again.outcome, again.verified), (&Outcome::Unchanged, true));

    std::fs::remove_file(agent.file().path()).unwrap();
    let lost = agent.register().await.unwrap();
    assert_eq!(lost.outcome, Outcome::Mended { fields: vec!["client_secret"] });
    assert!(lost.verified);
    let old = agent.hydra.token(
        &first.credentials.client_id,
        &first.credentials.client_secret,
        &["openid"],
        None,
    );
    assert!(old.await.unwrap_err().is_invalid_client());
}

#[tokio::test]
async fn audience_and_token_strategy_are_repaired() {
    let mut agent = Agent::new();
    let first = agent.register().await.unwrap();
    let tokens = Tokens::new(agent.hydra.clone(), first.credentials);
    let error = tokens.token(&["openid"], Some("step-ca")).await.unwrap_err();
    assert!(matches!(&error, HydraError::Refused { status: 400, .. }), "{error}");
    assert!(!tokens.token(&["openid"], None).await.unwrap().reveal().starts_with("eyJ"));

    // Foreign members and audiences, which an update must keep.
    let mut client = agent.client().await;
    client.members_mut().insert("audience".to_owned(), json!(["theirs"]));
    client.members_mut().insert("contacts".to_owned(), json!(["ann@example.com"]));
    client.members_mut()["metadata"]["team"] = json!("x");
    agent.hydra.update_client(agent.what.did.as_str(), &client).await.unwrap();

    agent.what.audience = Some("step-ca".to_owned());
    agent.what.jwt_tokens = true;
    let mended = agent.register().await.unwrap();
    let fields = vec!["audience", "access_token_strategy"];
    assert_eq!((mended.outcome, mended.verified), (Outcome::Mended { fields }, true));
    let client = agent.client().await;
    assert_eq!(client.audience().collect::<Vec<_>>(), ["theirs", "step-ca"]);
    assert_eq!(client.members()["contacts"], json!(["ann@example.com"]));
    assert_eq!(client.metadata("team"), Some(&json!("x")));
    assert_eq!(agent.register().await.unwrap().outcome, Outcome::Unchanged);

    let tokens = Tokens::new(agent.hydra.clone(), mended.credentials);
    let token = tokens.one_time_token(&["openid"], Some("step-ca")).await.unwrap();
    assert!(token.reveal().starts_with("eyJ"), "a JWT");
    let found = agent.hydra.introspect(token.reveal()).await.unwrap();
    assert_eq!(found.aud, ["step-ca"]);
}

#[tokio::test]
async fn a_token_says_whose_it_is_until_it_is_revoked() {
    let agent = Agent::new();
    let credentials = agent.register().await.unwrap().credentials;
    let tokens = Tokens::new(agent.hydra.clone(), credentials.clone());
    let introspector = Introspector::new(agent.hydra.clone(), IntrospectorConfig::default());

    let token = tokens.token(&["agent:read", "agent:write"], None).await.unwrap();
    let found = introspector.introspect(token.reveal()).await.unwrap();
    assert!(found.is_access_token() && found.is_machine());
    assert_eq!(found.client_id.as_deref(), Some(agent.what.did.as_str()));
    assert_eq!(found.scopes, ["agent:read", "agent:write"]);
    assert!(found.exp > found.iat && found.iat.is_some());

    introspector.revoke(&credentials, token.reveal()).await.unwrap();
    assert!(!introspector.introspect(token.reveal()).await.unwrap().active);

    let token = tokens.fresh_token(&["agent:read", "agent:write"], None, &token).await.unwrap();
    assert!(introspector.introspect(token.reveal()).await.unwrap().active);
    agent.hydra.revoke_all(agent.what.did.as_str()).await.unwrap();
    assert!(introspector.introspect(token.reveal()).await.unwrap().active, "remembered");
    introspector.forget(token.reveal());
    assert!(!introspector.introspect(token.reveal()).await.unwrap().active);
    assert!(!introspector.introspect("no token at all").await.unwrap().active);
}

#[tokio::test]
async fn a_key_is_found_and_another_is_refused_unless_allowed() {
    let mut agent = Agent::new();
    agent.register().await.unwrap();
    let config = KeysConfig { again_after: Duration::ZERO, ..KeysConfig::default() };
    let keys = Keys::new(agent.hydra.clone(), config);
    let did = agent.what.did.clone();
    assert_eq!(keys.key(did.as_str()).await.unwrap(), Some(agent.what.public_key));
    assert_eq!(keys.key("did:bindu:nobody:here").await.unwrap(), None);

    let new = SigningKey::generate().unwrap().public_key();
    agent.what.public_key = new;
    assert!(matches!(agent.register().await, Err(HydraError::ForeignKey { .. })));
    agent.what.allow_key_change = true;
    agent.register().await.unwrap();
    assert_eq!(keys.key_again(did.as_str()).await.unwrap(), Some(new));
}

#[tokio::test]
async fn a_second_client_of_one_id_is_a_conflict() {
    let agent = Agent::new();
    agent.register().await.unwrap();
    let again = agent.hydra.create_client(&agent.client().await).await.unwrap();
    assert_eq!(again, Creation::Exists { perhaps_ours: false });
    assert!(agent.hydra.delete_client(agent.what.did.as_str()).await.unwrap());
    assert!(!agent.hydra.delete_client(agent.what.did.as_str()).await.unwrap());
    assert!(agent.hydra.is_ready().await);
}

/// What a caller met: only a good token, or no answer.
#[derive(Debug, Default)]
struct Met {
    good: u32,
    away: u32,
}

/// Asks about the token, anew each time, until told to stop.
async fn keep_asking(
    introspector: Introspector,
    token: String,
    stop: watch::Receiver<bool>,
) -> Result<Met, String> {
    let mut met = Met::default();
    while !*stop.borrow() {
        introspector.forget(&token);
        match introspector.introspect(&token).await {
            Ok(found) if found.active => met.good += 1,
            Ok(_) => return Err("a good token counted as not good".to_owned()),
            Err(error) if error.is_unavailable() => met.away += 1,
            Err(error) => return Err(error.to_string()),
        }
        tokio::task::yield_now().await;
    }
    Ok(met)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hydra_that_stops_and_comes_back_under_load_refuses_nobody() {
    // One of the test's own: the others need theirs.
    let database = variable("DATABASE_URL");
    let mut server = tokio::task::spawn_blocking(move || {
        Server::hydra(&Machine::this(), &database).expect("a Hydra of its own")
    })
    .await
    .unwrap();
    let public = server.public_url().expect("a Hydra has one");
    let config = Config {
        probe_interval: Duration::from_millis(50),
        ..Config::new(server.url().parse().unwrap(), public.parse().unwrap())
    };
    let agent = Agent::of(Hydra::new(&config, Client::default()).unwrap());
    let tokens = Tokens::new(agent.hydra.clone(), agent.register().await.unwrap().credentials);
    let token = tokens.token(&["agent:read"], None).await.unwrap();
    let introspector = Introspector::new(agent.hydra.clone(), IntrospectorConfig::default());
    let (stop, stopped) = watch::channel(false);
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let introspector =
                Introspector::new(agent.hydra.clone(), IntrospectorConfig::default());
            tokio::spawn(keep_asking(introspector, token.reveal().to_owned(), stopped.clone()))
        })
        .collect();
    // This one remembers, and never hears that Hydra is away.
    assert!(introspector.introspect(token.reveal()).await.unwrap().active);

    let (mut server, before) = tokio::task::spawn_blocking(move || {
        server.stop().expect("it stops");
        let before = std::time::Instant::now();
        (server, before)
    })
    .await
    .unwrap();
    let error = loop {
        match agent.hydra.introspect(token.reveal()).await {
            Ok(_) => assert!(before.elapsed() < Duration::from_secs(10), "it has stopped"),
            Err(error) => break error,
        }
    };
    assert!(error.is_unavailable(), "{error}");
    assert!(introspector.introspect(token.reveal()).await.unwrap().active);
    assert_eq!(tokens.token(&["agent:read"], None).await.unwrap(), token);

    let server = tokio::task::spawn_blocking(move || {
        server.start().expect("it starts again");
        server
    })
    .await
    .unwrap();
    let back = tokio::time::timeout(Duration::from_secs(10), async {
        while agent.hydra.introspect(token.reveal()).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    back.await.expect("a Hydra that is back is noticed");
    stop.send(true).unwrap();
    for asked in asking {
        let met = asked.await.unwrap().unwrap();
        assert!(met.good > 0 && met.away > 0, "{met:?}");
    }
    assert!(agent.hydra.introspect(token.reveal()).await.unwrap().active);
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
