//! What Hydra knows of an agent.

use std::time::Duration;

use bindu_hydra::{Config, Hydra};
use serde_json::json;

use super::{Ground, Home};
use crate::caller::Result;

fn hydra(ground: &Ground) -> Result<Hydra> {
    let config = Config::new(ground.admin.parse()?, ground.public.parse()?);
    Ok(Hydra::new(&config, bindu_http::client::Client::default())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drifted_is_mended_at_the_next_start() -> Result {
    let ground = Ground::shared();
    let (hydra, home) = (hydra(&ground)?, Home::new("drifting")?);
    // Registered before there was TLS: without the audience of step-ca.
    let agent = home.start(&ground.settings()).await?;
    let did = agent.identity().did().to_string();
    agent.stop(Duration::ZERO).await;
    let client = hydra.client(&did).await?.ok_or("it is registered")?;
    assert_eq!(client.audience().count(), 0);

    home.start(&ground.with_tls()).await?.stop(Duration::ZERO).await;
    let mut client = hydra.client(&did).await?.ok_or("it is registered")?;
    assert_eq!(client.audience().collect::<Vec<_>>(), ["step-ca"]);
    assert_eq!(client.members()["access_token_strategy"], json!("jwt"));

    // Somebody else's hand, and a certificate that has to be asked for again.
    client.members_mut().insert("audience".into(), json!(["of-others"]));
    client.members_mut().insert("scope".into(), json!("agent:read"));
    client.members_mut().insert("contacts".into(), json!(["ann@example.com"]));
    let file = home.keys().join("oauth_credentials.json");
    let credentials = bindu_hydra::CredentialsFile::at(&file).load(&did)?.ok_or("it is kept")?;
    let secret = json!(credentials.client_secret.reveal());
    client.members_mut().insert("client_secret".into(), secret);
    hydra.update_client(&did, &client).await?;
    std::fs::remove_file(home.keys().join("tls_cert.pem"))?;
    home.start(&ground.with_tls()).await?.stop(Duration::ZERO).await;
    let client = hydra.client(&did).await?.ok_or("it is registered")?;
    let mut audience: Vec<_> = client.audience().collect();
    audience.sort_unstable();
    assert_eq!(audience, ["of-others", "step-ca"]);
    assert!(client.scopes().any(|scope| scope == "agent:write"));
    assert_eq!(client.members()["contacts"], json!(["ann@example.com"]), "kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_key_under_the_same_did_is_taken_only_if_that_is_allowed() -> Result {
    let ground = Ground::shared();
    let (hydra, home) = (hydra(&ground)?, Home::new("rekeyed")?);
    let mut settings = ground.settings();
    settings.push(("DID__SUFFIX", "agent-id"));
    let agent = home.start(&settings).await?;
    let did = agent.identity().did().to_string();
    let first = agent.identity().key().public_key();
    agent.stop(Duration::ZERO).await;

    for file in ["private.pem", "public.pem"] {
        std::fs::remove_file(home.keys().join(file))?;
    }
    let refused = home.start(&settings).await.err().ok_or("the key of another is replaced")?;
    let refused = format!("{refused:?}");
    assert!(refused.contains("HYDRA__ALLOW_KEY_ROTATION=true"), "{refused}");
    assert_eq!(hydra.client(&did).await?.and_then(|it| it.public_key()), Some(first));

    settings.push(("HYDRA__ALLOW_KEY_ROTATION", "true"));
    let agent = home.start(&settings).await?;
    assert_eq!(agent.identity().did().to_string(), did);
    let second = agent.identity().key().public_key();
    assert_eq!(hydra.client(&did).await?.and_then(|it| it.public_key()), Some(second));
    agent.stop(Duration::ZERO).await;
    Ok(())
}
