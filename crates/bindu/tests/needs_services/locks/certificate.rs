//! Certificates by a real step-ca.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Ground, Home, ask, openssl, openssl_reading};
use crate::caller::Result;

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_ends_in_a_certificate_that_openssl_agrees_with() -> Result {
    let ground = Ground::shared();
    let home = Home::new("cold")?;
    let agent = home.start(&ground.with_tls()).await?;
    let did = agent.identity().did().to_string();
    let keys = home.keys();

    let shown = openssl(
        &keys,
        &[
            "x509",
            "-in",
            "tls_cert.pem",
            "-noout",
            "-subject",
            "-nameopt",
            "utf8,sep_multiline",
            "-ext",
            "subjectAltName,extendedKeyUsage",
        ],
    )?;
    assert!(shown.contains(&did), "CN: {shown}");
    let name = format!("URI:{}#{did}", ground.public);
    assert!(shown.contains(&name), "{name} in {shown}");
    assert!(shown.contains("TLS Web Server Authentication"), "{shown}");
    assert!(shown.contains("TLS Web Client Authentication"), "{shown}");
    // Good in 23 hours, over in 25.
    for (seconds, good) in [("82800", true), ("90000", false)] {
        let asked = ["x509", "-in", "tls_cert.pem", "-noout", "-checkend", seconds];
        assert_eq!(openssl(&keys, &asked).is_ok(), good, "{seconds}");
    }
    let verified = openssl(
        &keys,
        &["verify", "-CAfile", "ca_bundle.pem", "-untrusted", "tls_cert.pem", "tls_cert.pem"],
    )?;
    assert!(verified.contains("tls_cert.pem: OK"), "{verified}");

    // The card shows the very certificate that is served.
    let fingerprint =
        openssl(&keys, &["x509", "-in", "tls_cert.pem", "-noout", "-fingerprint", "-sha256"])?;
    let fingerprint = fingerprint.trim().rsplit('=').next().unwrap_or_default().to_lowercase();
    let address = agent.local_addr().to_string();
    // The answer to a request shows that the server took the client's certificate too: in TLS 1.3
    // the client's handshake is over before the server has looked at it.
    let request = keys.join("request");
    fs::write(&request, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let session = openssl_reading(
        &keys,
        &[
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            "ca_bundle.pem",
            "-cert",
            "tls_cert.pem",
            "-cert_chain",
            "tls_cert.pem",
            "-key",
            "tls_key.pem",
            "-verify_return_error",
            "-tls1_3",
            "-ign_eof",
        ],
        fs::File::open(&request)?.into(),
    )?;
    assert!(session.contains("Verify return code: 0 (ok)"), "{session}");
    assert!(session.contains("HTTP/1.1 200 OK"), "{session}");
    let card = {
        let (other, peers) = Home::new("looker").map(|home| (home, bindu::Peers::default()))?;
        let looking = other.agent(&ground.with_tls(), super::echo)?.peers(&peers).spawn().await?;
        let card = peers.client(agent.url())?.card().await?;
        looking.stop(Duration::ZERO).await;
        card
    };
    let trust = card.agent_trust.as_ref().ok_or("the card says whom it trusts")?;
    assert_eq!(trust.certificate_fingerprint.as_deref(), Some(fingerprint.as_str()));
    assert!(card.url.starts_with("https://"), "{}", card.url);
    agent.stop(Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_certificate_is_renewed_under_load_without_a_failed_request() -> Result {
    let ground = Ground::shared();
    let mut settings = ground.with_tls();
    settings.push(("MTLS__CERT_TTL", "30s"));
    let (home, caller) = (Home::new("short")?, Home::new("caller")?);
    let agent = home.start(&settings).await?;
    let (calling, peers) = caller.start_calling(&settings).await?;
    let client = peers.client(agent.url())?;
    let certificate = home.keys().join("tls_cert.pem");
    let mut seen = vec![fs::read_to_string(&certificate)?];

    let (done, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = tokio::task::JoinSet::new();
    for one in 0..4 {
        let (client, done, sent) = (client.clone(), Arc::clone(&done), Arc::clone(&sent));
        load.spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let text = format!("{one} {}", sent.fetch_add(1, Ordering::SeqCst));
                assert_eq!(ask(&client, &text).await.map_err(|error| error.to_string()), Ok(text));
            }
        });
    }
    // Three lives of 20 seconds, and whatever the machine takes.
    let begun = Instant::now();
    while seen.len() < 4 && begun.elapsed() < Duration::from_mins(4) {
        tokio::select! {
            Some(ended) = load.join_next() => ended?,
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        let now = fs::read_to_string(&certificate)?;
        if seen.last() != Some(&now) {
            seen.push(now);
        }
    }
    done.store(true, Ordering::SeqCst);
    while let Some(ended) = load.join_next().await {
        ended?;
    }
    assert_eq!(seen.len(), 4, "renewed {} times", seen.len() - 1);
    assert!(sent.load(Ordering::SeqCst) > 100, "there was a load");
    agent.stop(Duration::ZERO).await;
    calling.stop(Duration::ZERO).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_gone_are_made_anew_at_the_next_start_and_others_are_kept() -> Result {
    let ground = Ground::shared();
    let home = Home::new("again")?;
    let files = ["tls_cert.pem", "tls_key.pem", "ca_bundle.pem"].map(|name| home.keys().join(name));
    let read = || fs::read_to_string(&files[0]);

    home.start(&ground.with_tls()).await?.stop(Duration::ZERO).await;
    let first = read()?;
    home.start(&ground.with_tls()).await?.stop(Duration::ZERO).await;
    assert_eq!(read()?, first, "what is good is kept");
    for gone in [&files[..1], &files[1..2], &files[..]] {
        let before = read()?;
        for file in gone {
            fs::remove_file(file)?;
        }
        home.start(&ground.with_tls()).await?.stop(Duration::ZERO).await;
        assert_ne!(read()?, before, "{gone:?}");
    }
    Ok(())
}
