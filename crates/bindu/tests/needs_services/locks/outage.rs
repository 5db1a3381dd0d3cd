//! Hydra or step-ca goes away, and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bindu::client::ClientError;
use http::StatusCode;

use super::{Home, Own, ask};
use crate::caller::{LONG, Result};

#[tokio::test(flavor = "multi_thread")]
async fn while_hydra_is_away_the_known_are_served_and_others_are_told_to_come_again() -> Result {
    let mut own = Own::start().await?;
    let (home, known, stranger) = (Home::new("agent")?, Home::new("known")?, Home::new("new")?);
    let ground = own.ground.clone();
    let settings = ground.settings();
    let agent = home.start(&settings).await?;
    let (known, by_known) = known.start_calling(&settings).await?;
    let (unknown, by_stranger) = stranger.start_calling(&settings).await?;
    let client = by_known.client(agent.url())?;
    assert_eq!(ask(&client, "before").await?, "before");

    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = tokio::spawn({
        let (done, sent) = (Arc::clone(&done), Arc::clone(&sent));
        async move {
            while !done.load(Ordering::SeqCst) {
                let text = format!("{}", sent.fetch_add(1, Ordering::SeqCst));
                assert_eq!(ask(&client, &text).await.map_err(|error| error.to_string()), Ok(text));
            }
        }
    });
    // The token of the stranger is had, but the agent has not asked about it.
    let token = bindu::client::Token::new({
        let registered = by_stranger.client(known.url())?;
        assert_eq!(ask(&registered, "to have a token").await?, "to have a token");
        token_of(&unknown, &stranger, &ground).await?
    });
    tokio::task::block_in_place(|| own.hydra.stop())?;
    let stranger = bindu::client::Client::builder(agent.url())
        .identity(Arc::new(identity_of(&stranger)?))
        .tokens(token)
        .retry(bindu_http::client::RetryPolicy {
            max_attempts: 1,
            ..bindu_http::client::RetryPolicy::default()
        })
        .build()?;
    let refused = ask(&stranger, "while it is away").await;
    let Err(ClientError::Status { status, retry_after, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(*retry_after, Some(Duration::from_secs(1)));
    assert!(!format!("{refused:?}").contains(&ground.admin), "no address: {refused:?}");

    tokio::task::block_in_place(|| own.hydra.start())?;
    let begun = Instant::now();
    while let Err(error) = ask(&stranger, "when it is back").await {
        assert!(begun.elapsed() < LONG, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done.store(true, Ordering::SeqCst);
    load.await?;
    assert!(sent.load(Ordering::SeqCst) > 10, "there was a load");
    for running in [agent, known, unknown] {
        running.stop(Duration::ZERO).await;
    }
    Ok(())
}

fn identity_of(home: &Home) -> Result<bindu_did::key_dir::Identity> {
    use bindu_did::key_dir::{Config, read};
    Ok(read(&Config { dir: home.keys(), ..Config::default() })?)
}

async fn token_of(agent: &bindu::Running, home: &Home, ground: &super::Ground) -> Result<String> {
    use bindu_hydra::{Config, CredentialsFile, Hydra};
    let file = CredentialsFile::at(home.keys().join("oauth_credentials.json"));
    let credentials = file.load(agent.identity().did().as_str())?.ok_or("it is registered")?;
    let config = Config::new(ground.admin.parse()?, ground.public.parse()?);
    let hydra = Hydra::new(&config, bindu_http::client::Client::default())?;
    let token = hydra
        .token(
            &credentials.client_id,
            &credentials.client_secret,
            &["agent:read", "agent:write"],
            None,
        )
        .await?;
    Ok(token.access_token.reveal().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_without_hydra_registers_when_it_is_back() -> Result {
    let mut own = Own::start().await?;
    let ground = own.ground.clone();
    let mut settings = ground.settings();
    settings.push(("HYDRA__MAX_RETRIES", "0"));
    tokio::task::block_in_place(|| own.hydra.stop())?;
    let home = Home::new("early")?;
    let agent = home.start(&settings).await?;
    let file = home.keys().join("oauth_credentials.json");
    assert!(!file.exists(), "it is not registered");
    tokio::task::block_in_place(|| own.hydra.start())?;
    let begun = Instant::now();
    // It tries again after half a minute or so.
    while token_of(&agent, &home, &ground).await.is_err() {
        assert!(begun.elapsed() < Duration::from_mins(3), "it does not register");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    agent.stop(Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_has_a_certificate_starts_again_without_hydra_and_step_ca() -> Result {
    let mut own = Own::start().await?;
    let ground = own.ground.clone();
    let mut settings = ground.with_tls();
    settings.extend([("HYDRA__MAX_RETRIES", "0"), ("MTLS__ALLOW_PLAINTEXT_FALLBACK", "true")]);
    let home = Home::new("again")?;
    home.start(&settings).await?.stop(Duration::ZERO).await;
    let certificate = std::fs::read_to_string(home.keys().join("tls_cert.pem"))?;
    tokio::task::block_in_place(|| {
        own.ca.stop()?;
        own.hydra.stop()
    })?;
    let agent = home.start(&settings).await?;
    assert!(agent.url().starts_with("https://"), "{}", agent.url());
    assert_eq!(std::fs::read_to_string(home.keys().join("tls_cert.pem"))?, certificate);
    agent.stop(Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_an_agent_does_not_serve_unless_it_is_told_to() -> Result {
    let mut own = Own::start().await?;
    let ground = own.ground.clone();
    let home = Home::new("strict")?;
    tokio::task::block_in_place(|| own.ca.stop())?;
    let refused = home.start(&ground.with_tls()).await;
    let error = refused.err().ok_or("it serves without a certificate")?;
    assert!(format!("{error:?}").contains("the agent's certificate"), "{error:?}");

    let mut settings = ground.with_tls();
    settings.push(("MTLS__ALLOW_PLAINTEXT_FALLBACK", "true"));
    let agent = home.start(&settings).await?;
    let calling = Home::new("caller")?;
    let (caller, peers) = calling.start_calling(&ground.settings()).await?;
    assert!(agent.url().starts_with("http://"), "the card says what is there: {}", agent.url());
    let plain = format!("http://{}", agent.local_addr());
    assert_eq!(ask(&peers.client(&plain)?, "in the clear").await?, "in the clear");
    agent.stop(Duration::ZERO).await;

    tokio::task::block_in_place(|| own.ca.start())?;
    let agent = home.start(&ground.with_tls()).await?;
    assert!(agent.url().starts_with("https://"));
    agent.stop(Duration::ZERO).await;
    caller.stop(Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_step_ca_misses_is_made_up_for() -> Result {
    let mut own = Own::start().await?;
    let ground = own.ground.clone();
    let mut settings = ground.with_tls();
    // Long enough that step-ca is back before it ends, on any machine.
    settings.push(("MTLS__CERT_TTL", "90s"));
    let home = Home::new("patient")?;
    let agent = home.start(&settings).await?;
    let calling = Home::new("caller")?;
    let (caller, peers) = calling.start_calling(&settings).await?;
    let client = peers.client(agent.url())?;
    let file = home.keys().join("tls_cert.pem");
    let first = std::fs::read_to_string(&file)?;
    tokio::task::block_in_place(|| own.ca.stop())?;
    // Into the last third of its life.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(62) {
        assert_eq!(ask(&client, "still").await?, "still");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(std::fs::read_to_string(&file)?, first);
    tokio::task::block_in_place(|| own.ca.start())?;
    while std::fs::read_to_string(&file)? == first {
        assert!(begun.elapsed() < Duration::from_mins(4), "it is not renewed");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // The caller may have missed a renewal too; whichever comes second ends the wait.
    let begun = Instant::now();
    while let Err(error) = ask(&client, "again").await {
        assert!(begun.elapsed() < Duration::from_mins(2), "{error}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    agent.stop(Duration::ZERO).await;
    caller.stop(Duration::ZERO).await;
    Ok(())
}
