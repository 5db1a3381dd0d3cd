//! Calling as the identity in a directory.

use std::path::Path;
use std::time::SystemTime;

#[cfg(feature = "hydra")]
use bindu_client::PrincipalConfig;
use bindu_client::{Client, ClientError, Principal};
use bindu_did::key_dir;
use bindu_did::request::RequestSignature;
use bindu_protocol::Dialect;
use serde_json::json;

use crate::canned::{Canned, Result, answer, camel_task, hasty};

fn new_identity(dir: &Path) -> Result<key_dir::Identity> {
    let config = key_dir::Config {
        dir: dir.to_owned(),
        author: "ann@example.com".to_owned(),
        name: "caller".to_owned(),
        ..key_dir::Config::default()
    };
    Ok(key_dir::open(&config, SystemTime::now())?)
}

async fn agent() -> Result<Canned> {
    Canned::start(|seen, _| match seen.path.as_str() {
        "/" => seen.result(&camel_task("t", "completed")),
        _ => answer(404, &json!({})),
    })
    .await
}

#[tokio::test]
async fn a_directory_with_an_identity_signs() -> Result {
    let dir = tempfile::tempdir()?;
    let identity = new_identity(dir.path())?;
    let me = Principal::open(dir.path()).await?;
    assert_eq!(me.did(), identity.did());
    let agent = agent().await?;
    let builder = Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty());
    builder.call_as(&me).build()?.send("hello").await?;

    let seen = agent.seen();
    let sent = seen.iter().find(|seen| seen.path == "/").ok_or("nothing was sent")?;
    assert_eq!(sent.header("x-did"), Some(identity.did().as_str()));
    assert_eq!(sent.header("authorization"), None);
    let texts = sent
        .headers
        .iter()
        .filter_map(|(name, value)| value.to_str().ok().map(|value| (name.as_str(), value)));
    let signature = RequestSignature::from_headers(texts)?;
    signature.verify(&identity.key().public_key(), &sent.bytes, signature.timestamp)?;
    Ok(())
}

#[tokio::test]
async fn a_directory_without_an_identity_is_refused_and_left_alone() -> Result {
    let dir = tempfile::tempdir()?;
    let error = Principal::open(dir.path().join("nothing")).await.unwrap_err();
    assert!(matches!(error, ClientError::Identity(_)), "{error:?}");
    assert!(std::fs::read_dir(dir.path())?.next().is_none());
    Ok(())
}

#[cfg(feature = "hydra")]
mod hydra {
    use bindu_client::KeySource;
    use bindu_hydra::{Credentials, CredentialsFile, Keys, KeysConfig, Secret};

    use super::*;

    fn register(dir: &Path, did: &str) -> Result {
        let file = CredentialsFile::at(dir.join("oauth_credentials.json"));
        file.save(&Credentials {
            agent_id: "139e3940-e64b-5491-7220-88d9a0d74162".to_owned(),
            client_id: did.to_owned(),
            client_secret: Secret::from("the secret"),
            created_at: "2026-11-21T04:09:09.144808+00:00".to_owned(),
            scopes: vec!["agent:read".to_owned()],
        })?;
        Ok(())
    }

    fn config(dir: &Path, hydra: &Canned) -> Result<PrincipalConfig> {
        Ok(PrincipalConfig { hydra_url: hydra.url.parse()?, ..PrincipalConfig::new(dir) })
    }

    /// Gives out token-1, token-2 and so on.
    async fn hydra() -> Result<Canned> {
        Canned::start(|seen, before| match seen.path.as_str() {
            "/oauth2/token" => answer(
                200,
                &json!({ "access_token": format!("token-{}", before + 1), "token_type": "bearer",
                         "expires_in": 3600, "scope": "agent:read agent:write" }),
            ),
            _ => answer(404, &json!({})),
        })
        .await
    }

    #[tokio::test]
    async fn credentials_bring_tokens_that_are_kept_and_renewed_when_refused() -> Result {
        let dir = tempfile::tempdir()?;
        let identity = new_identity(dir.path())?;
        register(dir.path(), identity.did().as_str())?;
        let hydra = hydra().await?;
        let me = Principal::read(config(dir.path(), &hydra)?).await?;
        assert!(me.has_tokens());

        let agent = Canned::start(|seen, _| match seen.path.as_str() {
            "/" if seen.header("authorization") == Some("Bearer token-1") => {
                seen.error(401, -32010)
            }
            "/" => seen.result(&camel_task("t", "completed")),
            _ => answer(404, &json!({})),
        })
        .await?;
        let builder = Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty());
        let client = builder.call_as(&me).build()?;
        client.send("one").await?;
        client.send("two").await?;
        let calls = agent.seen();
        let tokens: Vec<_> = calls.iter().filter_map(|seen| seen.header("authorization")).collect();
        assert_eq!(tokens, ["Bearer token-1", "Bearer token-2", "Bearer token-2"]);

        let asked = hydra.seen();
        assert_eq!(asked.len(), 2);
        let form: Vec<_> = url::form_urlencoded::parse(&asked[0].bytes).into_owned().collect();
        for (name, value) in [
            ("grant_type", "client_credentials"),
            ("client_id", identity.did().as_str()),
            ("client_secret", "the secret"),
            ("scope", "agent:read agent:write"),
        ] {
            assert!(form.contains(&(name.to_owned(), value.to_owned())), "{name} in {form:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn calls_that_are_refused_together_ask_for_one_token() -> Result {
        let dir = tempfile::tempdir()?;
        let identity = new_identity(dir.path())?;
        register(dir.path(), identity.did().as_str())?;
        let hydra = hydra().await?;
        let me = Principal::read(config(dir.path(), &hydra)?).await?;
        let agent = Canned::start(|seen, _| match seen.path.as_str() {
            "/" if seen.header("authorization") == Some("Bearer token-1") => {
                seen.error(401, -32010)
            }
            "/" => seen.result(&camel_task("t", "completed")),
            _ => answer(404, &json!({})),
        })
        .await?;
        let builder = Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty());
        let client = builder.call_as(&me).build()?;
        let calls = (0..20).map(|i| client.send(format!("call {i}")));
        futures_util::future::try_join_all(calls).await?;
        assert_eq!(hydra.seen().len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn credentials_of_another_are_not_taken() -> Result {
        let dir = tempfile::tempdir()?;
        new_identity(dir.path())?;
        register(dir.path(), "did:bindu:someone:else:1")?;
        let me = Principal::open(dir.path()).await?;
        assert!(!me.has_tokens());
        Ok(())
    }

    #[tokio::test]
    async fn a_hydra_that_is_away_is_told_from_a_stranger() -> Result {
        let dir = tempfile::tempdir()?;
        let identity = new_identity(dir.path())?;
        register(dir.path(), identity.did().as_str())?;
        let away = Canned::start(|_, _| answer(503, &json!({}))).await?;
        let me = Principal::read(config(dir.path(), &away)?).await?;
        let agent = agent().await?;
        let builder = Client::builder(&agent.url).dialect(Dialect::V0_3).retry(hasty());
        let error = builder.call_as(&me).build()?.send("hello").await.unwrap_err();
        assert!(matches!(error, ClientError::Token(_)), "{error:?}");

        let url: url::Url = away.url.parse()?;
        let http = bindu_http::client::Client::default();
        let hydra = bindu_hydra::Hydra::new(&bindu_hydra::Config::new(url.clone(), url), http)?;
        let keys = Keys::new(hydra, KeysConfig::default());
        let error = KeySource::key(&keys, identity.did()).await.unwrap_err();
        assert!(matches!(error, ClientError::Unavailable { .. }) && error.is_retryable());
        Ok(())
    }

    #[tokio::test]
    async fn hydra_knows_the_keys_of_who_is_registered() -> Result {
        let dir = tempfile::tempdir()?;
        let identity = new_identity(dir.path())?;
        let (did, key) = (identity.did().clone(), identity.key().public_key());
        let client = json!({ "client_id": did, "metadata": { "public_key": key.to_base58() } });
        let hydra = Canned::start(move |seen, _| match seen.path.rsplit("%3A").nth(1) {
            Some("caller") => answer(200, &client),
            _ => answer(404, &json!({})),
        })
        .await?;
        let url: url::Url = hydra.url.parse()?;
        let http = bindu_http::client::Client::default();
        let hydra = bindu_hydra::Hydra::new(&bindu_hydra::Config::new(url.clone(), url), http)?;
        let keys: Box<dyn KeySource> = Box::new(Keys::new(hydra, KeysConfig::default()));
        assert_eq!(keys.key(&did).await?, Some(key));
        assert_eq!(keys.key(&"did:bindu:no:one:1".parse()?).await?, None);
        Ok(())
    }
}
