//! Resumed sessions: quick, and no way around anything.

use std::fs;
use std::time::Duration;

use bindu_mtls::{Acceptor, ClientCert, Connector, Peer};
use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};

use crate::support::authority::{Agent, Authority, Leaf, rules};
use crate::support::wire::{Hand, Running, ask};
use crate::support::{ANN, BEN, Result, did, within};

async fn server_of(authority: &Authority) -> Result<(Agent, Running)> {
    let ann = Agent::of(authority, &Leaf::of(ANN).for_host("127.0.0.1"), ANN).await?;
    let acceptor = Acceptor::new(ann.certificates.clone(), ClientCert::Required);
    Ok((ann, Running::start(acceptor).await?))
}

#[tokio::test]
async fn a_resumed_session_still_says_who_the_client_is() -> Result {
    let authority = Authority::new("one")?;
    let (_ann, server) = server_of(&authority).await?;
    let ben = authority.issue(&Leaf::of(BEN))?;
    for version in [&TLS12, &TLS13] {
        let client = Hand::speaking(&authority, Some(&ben), &[version], b"http/1.1")?;
        let first = client.ask(server.addr).await?;
        assert_eq!(first, (BEN.into(), Some(HandshakeKind::Full)), "{version:?}");
        for _ in 0..3 {
            let next = client.ask(server.addr).await?;
            assert_eq!(next, (BEN.into(), Some(HandshakeKind::Resumed)), "{version:?}");
        }
    }
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_ends_with_the_client_s_certificate() -> Result {
    let authority = Authority::new("one")?;
    let (_ann, server) = server_of(&authority).await?;
    let ben = authority.issue(&Leaf::of(BEN).ending_in(Duration::from_secs(5)))?;
    let client = Hand::new(&authority, Some(&ben))?;
    assert_eq!(client.ask(server.addr).await?.0, BEN);
    let other = Hand::new(&authority, Some(&authority.issue(&Leaf::of(BEN))?))?;
    other.ask(server.addr).await?;
    assert_eq!(other.ask(server.addr).await?.1, Some(HandshakeKind::Resumed));
    // Every session is resumed, until none is.
    let refused = within(async {
        loop {
            match client.ask(server.addr).await {
                Ok((_, kind)) => assert_eq!(kind, Some(HandshakeKind::Resumed)),
                Err(error) => break error,
            }
        }
    });
    refused.await?;
    // Who has a good certificate shakes hands anew, once.
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        assert_eq!(other.ask(server.addr).await?, (BEN.into(), Some(kind)));
    }
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_session_ends_with_the_roots_it_began_under() -> Result {
    let authority = Authority::new("one")?;
    let next = Authority::new("next")?;
    let (ann, server) = server_of(&authority).await?;
    let client = Hand::new(&authority, Some(&authority.issue(&Leaf::of(BEN))?))?;
    client.ask(server.addr).await?;
    assert_eq!(client.ask(server.addr).await?.1, Some(HandshakeKind::Resumed));

    let both = format!("{}{}", authority.root_pem(), next.root_pem());
    fs::write(ann.directory.path().join("ca_bundle.pem"), both)?;
    assert!(ann.certificates.reload().await?);
    assert!(!ann.certificates.reload().await?, "nothing has changed since");
    assert_eq!(client.ask(server.addr).await?, (BEN.into(), Some(HandshakeKind::Full)));
    assert_eq!(client.ask(server.addr).await?.1, Some(HandshakeKind::Resumed));
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn our_connector_forgets_sessions_when_a_certificate_is_replaced() -> Result {
    let authority = Authority::new("one")?;
    let (ann, server) = server_of(&authority).await?;
    let ben = Agent::of(&authority, &Leaf::of(BEN), BEN).await?;
    let connector = Connector::new(ben.certificates.clone()).expecting(did(ANN));
    let fingerprint = async || {
        let response = ask(&server.url(), connector.clone()).await?;
        assert_eq!(response.body(), BEN);
        let peer = response.extensions().get::<Peer>().ok_or("no peer")?;
        Ok::<_, crate::support::Error>(peer.fingerprint())
    };
    let before = ann.certificates.fingerprint();
    assert_eq!(fingerprint().await?, before);
    assert_eq!(fingerprint().await?, before);

    // A session that is resumed shows the server's certificate of when it began.
    authority.issue(&Leaf::of(ANN))?.write(ann.directory.path())?;
    assert!(ann.certificates.reload().await?);
    assert_eq!(fingerprint().await?, before);

    // A new one of our own ends the sessions, since they speak for the old one.
    authority.issue(&Leaf::of(BEN))?.write(ben.directory.path())?;
    assert!(ben.certificates.reload().await?);
    assert_eq!(fingerprint().await?, ann.certificates.fingerprint());
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn our_connector_goes_on_when_the_server_s_certificate_has_ended() -> Result {
    let authority = Authority::new("one")?;
    let life = Duration::from_secs(5);
    let short = Leaf::of(ANN).ending_in(life);
    let ann = Agent::of(&authority, &short, ANN).await?;
    let server =
        Running::start(Acceptor::new(ann.certificates.clone(), ClientCert::Optional)).await?;
    let connector = Connector::anonymous(authority.trust(rules())?).expecting(did(ANN));
    ask(&server.url(), connector.clone()).await?;

    // The server has a new certificate; our session is of the old one, until that ends.
    authority.issue(&Leaf::of(ANN))?.write(ann.directory.path())?;
    assert!(ann.certificates.reload().await?);
    let renewed = ann.certificates.fingerprint();
    within(async {
        loop {
            let response = ask(&server.url(), connector.clone()).await?;
            let peer = response.extensions().get::<Peer>().ok_or("no peer")?;
            if peer.fingerprint() == renewed {
                return Ok::<_, crate::support::Error>(());
            }
        }
    })
    .await??;
    server.stop().await?;
    Ok(())
}
