//! Who gets through a handshake, and as whom.

use std::time::{Duration, SystemTime};

use bindu_http::HttpError;
use bindu_mtls::{
    Acceptor, ClientCert, Connector, MtlsError, Peer, PeerError, PeerIdentity, PeerRules,
};
use rcgen::ExtendedKeyUsagePurpose;

use crate::support::authority::{Agent, Authority, ISSUER, Leaf, rules};
use crate::support::wire::{Careless, Hand, Running, ask};
use crate::support::{ANN, BEN, Result, did, whole};

const MODES: [ClientCert; 2] = [ClientCert::Required, ClientCert::Optional];

/// Ann's server, with a name for clients that know hosts only.
async fn server_of(authority: &Authority, mode: ClientCert) -> Result<Running> {
    serve(authority, mode, rules()).await
}

async fn serve(authority: &Authority, mode: ClientCert, rules: PeerRules) -> Result<Running> {
    let leaf = Leaf::of(ANN).for_host("127.0.0.1");
    let ann = Agent::with_rules(authority, &leaf, ANN, rules).await?;
    Running::start(Acceptor::new(ann.certificates, mode)).await
}

#[tokio::test]
async fn two_agents_know_each_other_by_did() -> Result {
    let authority = Authority::new("one")?;
    let ann = Agent::of(&authority, &Leaf::of(ANN), ANN).await?;
    let ben = Agent::of(&authority, &Leaf::of(BEN), BEN).await?;
    let fingerprint = ann.certificates.fingerprint();
    for mode in MODES {
        let server = Running::start(Acceptor::new(ann.certificates.clone(), mode)).await?;
        let connector = Connector::new(ben.certificates.clone());
        for connector in [connector.expecting(did(ANN)), connector] {
            let response = ask(&server.url(), connector).await?;
            assert_eq!(response.body(), BEN);
            let peer = response.extensions().get::<Peer>().ok_or("no peer")?;
            assert_eq!(peer.did(), Some(&did(ANN)));
            assert_eq!(peer.fingerprint(), fingerprint);
        }
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_a_certificate_one_is_nobody_where_that_is_allowed() -> Result {
    let authority = Authority::new("one")?;
    let server = server_of(&authority, ClientCert::Optional).await?;
    let anonymous = Connector::anonymous(authority.trust(rules())?);
    assert_eq!(ask(&server.url(), anonymous.clone()).await?.body(), "nobody");
    server.stop().await?;

    let server = server_of(&authority, ClientCert::Required).await?;
    let refused = ask(&server.url(), anonymous).await.unwrap_err();
    assert!(whole(&*refused).contains("CertificateRequired"), "{}", whole(&*refused));
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_did_is_read_wherever_an_authority_may_have_put_it() -> Result {
    let authority = Authority::new("one")?;
    let only = |uris: &[String], common_name: &str| Leaf {
        uris: uris.to_vec(),
        common_name: common_name.into(),
        ..Leaf::of(BEN)
    };
    let of_issuer = format!("{ISSUER}#{BEN}");
    let encoded = format!("{ISSUER}#{}", BEN.replace(':', "%3A"));
    let accepted = [
        ("as step-ca does", Leaf::of(BEN)),
        ("percent-encoded", only(&[encoded], "x")),
        ("the issuer with a slash", only(&[format!("{ISSUER}/#{BEN}")], "x")),
        ("the DID itself", only(&[BEN.into()], "x")),
        ("both", only(&[of_issuer.clone(), BEN.into()], "x")),
        ("beside other URIs", only(&["https://x.example/#top".into(), of_issuer], "x")),
        ("the legacy common name", only(&[], BEN)),
    ];
    for mode in MODES {
        let server = server_of(&authority, mode).await?;
        for (what, leaf) in &accepted {
            let client = Hand::new(&authority, Some(&authority.issue(leaf)?))?;
            let (who, _) = client.ask(server.addr).await.map_err(|e| format!("{what}: {e}"))?;
            assert_eq!(who, BEN, "{what}");
        }
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_presented_must_be_good_in_either_mode() -> Result {
    let authority = Authority::new("one")?;
    let other = Authority::new("other")?;
    let now = SystemTime::now();
    let server_only = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let refused = [
        ("of another authority", other.issue(&Leaf::of(BEN))?),
        (
            "expired",
            authority.issue(&Leaf { not_after: now - Duration::from_secs(5), ..Leaf::of(BEN) })?,
        ),
        (
            "not yet valid",
            authority
                .issue(&Leaf { not_before: now + Duration::from_hours(1), ..Leaf::of(BEN) })?,
        ),
        ("for servers only", authority.issue(&Leaf { usages: server_only, ..Leaf::of(BEN) })?),
        ("for no use at all", authority.issue(&Leaf { usages: vec![], ..Leaf::of(BEN) })?),
        (
            "two DIDs",
            authority.issue(&Leaf {
                uris: vec![format!("{ISSUER}#{BEN}"), ANN.into()],
                ..Leaf::of(BEN)
            })?,
        ),
        (
            "a foreign issuer",
            authority.issue(&Leaf {
                uris: vec![format!("https://evil.example#{BEN}")],
                ..Leaf::of(BEN)
            })?,
        ),
        (
            "an issuer that begins alike",
            authority.issue(&Leaf {
                uris: vec![format!("{ISSUER}.evil.example#{BEN}")],
                ..Leaf::of(BEN)
            })?,
        ),
        (
            "a DID with a line break",
            authority.issue(&Leaf { uris: vec![format!("{ISSUER}#{BEN}%0A")], ..Leaf::of(BEN) })?,
        ),
        (
            "no DID",
            authority.issue(&Leaf { uris: vec![], common_name: "ben".into(), ..Leaf::of(BEN) })?,
        ),
        ("a self-made one", other.issue(&Leaf { common_name: ANN.into(), ..Leaf::of(ANN) })?),
    ];
    for mode in MODES {
        let server = server_of(&authority, mode).await?;
        for (what, pair) in &refused {
            let client = Hand::new(&authority, Some(pair))?;
            let outcome = client.ask(server.addr).await;
            assert!(outcome.is_err(), "{what}, {mode:?}: {outcome:?}");
        }
        // And the server still serves.
        let good = Hand::new(&authority, Some(&authority.issue(&Leaf::of(BEN))?))?;
        assert_eq!(good.ask(server.addr).await?.0, BEN);
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_denied_did_is_not_let_in_nor_called() -> Result {
    let authority = Authority::new("one")?;
    let denying = |who: &str| PeerRules { denied: [did(who)].into(), ..rules() };
    let server = serve(&authority, ClientCert::Optional, denying(BEN)).await?;
    let ben = authority.issue(&Leaf::of(BEN))?;
    assert!(Hand::new(&authority, Some(&ben))?.ask(server.addr).await.is_err());
    assert_eq!(Hand::new(&authority, None)?.ask(server.addr).await?.0, "nobody");

    let caller = Connector::anonymous(authority.trust(denying(ANN))?);
    let refused = ask(&server.url(), caller).await.unwrap_err();
    assert_eq!(PeerError::find(&*refused), Some(&PeerError::Denied(did(ANN))));
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_server_must_be_whom_we_called() -> Result {
    let authority = Authority::new("one")?;
    let other = Authority::new("other")?;
    let client_only = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let nameless = Leaf { uris: vec![], common_name: "agent".into(), ..Leaf::of(ANN) };
    let by_did = |leaf: Leaf| authority.issue(&leaf);
    let rules_of = |identity| PeerRules { identity, ..rules() };
    let did_rules = rules_of(PeerIdentity::Did);
    let unexpected = PeerError::Unexpected { expected: did(ANN), found: did(BEN) };
    let cases = [
        ("another agent", by_did(Leaf::of(BEN))?, did_rules.clone(), Err(Some(unexpected.clone()))),
        (
            "another agent with the host's name",
            by_did(Leaf::of(BEN).for_host("127.0.0.1"))?,
            rules_of(PeerIdentity::Either),
            Err(Some(unexpected)),
        ),
        (
            "a client's certificate",
            by_did(Leaf { usages: client_only, ..Leaf::of(ANN) })?,
            did_rules.clone(),
            Err(None),
        ),
        ("another authority", other.issue(&Leaf::of(ANN))?, did_rules.clone(), Err(None)),
        (
            "expired",
            by_did(Leaf {
                not_after: SystemTime::now() - Duration::from_secs(5),
                ..Leaf::of(ANN)
            })?,
            did_rules.clone(),
            Err(None),
        ),
        (
            "two DIDs",
            by_did(Leaf { uris: vec![ANN.into(), BEN.into()], ..Leaf::of(ANN) })?,
            did_rules.clone(),
            Err(Some(PeerError::SeveralDids)),
        ),
        (
            "only a host name",
            by_did(nameless.clone().for_host("127.0.0.1"))?,
            did_rules.clone(),
            Err(Some(PeerError::NoDid)),
        ),
        (
            "only a host name, which is enough",
            by_did(nameless.clone().for_host("127.0.0.1"))?,
            rules_of(PeerIdentity::Either),
            Ok(None),
        ),
        (
            "only another host's name",
            by_did(nameless.clone().for_host("agent.example"))?,
            rules_of(PeerIdentity::Either),
            Err(None),
        ),
        (
            "the DID, but the name is asked for",
            by_did(Leaf::of(ANN))?,
            rules_of(PeerIdentity::Hostname),
            Err(None),
        ),
        (
            "DID and name",
            by_did(Leaf::of(ANN).for_host("127.0.0.1"))?,
            rules_of(PeerIdentity::Hostname),
            Ok(Some(did(ANN))),
        ),
        ("as it should be", by_did(Leaf::of(ANN))?, did_rules, Ok(Some(did(ANN)))),
    ];
    for (what, pair, rules, expected) in cases {
        let server = Running::start(Careless::new(&pair)?).await?;
        let connector = Connector::anonymous(authority.trust(rules)?).expecting(did(ANN));
        match (ask(&server.url(), connector).await, expected) {
            (Ok(response), Ok(expected)) => {
                let peer = response.extensions().get::<Peer>().ok_or("no peer")?;
                assert_eq!(peer.did(), expected.as_ref(), "{what}");
            }
            (Err(error), Err(expected)) => {
                assert_eq!(
                    PeerError::find(&*error),
                    expected.as_ref(),
                    "{what}: {}",
                    whole(&*error)
                );
                let error = error.downcast::<HttpError>()?;
                assert!(error.was_not_sent(), "{what}: {error:?}");
            }
            (outcome, expected) => panic!("{what}: {outcome:?}, not {expected:?}"),
        }
        server.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn tls_1_2_and_http_2_are_spoken() -> Result {
    let authority = Authority::new("one")?;
    let server = server_of(&authority, ClientCert::Required).await?;
    let ben = authority.issue(&Leaf::of(BEN))?;
    let old = Hand::speaking(&authority, Some(&ben), &[&rustls::version::TLS12], b"http/1.1")?;
    assert_eq!(old.ask(server.addr).await?.0, BEN);

    let two = Hand::speaking(&authority, Some(&ben), rustls::DEFAULT_VERSIONS, b"h2")?;
    let held = two.connect(server.addr).await?;
    assert_eq!(held.0.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    drop(held);
    server.stop().await?;
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_serve_are_refused_at_once() -> Result {
    let authority = Authority::new("one")?;
    let other = Authority::new("other")?;
    let refusal = async |authority: &Authority, leaf: &Leaf| {
        Agent::of(authority, leaf, ANN).await.err().map(|error| error.to_string())
    };
    let expired = Leaf { not_after: SystemTime::now() - Duration::from_secs(5), ..Leaf::of(ANN) };
    for (leaf, why) in [(Leaf::of(BEN), BEN), (expired, "expired")] {
        let refused = refusal(&authority, &leaf).await.ok_or("taken into use")?;
        assert!(refused.contains(why), "{refused}");
    }
    // A host's certificate of a public authority names no DID, and has a chain of its own.
    let public = Leaf { uris: vec![], common_name: String::new(), ..Leaf::of(ANN) };
    let agent = Agent::of(&authority, &Leaf::of(ANN), ANN).await?;
    other.issue(&public.for_host("agent.example"))?.write(agent.directory.path())?;
    assert!(agent.certificates.reload().await?);

    // A key that everybody can read is no key.
    #[cfg(unix)]
    {
        let key = agent.directory.path().join("tls_key.pem");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        let config = bindu_mtls::Config {
            directory: agent.directory.path().into(),
            ..bindu_mtls::Config::new(did(ANN))
        };
        let refused = bindu_mtls::Certificates::from_files(config).await.unwrap_err();
        assert!(matches!(refused, MtlsError::Unusable { .. }), "{refused}");
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }
    Ok(())
}
