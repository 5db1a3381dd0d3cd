//! How a certificate comes to be, and what becomes of it when something is wrong.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bindu_http::BoxError;
use bindu_mtls::{Certificates, Config, Fingerprint, MtlsError, RootSource};
use rcgen::KeyPair;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::der::Decode;
use x509_cert::request::CertReq;

use crate::support::authority::{Authority, Leaf};
use crate::support::fake_ca::{FakeCa, Mood, tokens};
use crate::support::{ANN, BEN, Result, did, within};

async fn open(config: Config) -> Result<Result<Certificates, MtlsError>> {
    within(Certificates::open(config, tokens())).await
}

fn files_in(directory: &Path) -> Result<Vec<String>> {
    let mut names: Vec<_> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn a_cold_start_ends_with_a_certificate_and_its_files() -> Result {
    let ca = FakeCa::start().await?;
    let directory = tempfile::tempdir()?;
    let directory = directory.path().join("made/.bindu");
    let mut config = ca.config(&directory)?;
    config.hosts = ["agent.example", "127.0.0.1", "[::1]", "not a host"].map(Into::into).into();
    let certificates = open(config).await??;

    let names = ["ca_bundle.pem", "tls.csr", "tls_cert.pem", "tls_key.pem"];
    assert_eq!(files_in(&directory)?, names);
    assert_eq!(
        fs::read_to_string(directory.join(names[0]))?.trim().replace("\r\n", "\n"),
        ca.authority().root_pem().trim().replace("\r\n", "\n")
    );
    let chain = fs::read_to_string(directory.join(names[2]))?;
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    let key = fs::read_to_string(directory.join(names[3]))?;
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    #[cfg(unix)]
    for (name, mode) in names.iter().zip([0o644, 0o644, 0o644, 0o600]) {
        use std::os::unix::fs::PermissionsExt as _;
        let found = fs::metadata(directory.join(name))?.permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name}");
    }

    let (asked, bearer) = ca.state().signed[0].clone();
    assert_eq!(asked["notAfter"], "24h");
    assert_eq!(Some(bearer), asked["ott"].as_str().map(|token| format!("Bearer {token}")));
    let csr = CertificateSigningRequestDer::from_pem_slice(
        asked["csr"].as_str().ok_or("no csr")?.as_bytes(),
    )?;
    let csr_text = String::from_utf8_lossy(&csr).into_owned();
    for name in [ANN, "agent.example"] {
        assert!(csr_text.contains(name), "{name}");
    }
    let subject = CertReq::from_der(&csr)?.info.subject.to_string();
    assert_eq!(subject, "CN=139e3940-e64b-5491-7220-88d9a0d74162");

    let life = certificates.not_after().duration_since(SystemTime::now())?;
    assert!(life > Duration::from_hours(23) && life <= Duration::from_hours(24), "{life:?}");
    assert_eq!((certificates.renewals(), certificates.failures()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_certificate_with_time_left_is_used_without_asking_anybody() -> Result {
    let ca = FakeCa::start().await?;
    let directory = tempfile::tempdir()?;
    let config = ca.config(directory.path())?;
    let first = open(config.clone()).await??.fingerprint();
    let asked = ca.requests();
    assert_eq!(open(config).await??.fingerprint(), first);
    assert_eq!(ca.requests(), asked);
    Ok(())
}

#[tokio::test]
async fn files_that_are_of_no_use_lead_to_a_fresh_certificate() -> Result {
    let ca = FakeCa::start().await?;
    let authority = ca.authority();
    let other = Authority::new("other")?;
    let hour = Duration::from_hours(1);
    let expired = Leaf { not_after: SystemTime::now() - hour, ..Leaf::of(ANN) };
    let about_to_end =
        Leaf { not_before: SystemTime::now() - 20 * hour, ..Leaf::of(ANN).ending_in(4 * hour) };
    let mut misfit = authority.issue(&Leaf::of(ANN))?;
    misfit.key = KeyPair::generate()?.serialize_pem();
    let mut broken = authority.issue(&Leaf::of(ANN))?;
    broken.chain = "no PEM".into();
    let cases = [
        ("expired", authority.issue(&expired)?),
        ("about to end", authority.issue(&about_to_end)?),
        ("of another DID", authority.issue(&Leaf::of(BEN))?),
        ("of another authority", other.issue(&Leaf::of(ANN))?),
        ("a key that does not fit", misfit),
        ("broken", broken),
    ];
    for (what, pair) in cases {
        let directory = tempfile::tempdir()?;
        pair.write(directory.path())?;
        let opened = open(ca.config(directory.path())?).await?;
        let fresh = opened.map_err(|error| format!("{what}: {error}"))?;
        assert!(fresh.not_after() > SystemTime::now() + 23 * hour, "{what}");
        assert_ne!(fs::read_to_string(directory.path().join("tls_cert.pem"))?, pair.chain);
    }

    // Deleted, as operators do it.
    let directory = tempfile::tempdir()?;
    let config = ca.config(directory.path())?;
    let first = open(config.clone()).await??.fingerprint();
    for gone in [&["tls_cert.pem"][..], &["tls_key.pem"], &["tls_cert.pem", "tls_key.pem"]] {
        for name in gone {
            fs::remove_file(directory.path().join(name))?;
        }
        assert_ne!(open(config.clone()).await??.fingerprint(), first, "{gone:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_write_that_was_cut_off_is_finished() -> Result {
    let ca = FakeCa::start().await?;
    let directory = tempfile::tempdir()?;
    let at = |name: &str| directory.path().join(name);
    let config = ca.config(directory.path())?;
    open(config.clone()).await??;
    let asked = ca.requests();
    let next = ca.authority().issue(&Leaf::of(ANN))?;

    // Cut off after the key was renamed: its certificate lies beside the old one.
    let old = fs::read_to_string(at("tls_cert.pem"))?;
    next.write(directory.path())?;
    fs::rename(at("tls_cert.pem"), at("tls_cert.pem.new"))?;
    fs::write(at("tls_cert.pem"), old)?;
    let finished = open(config.clone()).await??.fingerprint();
    assert_eq!(fs::read_to_string(at("tls_cert.pem"))?, next.chain);
    let names = ["ca_bundle.pem", "tls.csr", "tls_cert.pem", "tls_key.pem"];
    assert_eq!(files_in(directory.path())?, names);

    // Cut off before anything was renamed: the old pair is as good as ever.
    let unfinished = ca.authority().issue(&Leaf::of(ANN))?;
    fs::write(at("tls_cert.pem.new"), &unfinished.chain)?;
    fs::write(at("tls_key.pem.new"), &unfinished.key)?;
    assert_eq!(open(config).await??.fingerprint(), finished);
    assert_eq!(files_in(directory.path())?, names);
    assert_eq!(ca.requests(), asked, "none of it needs step-ca");
    Ok(())
}

#[tokio::test]
async fn whatever_step_ca_does_no_key_is_left_without_its_certificate() -> Result {
    let ca = FakeCa::start().await?;
    let other = Arc::new(Authority::new("other")?);
    let again = |status, message: &str| format!("step-ca refused signing with {status}: {message}");
    let lacked = "The request lacked authorization.";
    let cases = [
        (Mood::Refuse(401), again(401, lacked), 1),
        (Mood::Refuse(403), again(403, lacked), 1),
        (Mood::Refuse(500), again(500, lacked), 4),
        (Mood::Garbage, "step-ca is unavailable while signing".into(), 4),
        (Mood::WrongKey, "step-ca issued an unusable certificate: the key is not the".into(), 1),
        (Mood::WrongDid, format!("step-ca issued an unusable certificate: it is of {BEN}"), 1),
        (Mood::Impostor(other), "step-ca issued an unusable certificate: invalid peer".into(), 1),
    ];
    for (mood, why, attempts) in cases {
        let directory = tempfile::tempdir()?;
        let config = ca.config(directory.path())?;
        // The root is there from before.
        fs::write(directory.path().join("ca_bundle.pem"), ca.authority().root_pem())?;
        ca.mood(mood);
        let asked = ca.state().signed.len();
        let refused = open(config).await?.unwrap_err();
        assert!(refused.to_string().starts_with(&why), "{refused}\nnot {why}");
        assert_eq!(ca.state().signed.len() - asked, attempts, "{refused}");
        assert_eq!(files_in(directory.path())?, ["ca_bundle.pem"], "{refused}");
    }

    // Silent, or away altogether; and no token to ask with.
    let directory = tempfile::tempdir()?;
    ca.mood(Mood::Silent);
    let config = Config { attempts: 1, ..ca.config(directory.path())? };
    let refused = open(config.clone()).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Unavailable { .. }), "{refused}");
    ca.mood(Mood::Good);
    let no_token = async || Err::<String, BoxError>("Hydra is away".into());
    let refused = within(Certificates::open(config, no_token)).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Token(_)), "{refused}");
    assert_eq!(files_in(directory.path())?, ["ca_bundle.pem"]);
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_is_still_valid_serves_while_step_ca_is_away() -> Result {
    let ca = FakeCa::start().await?;
    let directory = tempfile::tempdir()?;
    let due = Leaf {
        not_before: SystemTime::now() - Duration::from_hours(23),
        ..Leaf::of(ANN).ending_in(Duration::from_mins(5))
    };
    ca.authority().issue(&due)?.write(directory.path())?;
    let config = ca.config(directory.path())?;
    fs::write(directory.path().join("ca_bundle.pem"), ca.authority().root_pem())?;
    ca.mood(Mood::Refuse(503));
    let certificates = open(config.clone()).await??;
    assert_eq!(certificates.failures(), 1);
    assert!(certificates.not_after() < SystemTime::now() + Duration::from_mins(6));

    // But a refusal that says something is wrong is not passed over.
    ca.mood(Mood::Refuse(401));
    let refused = open(config).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Refused { status: 401, .. }), "{refused}");
    Ok(())
}

#[tokio::test]
async fn roots_are_believed_for_a_reason_only() -> Result {
    let ca = FakeCa::start().await?;
    let other = Arc::new(Authority::new("other")?);
    let directory = tempfile::tempdir()?;
    let base = Config { attempts: 1, ..ca.config(directory.path())? };
    let with = |roots| Config { roots, ..base.clone() };

    // Another root than the pinned one, whatever step-ca gives for it.
    let pin = RootSource::Pinned(Fingerprint::of(other.root_der()));
    let refused = open(with(pin)).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Roots { .. }), "{refused}");
    ca.mood(Mood::Impostor(Arc::clone(&other)));
    let refused = open(base.clone()).await?.unwrap_err();
    assert!(matches!(refused, MtlsError::Roots { .. }), "{refused}");
    ca.mood(Mood::Good);

    // A URL whose own certificate nobody vouches for: no trust on first use.
    let url = RootSource::Url(format!("https://{}/roots.pem", ca.addr).parse()?);
    let refused = open(with(url)).await?.unwrap_err();
    assert!(
        matches!(refused, MtlsError::Unavailable { .. } | MtlsError::Roots { .. }),
        "{refused}"
    );
    assert!(ca.state().signed.is_empty(), "no token was sent");
    assert_eq!(files_in(directory.path())?, [""; 0]);

    // A file, which may be of another authority: then step-ca is not believed.
    let file = directory.path().join("root.crt");
    fs::write(&file, other.root_pem())?;
    for verify_ca in [true, false] {
        let config = Config { verify_ca, ..with(RootSource::File(file.clone())) };
        let refused = open(config).await?.unwrap_err();
        assert!(matches!(refused, MtlsError::Unavailable { .. }), "{refused}");
        assert!(ca.state().signed.is_empty(), "no token was sent");
    }
    fs::write(&file, ca.authority().root_pem())?;
    open(with(RootSource::File(file))).await??;
    Ok(())
}

#[tokio::test]
async fn a_life_of_nothing_and_urls_in_the_clear_are_refused() -> Result {
    let short = Config { cert_ttl: Duration::from_millis(10), ..Config::new(did(ANN)) };
    let strange = Config { ca_url: "ftp://ca.example".parse()?, ..Config::new(did(ANN)) };
    let clear = Config { ca_url: "http://ca.example".parse()?, ..Config::new(did(ANN)) };
    let roots = RootSource::Url("http://ca.example/roots.pem".parse()?);
    let clear_roots = Config { roots, ..Config::new(did(ANN)) };
    for config in [short, strange, clear, clear_roots] {
        assert!(matches!(open(config).await?, Err(MtlsError::Config(_))));
    }
    Ok(())
}
