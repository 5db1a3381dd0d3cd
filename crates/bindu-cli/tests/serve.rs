//! `bindu serve`, and the other commands against it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::run::{Result, bindu};

/// A handler in another language: paints, asks for the colour, or fails.
const PAINTER: &str = r#"#!/bin/sh
said=$(cat)
case "$said" in
  *green*) echo "painted green" ;;
  *break*) echo "no paint left" >&2; exit 3 ;;
  *) echo '{"state": "input-required", "prompt": "Which colour?"}' ;;
esac
"#;

struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    /// Starts `bindu serve` on a free port, and waits until it says that it is ready.
    async fn start(dir: &Path, args: &[&str]) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bindu"))
            .arg("serve")
            .args(args)
            .current_dir(dir)
            .env("BINDU_PORT", "0")
            .env("LOG_FORMAT", "json")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no stderr")?).lines();
        while let Some(line) = lines.next_line().await? {
            let line: Value = serde_json::from_str(&line)?;
            if let Some(listen) = line["listen"].as_str() {
                let url = format!("http://{listen}");
                // Whatever it still says must not fill the pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { child, url });
            }
        }
        Err("the agent never became ready".into())
    }

    /// Ends it as an operator would, and says how it ended.
    async fn stop(mut self) -> Result<Option<i32>> {
        let pid = self.child.id().ok_or("it has ended")?.to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await?;
        Ok(self.child.wait().await?.code())
    }
}

#[tokio::test]
async fn a_program_is_an_agent() -> Result {
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("painter");
    std::fs::write(&script, PAINTER)?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let agent = Serving::start(dir.path(), &["--script", "painter"]).await?;

    let asked = bindu(&["--json", "send", &agent.url, "paint the door"]).await?;
    assert_eq!(asked.status, Some(6), "{}", asked.stderr);
    let task: Value = serde_json::from_str(&asked.stdout)?;
    let id = task["id"].as_str().ok_or("no task id")?;

    let painted = bindu(&["send", &agent.url, "green", "--task", id]).await?;
    assert_eq!((painted.status, painted.stdout.as_str()), (Some(0), "painted green\n"));

    let broken = bindu(&["send", &agent.url, "break"]).await?;
    assert_eq!(broken.status, Some(3));
    assert!(broken.stderr.contains("no paint left") || broken.stdout.contains("no paint left"));

    assert_eq!(agent.stop().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn echo_needs_nothing_and_keeps_its_identity() -> Result {
    let dir = tempfile::tempdir()?;
    let mut dids = Vec::new();
    for _ in 0..2 {
        let agent = Serving::start(dir.path(), &["--echo"]).await?;
        let sent = bindu(&["send", &agent.url, "hello"]).await?;
        assert_eq!((sent.status, sent.stdout.as_str()), (Some(0), "hello\n"));
        let card = bindu(&["--json", "card", &agent.url]).await?;
        let card: Value = serde_json::from_str(&card.stdout)?;
        dids.push(card["capabilities"]["extensions"][0]["uri"].clone());
        assert_eq!(agent.stop().await?, Some(0));
    }
    assert_eq!(dids[0], dids[1]);
    Ok(())
}

#[tokio::test]
async fn without_a_handler_nothing_is_served() -> Result {
    let refused = bindu(&["serve"]).await?;
    assert_eq!(refused.status, Some(1));
    // Launchers look there.
    assert!(refused.stdout.starts_with("Error: --grpc or --script required"), "{refused:?}");
    assert!(refused.stdout.contains("Usage: bindu serve"), "{refused:?}");
    for args in [["serve", "--grpc", "--echo"].as_slice(), &["serve", "--grpc-port", "abc"]] {
        assert_eq!(bindu(args).await?.status, Some(2), "{args:?}");
    }
    Ok(())
}
