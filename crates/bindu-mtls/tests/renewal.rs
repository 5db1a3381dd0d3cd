//! A certificate that renews itself under a server that runs.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bindu_http::client::Client;
use bindu_mtls::{Acceptor, Certificates, ClientCert, Config, Connector, MtlsError, Peer};
use bytes::Bytes;
use http::Request;

use crate::support::authority::{Agent, Authority, Leaf};
use crate::support::fake_ca::{FakeCa, Mood, tokens};
use crate::support::wire::{Hand, Running, ask};
use crate::support::{ANN, BEN, Result, did, within};

/// Short enough to wait for, and with two seconds left when it is renewed.
const LIFE: Duration = Duration::from_secs(6);

async fn open(ca: &FakeCa, directory: &tempfile::TempDir) -> Result<Certificates> {
    let config = Config { cert_ttl: LIFE, ..ca.config(directory.path())? };
    Ok(within(Certificates::open(config, tokens())).await??)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_certificates_renew_under_load_without_a_failed_request() -> Result {
    let ca = FakeCa::start().await?;
    let directory = tempfile::tempdir()?;
    let certificates = open(&ca, &directory).await?;
    let acceptor = Acceptor::new(certificates.clone(), ClientCert::Required);
    let server = Running::start(acceptor).await?;
    let keeper = tokio::spawn({
        let certificates = certificates.clone();
        async move { certificates.keep().await }
    });

    // Both ends are Ann, so both renew. One caller keeps its connections, another opens
    // one for each request.
    let connector = Connector::new(certificates.clone()).expecting(did(ANN));
    let kept = Client::builder().connector(Arc::new(connector.clone())).build();
    let url = server.url();
    let calling = async |client: Option<Client>| {
        let mut requests = 0_u32;
        while certificates.renewals() < 2 {
            let answer = match &client {
                Some(client) => client.send(Request::get(&url).body(Bytes::new())?).await?,
                None => ask(&url, connector.clone()).await?,
            };
            assert_eq!(answer.body(), ANN);
            requests += 1;
        }
        Ok::<_, crate::support::Error>(requests)
    };
    let (kept, fresh) =
        within(Box::pin(async { tokio::try_join!(calling(Some(kept)), calling(None)) })).await??;
    assert!(kept > 10 && fresh > 10, "{kept}, {fresh}");
    assert_eq!(certificates.failures(), 0);
    keeper.abort();
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_connection_that_is_open_outlives_the_swap() -> Result {
    let ca = FakeCa::start().await?;
    let authority = ca.authority();
    let ann = Agent::of(&authority, &Leaf::of(ANN).for_host("127.0.0.1"), ANN).await?;
    let server =
        Running::start(Acceptor::new(ann.certificates.clone(), ClientCert::Required)).await?;
    let client = Hand::new(&authority, Some(&authority.issue(&Leaf::of(BEN))?))?;
    let mut held = client.connect(server.addr).await?;
    assert_eq!(held.ask().await?, BEN);

    let mut changed = ann.certificates.changed();
    let before = ann.certificates.fingerprint();
    authority.issue(&Leaf::of(ANN).for_host("127.0.0.1"))?.write(ann.directory.path())?;
    assert!(ann.certificates.reload().await?);
    within(changed.changed()).await??;
    let after = ann.certificates.fingerprint();
    assert_ne!(before, after);

    // The open one goes on, a new one gets the new certificate.
    assert_eq!(held.ask().await?, BEN);
    let ben = Agent::of(&authority, &Leaf::of(BEN), BEN).await?;
    let response = ask(&server.url(), Connector::new(ben.certificates)).await?;
    let peer = response.extensions().get::<Peer>().ok_or("no peer")?;
    assert_eq!(peer.fingerprint(), after);
    assert_eq!(held.ask().await?, BEN);
    drop(held);
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_and_keeps_what_there_is() -> Result {
    let ca = FakeCa::start().await?;
    let directory = tempfile::tempdir()?;
    let certificates = open(&ca, &directory).await?;
    let first = certificates.fingerprint();
    let files = || fs::read_to_string(directory.path().join("tls_key.pem"));
    let key = files()?;
    for mood in [Mood::Refuse(500), Mood::WrongKey, Mood::WrongDid] {
        ca.mood(mood);
        certificates.renew().await.unwrap_err();
        assert_eq!(certificates.fingerprint(), first);
        assert_eq!(files()?, key);
    }
    assert_eq!((certificates.renewals(), certificates.failures()), (0, 3));

    // The loop meets a refusal too, and gets over it.
    ca.mood(Mood::Refuse(503));
    let mut changed = certificates.changed();
    let failed_and_healed = async {
        while certificates.failures() < 5 {
            tokio::task::yield_now().await;
        }
        ca.mood(Mood::Good);
        changed.changed().await
    };
    tokio::select! {
        () = certificates.keep() => unreachable!("it never ends"),
        healed = within(failed_and_healed) => healed??,
    }
    assert_ne!(certificates.fingerprint(), first);
    assert_ne!(files()?, key);
    Ok(())
}

#[tokio::test]
async fn certificates_of_the_old_and_the_new_root_are_believed_while_both_live() -> Result {
    let ca = FakeCa::start().await?;
    let old = ca.authority();
    let new = Arc::new(Authority::new("new")?);
    let directory = tempfile::tempdir()?;
    let certificates = within(Certificates::open(ca.config(directory.path())?, tokens())).await??;
    let server = Running::start(Acceptor::new(certificates.clone(), ClientCert::Required)).await?;

    // step-ca lists another root, and issues from it; its own certificate stays.
    {
        let mut state = ca.state();
        state.roots = vec![old.root_pem(), new.root_pem()];
        state.mood = Mood::Impostor(Arc::clone(&new));
    }
    // The pinned root is no longer given, so the list is not asked for.
    certificates.renew().await.unwrap_err();
    ca.mood(Mood::Good);
    certificates.renew().await?;
    ca.state().authority = Arc::clone(&new);
    let bundle = fs::read_to_string(directory.path().join("ca_bundle.pem"))?;
    assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
    certificates.renew().await?;

    for authority in [&old, &new] {
        let ben = authority.issue(&Leaf::of(BEN))?;
        let rules = crate::support::authority::rules();
        let both = format!("{}{}", old.root_pem(), new.root_pem());
        let trust = bindu_mtls::Trust::from_pem(both.as_bytes(), rules)?;
        let response = ask(&server.url(), Connector::anonymous(trust)).await;
        assert!(response.is_err(), "a certificate is required");
        let agent = tempfile::tempdir()?;
        ben.write(agent.path())?;
        fs::write(agent.path().join("ca_bundle.pem"), both)?;
        let config = Config {
            directory: agent.path().into(),
            peers: crate::support::authority::rules(),
            ..Config::new(did(BEN))
        };
        let ben = Certificates::from_files(config).await?;
        let response = ask(&server.url(), Connector::new(ben).expecting(did(ANN))).await?;
        assert_eq!(response.body(), BEN);
    }
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn files_that_others_keep_are_followed_and_not_renewed() -> Result {
    let authority = Authority::new("one")?;
    let agent =
        Agent::of(&authority, &Leaf::of(ANN).ending_in(Duration::from_mins(1)), ANN).await?;
    assert!(matches!(agent.certificates.renew().await, Err(MtlsError::Config(_))));
    assert_eq!(agent.certificates.failures(), 1);

    // Half of a pair, or a pair that does not fit, changes nothing.
    let first = agent.certificates.fingerprint();
    let next = authority.issue(&Leaf::of(ANN))?;
    fs::write(agent.directory.path().join("tls_key.pem"), &next.key)?;
    assert!(!agent.certificates.reload().await?);
    assert_eq!(agent.certificates.fingerprint(), first);
    next.write(agent.directory.path())?;
    assert!(agent.certificates.reload().await?);
    assert_ne!(agent.certificates.fingerprint(), first);

    // A certificate of somebody else is refused, and the good one stays.
    let second = agent.certificates.fingerprint();
    authority.issue(&Leaf::of(BEN))?.write(agent.directory.path())?;
    let refused = agent.certificates.reload().await.unwrap_err();
    assert!(matches!(refused, MtlsError::Unusable { .. }), "{refused}");
    assert_eq!(agent.certificates.fingerprint(), second);

    // The loop looks by itself.
    let config = Config {
        directory: agent.directory.path().into(),
        check_files_every: Duration::from_millis(10),
        peers: crate::support::authority::rules(),
        ..Config::new(did(BEN))
    };
    let ben = Certificates::from_files(config).await?;
    let mut changed = ben.changed();
    let replaced = async {
        authority.issue(&Leaf::of(BEN))?.write(agent.directory.path())?;
        changed.changed().await?;
        Ok::<_, crate::support::Error>(())
    };
    tokio::select! {
        () = ben.keep() => unreachable!("it never ends"),
        replaced = within(replaced) => replaced??,
    }
    Ok(())
}
