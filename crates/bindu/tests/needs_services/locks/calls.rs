//! Agents that call each other through all three locks.

use std::sync::Arc;
use std::time::Duration;

use bindu::client::{Client, ClientError};
use bindu::{Peers, Reply, Turn};
use bindu_did::key_dir::{self, Identity};
use bindu_hydra::{Config, CredentialsFile, Hydra, Tokens};
use bindu_mtls::{Certificates, Connector, PeerRules};
use http::StatusCode;

use super::{Ground, Home, ask};
use crate::caller::{LONG, Result};

/// What somebody has to show, taken from the directory of an agent.
struct Keys {
    identity: Arc<Identity>,
    tokens: Tokens,
    certificates: Certificates,
}

async fn keys(home: &Home, ground: &Ground) -> Result<Keys> {
    let config = key_dir::Config { dir: home.keys(), ..key_dir::Config::default() };
    let identity = Arc::new(key_dir::read(&config)?);
    let file = CredentialsFile::at(home.keys().join("oauth_credentials.json"));
    let credentials = file.load(identity.did().as_str())?.ok_or("the agent is registered")?;
    let hydra = Hydra::new(
        &Config::new(ground.admin.parse()?, ground.public.parse()?),
        bindu_http::client::Client::default(),
    )?;
    let mut config = bindu_mtls::Config::new(identity.did().clone());
    config.directory = home.keys();
    config.peers = PeerRules { issuer: ground.public.clone(), ..PeerRules::default() };
    let certificates = Certificates::from_files(config).await?;
    Ok(Keys { identity, tokens: Tokens::new(hydra, credentials), certificates })
}

fn status<T: std::fmt::Debug>(outcome: std::result::Result<T, ClientError>) -> StatusCode {
    match outcome {
        Err(ClientError::Status { status, .. }) => status,
        Err(ClientError::Rpc(error)) => match error.code.0 {
            -32010..=-32009 => StatusCode::UNAUTHORIZED,
            code => panic!("code {code}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_call_each_other_through_all_three_locks() -> Result {
    let ground = Ground::shared();
    let settings = ground.with_tls();
    let (painter, customer) = (Home::new("painter")?, Home::new("customer")?);
    let (painting, peers_of_painter) = painter.start_calling(&settings).await?;
    assert!(painting.url().starts_with("https://"), "{}", painting.url());

    // The customer's handler has the painter do the work, in the same context.
    let peers = Peers::default();
    let (url, through) = (painting.url().to_owned(), peers.clone());
    let handler = move |turn: Turn| {
        let (peers, url) = (through.clone(), url.clone());
        async move {
            let agent = peers.call(&url, &turn)?;
            let done = match agent.send_and_wait(turn.text().into_owned(), LONG).await? {
                bindu::protocol::SendResult::Task(task) => task,
                other => return Err(format!("{other:?}").into()),
            };
            assert_eq!(done.context_id, *turn.context_id());
            Ok(Reply::text(format!("painted {}", super::answer(&done).unwrap_or_default())))
        }
    };
    let buying = customer.agent(&settings, handler)?.peers(&peers).spawn().await?;

    let asked = peers_of_painter.client(buying.url())?;
    assert_eq!(ask(&asked, "blue").await?, "painted blue");
    // The card, the DID document and the certificate name one DID.
    let peer = asked.peer().await?.ok_or("the agent has a DID")?;
    assert_eq!(peer.did, *buying.identity().did());

    // What belongs to one caller, the other does not see.
    let owned = asked.list(&bindu::protocol::ListParams::default()).await?;
    assert_eq!(owned.len(), 1);
    let own = peers.client(buying.url())?;
    assert!(own.list(&bindu::protocol::ListParams::default()).await?.is_empty());
    let foreign = own.get(&owned[0].id, None).await;
    assert!(
        matches!(&foreign, Err(ClientError::Rpc(error)) if error.code.0 == -32001),
        "{foreign:?}"
    );

    buying.stop(Duration::ZERO).await;
    painting.stop(Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_lock_holds_alone() -> Result {
    let ground = Ground::shared();
    let settings = ground.with_tls();
    let (agent_home, ann_home, bob_home) =
        (Home::new("locked")?, Home::new("ann")?, Home::new("bob")?);
    let agent = agent_home.start(&settings).await?;
    let (ann, bob) = (ann_home.start(&settings).await?, bob_home.start(&settings).await?);
    let (anns, bobs) = (keys(&ann_home, &ground).await?, keys(&bob_home, &ground).await?);
    let url = agent.url();
    let connector = |keys: &Keys| Connector::new(keys.certificates.clone());
    let tokens = |keys: &Keys| keys.tokens.clone();

    // All three.
    let all = Client::builder(url)
        .identity(Arc::clone(&anns.identity))
        .tokens(tokens(&anns))
        .mtls(connector(&anns))
        .build()?;
    assert_eq!(ask(&all, "hello").await?, "hello");

    // No certificate: the handshake ends it.
    let trust = (*anns.certificates.trust()).clone();
    let bare = Client::builder(url)
        .identity(Arc::clone(&anns.identity))
        .tokens(tokens(&anns))
        .mtls(Connector::anonymous(trust))
        .build()?;
    let refused = ask(&bare, "hello").await;
    assert!(matches!(refused, Err(ClientError::Http(_))), "{refused:?}");

    // No token.
    let silent =
        Client::builder(url).identity(Arc::clone(&anns.identity)).mtls(connector(&anns)).build()?;
    assert_eq!(status(ask(&silent, "hello").await), StatusCode::UNAUTHORIZED);

    // No signature.
    let unsigned = Client::builder(url).tokens(tokens(&anns)).mtls(connector(&anns)).build()?;
    assert_eq!(status(ask(&unsigned, "hello").await), StatusCode::FORBIDDEN);

    // Ann's certificate and signature with Bob's token, and Bob's certificate with Ann's rest.
    let mixed = Client::builder(url)
        .identity(Arc::clone(&anns.identity))
        .tokens(tokens(&bobs))
        .mtls(connector(&anns))
        .build()?;
    assert_eq!(status(ask(&mixed, "hello").await), StatusCode::FORBIDDEN);
    let disguised = Client::builder(url)
        .identity(Arc::clone(&anns.identity))
        .tokens(tokens(&anns))
        .mtls(connector(&bobs))
        .build()?;
    assert_eq!(status(ask(&disguised, "hello").await), StatusCode::FORBIDDEN);

    // Another agent behind the address than the one that is meant.
    let meant = Client::builder(url)
        .identity(Arc::clone(&anns.identity))
        .tokens(tokens(&anns))
        .mtls(connector(&anns))
        .expect_did(bobs.identity.did().clone())
        .build()?;
    assert!(ask(&meant, "hello").await.is_err());

    for running in [agent, ann, bob] {
        running.stop(Duration::ZERO).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_once_it_is_asked_about_again() -> Result {
    let ground = Ground::shared();
    let mut settings = ground.settings();
    settings.push(("HYDRA__CACHE_TTL", "0.2"));
    let (agent_home, ann_home) = (Home::new("locked")?, Home::new("ann")?);
    let agent = agent_home.start(&settings).await?;
    let ann = ann_home.start(&ground.settings()).await?;

    let config = key_dir::Config { dir: ann_home.keys(), ..key_dir::Config::default() };
    let identity = Arc::new(key_dir::read(&config)?);
    let file = CredentialsFile::at(ann_home.keys().join("oauth_credentials.json"));
    let credentials = file.load(identity.did().as_str())?.ok_or("the agent is registered")?;
    let hydra = Hydra::new(
        &Config::new(ground.admin.parse()?, ground.public.parse()?),
        bindu_http::client::Client::default(),
    )?;
    let tokens = Tokens::new(hydra.clone(), credentials.clone());
    let token = tokens.token(&["agent:read", "agent:write"], None).await?;
    let fixed = bindu::client::Token::new(token.reveal());
    let client =
        Client::builder(agent.url()).identity(Arc::clone(&identity)).tokens(fixed).build()?;
    assert_eq!(ask(&client, "hello").await?, "hello");

    hydra.revoke(&credentials, token.reveal()).await?;
    let begun = std::time::Instant::now();
    let refused = loop {
        match ask(&client, "hello again").await {
            Ok(_) => assert!(begun.elapsed() < LONG, "the token is still good"),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status(Err::<(), _>(refused)), StatusCode::UNAUTHORIZED);
    // A client that gets tokens by itself goes on.
    let client = Client::builder(agent.url()).identity(identity).tokens(tokens).build()?;
    assert_eq!(ask(&client, "hello").await?, "hello");
    agent.stop(Duration::ZERO).await;
    ann.stop(Duration::ZERO).await;
    Ok(())
}
