//! `bindu did`.

use serde_json::Value;

use crate::run::{Result, bindu};

#[tokio::test]
async fn an_identity_is_made_once_and_shown_without_its_secret() -> Result {
    let parent = tempfile::tempdir()?;
    let dir = parent.path().join("keys");
    let dir_text = dir.to_str().ok_or("no text")?;
    let args = ["did", "new", "--author", "ann@example.com", "--name", "echo", "--dir", dir_text];
    let made = bindu(&[&args[..], &["--json"]].concat()).await?;
    assert_eq!(made.status, Some(0), "{made:?}");
    let made: Value = serde_json::from_str(&made.stdout)?;
    let did = made["did"].as_str().ok_or("no DID")?;
    assert!(did.starts_with("did:bindu:ann_at_example_com:echo:"), "{did}");

    let again = bindu(&args).await?;
    assert_eq!(again.status, Some(1));
    assert!(again.stderr.contains("holds this agent's identity already"), "{again:?}");

    let shown = bindu(&["did", "show", "--dir", dir_text]).await?;
    assert_eq!(shown.status, Some(0), "{shown:?}");
    assert!(shown.stdout.starts_with(&format!("did         {did}\n")), "{shown:?}");
    let public = made["publicKeyBase58"].as_str().ok_or("no key")?;
    assert!(shown.stdout.contains(public));
    let as_json = bindu(&["did", "show", "--dir", dir_text, "--json"]).await?;
    let as_json: Value = serde_json::from_str(&as_json.stdout)?;
    assert_eq!(as_json["identities"][0]["document"], made["document"]);

    let private = std::fs::read_to_string(dir.join("private.pem"))?;
    let secret = private.lines().nth(1).ok_or("no key")?;
    assert!(!shown.stdout.contains(secret) && !made.to_string().contains(secret));
    Ok(())
}

#[tokio::test]
async fn an_empty_directory_says_what_to_do() -> Result {
    let dir = tempfile::tempdir()?;
    let ran = bindu(&["did", "show", "--dir", dir.path().to_str().ok_or("no text")?]).await?;
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("make one with: bindu did new"), "{ran:?}");
    Ok(())
}
