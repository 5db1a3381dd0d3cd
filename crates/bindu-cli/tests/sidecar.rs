//! `bindu serve --grpc`, as the launchers of SDKs use it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bindu_testkit::sdk::{Core, Sdk, free_port};
use serde_json::json;
use tokio::process::{Child, Command};

use crate::run::{Result, bindu, command, finish};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(30);

/// A core in a process of its own.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    async fn start(directory: &Path, output: impl Fn() -> Stdio) -> Result<Self> {
        let port = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_bindu"))
            .args(["serve", "--grpc", "--grpc-port", &port.to_string()])
            .current_dir(directory)
            .env("GRPC__HOST", "127.0.0.1")
            .env("GRPC__PORT", "1") // the flag beats it
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .kill_on_drop(true)
            .spawn()?;
        let process = Self { child, port };
        tokio::time::timeout(LONG, async {
            while tokio::net::TcpStream::connect(process.address()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await?;
        Ok(process)
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    async fn stop(mut self, signal: &str) -> Result<Option<i32>> {
        let pid = self.child.id().ok_or("it has ended")?.to_string();
        Command::new("kill").args([signal, &pid]).status().await?;
        Ok(tokio::time::timeout(LONG, self.child.wait()).await??.code())
    }
}

fn config(port: u16) -> serde_json::Value {
    json!({
        "author": "ann@example.com", "name": "echo",
        "deployment": { "url": format!("http://127.0.0.1:{port}") },
    })
}

#[tokio::test]
async fn a_core_serves_until_it_is_told_to_end() -> Result {
    let directory = tempfile::tempdir()?;
    let sdk = Sdk::start().await;
    for signal in ["-TERM", "-INT"] {
        let process = Process::start(directory.path(), Stdio::null).await?;
        let core = Core::at(process.address()).await?;
        let callback = sdk.address().to_string();
        let answer = core.register(&config(free_port()), &callback).await?;
        assert!(answer.success, "{}", answer.error);
        let sent = bindu(&["send", &answer.agent_url, "hello"]).await?;
        assert_eq!((sent.status, sent.stdout.as_str()), (Some(0), "echo hello\n"), "{sent:?}");

        // A second one sees at once that there is one.
        let mut second = command(&["serve", "--grpc", "--grpc-port", &process.port.to_string()]);
        second.current_dir(directory.path()).env("GRPC__HOST", "127.0.0.1");
        let second = finish(second).await?;
        assert_eq!(second.status, Some(1), "{second:?}");
        assert_eq!(second.stderr.lines().count(), 1, "{second:?}");
        assert!(second.stderr.contains(&process.port.to_string()), "{second:?}");
        assert_eq!(process.stop(signal).await?, Some(0));
    }
    // The agent's key is where it was: among the agents of the directory.
    assert!(directory.path().join(".bindu/agents/echo/.bindu/private.pem").exists());
    Ok(())
}

#[tokio::test]
async fn nobody_has_to_read_what_a_core_prints() -> Result {
    let directory = tempfile::tempdir()?;
    let mut process = Process::start(directory.path(), Stdio::piped).await?;
    drop((process.child.stdout.take(), process.child.stderr.take()));
    let sdk = Sdk::start().await;
    let core = Core::at(process.address()).await?;
    let answer = core.register(&config(free_port()), &sdk.address().to_string()).await?;
    assert!(answer.success, "{}", answer.error);
    for _ in 0..5 {
        let sent = bindu(&["send", &answer.agent_url, "hello"]).await?;
        assert_eq!(sent.stdout, "echo hello\n", "{sent:?}");
    }
    assert_eq!(process.stop("-TERM").await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn documents_that_callers_send_are_read_by_a_process_of_its_own() -> Result {
    let directory = tempfile::tempdir()?;
    let process = Process::start(directory.path(), Stdio::null).await?;
    let sdk = Sdk::start().await;
    let core = Core::at(process.address()).await?;
    let answer = core.register(&config(free_port()), &sdk.address().to_string()).await?;
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/grpc/documents");
    for entry in std::fs::read_dir(&documents)? {
        let file = entry?.path();
        let file = file.to_string_lossy();
        let before = sdk.count();
        let sent = bindu(&["send", &answer.agent_url, "read", "--file", &file]).await?;
        assert_eq!(sent.status, Some(0), "{sent:?}");
        let calls = sdk.calls();
        let told = calls[before..].iter().flat_map(|call| &call.request.messages);
        let told: String = told.map(|message| message.content.as_str()).collect();
        assert!(told.contains("--- Document Uploaded ---"), "{file}: {told}");
        assert!(!told.contains("[Error"), "{file}: {told}");
    }
    Ok(())
}

#[tokio::test]
async fn an_orphan_whose_sdk_was_killed_ends() -> Result {
    orphan(true).await
}

#[tokio::test]
async fn an_orphan_whose_sdk_has_left_ends() -> Result {
    orphan(false).await
}

#[tokio::test]
async fn a_core_whose_output_is_not_read_goes_on() -> Result {
    let directory = tempfile::tempdir()?;
    // Piped, and held without being read.
    let process = Process::start(directory.path(), Stdio::piped).await?;
    let core = Core::at(process.address()).await?;
    // More lines than a pipe and the core's own queue hold.
    for _ in 0..6000 {
        assert!(!core.heartbeat("nobody").await?.acknowledged);
    }
    assert_eq!(process.stop("-TERM").await?, Some(0));
    Ok(())
}

async fn orphan(is_killed: bool) -> Result {
    let directory = tempfile::tempdir()?;
    let port = free_port();
    // The shell starts the core and goes at once.
    let start = format!(
        "{} serve --grpc --grpc-port {port} >/dev/null 2>&1 & echo $!; sleep 0.3",
        env!("CARGO_BIN_EXE_bindu")
    );
    let started = Command::new("sh")
        .args(["-c", &start])
        .current_dir(directory.path())
        .env("GRPC__HOST", "127.0.0.1")
        .env("GRPC__HEALTH_CHECK_INTERVAL", "0.05")
        .env("GRPC__EVICT_AFTER", "0.1")
        .env("GRPC__ORPHAN_EXIT", "0.1")
        .output()
        .await?;
    let pid = String::from_utf8(started.stdout)?.trim().to_owned();
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let core = tokio::time::timeout(LONG, async {
        loop {
            match Core::at(address).await {
                Ok(core) => return core,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await?;
    let mut sdk = Sdk::start().await;
    let answer = core.register(&config(free_port()), &sdk.address().to_string()).await?;
    assert!(answer.success, "{}", answer.error);
    if is_killed {
        sdk.kill().await;
    } else {
        assert!(core.unregister(&answer.agent_id, None).await?.success);
    }
    let ended = tokio::time::timeout(LONG, async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    if ended.is_err() {
        Command::new("kill").args(["-KILL", &pid]).status().await?;
    }
    assert!(ended.is_ok(), "the core goes on for nobody");
    Ok(())
}

#[tokio::test]
async fn the_command_completes_and_explains_itself() -> Result {
    for shell in ["bash", "zsh", "fish"] {
        let script = bindu(&["completions", shell]).await?;
        assert_eq!(script.status, Some(0));
        assert!(script.stdout.contains("grpc-port"), "{shell}");
    }
    let directory = tempfile::tempdir()?;
    let pages = directory.path().join("man1");
    let written = bindu(&["man", &pages.to_string_lossy()]).await?;
    assert_eq!(written.status, Some(0), "{written:?}");
    let page = std::fs::read_to_string(pages.join("bindu-serve.1"))?;
    assert!(page.contains("grpc"), "{page}");
    Ok(())
}
