//! The example does what its first lines say.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use bindu_client::Outgoing;
use bindu_protocol::{SendResult, TaskState};
use example_harness::Example;

const PROGRAM: &str = env!("CARGO_BIN_EXE_example-runlog");

/// The lines of the log: text, process, what, and when.
fn lines(log: &Path) -> Vec<(String, u32, String, f64)> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let line = |line: &str| {
        let [text, pid, what, time] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (pid, time) = (pid.parse().expect("a process"), time.parse().expect("a time"));
        (text.to_owned(), pid, what.to_owned(), time)
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn it_writes_down_what_it_runs() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let vars = [("RUNLOG", log.as_os_str()), ("RUNLOG_AGENT", "ant".as_ref())];
    let before = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let ant = Example::start_with(PROGRAM, &vars).await?;
    assert_eq!(ant.client()?.card().await?.name, "ant");

    let task = ant.ask("sleep:30:one").await?;
    assert_eq!(task.status.state, TaskState::Completed);
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("ant:sleep:30:one"));
    let after = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();

    let seen = lines(&log);
    let [start, end] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((start.0.as_str(), start.2.as_str()), ("sleep:30:one", "start"));
    assert_eq!((end.0.as_str(), end.2.as_str()), ("sleep:30:one", "end"));
    assert_eq!(start.1, end.1, "one process");
    // A microsecond may be lost to rounding.
    assert!(before <= start.3 + 1e-5 && end.3 <= after + 1e-5, "{before} {seen:?} {after}");
    assert!(end.3 - start.3 >= 0.03 - 1e-5, "{seen:?}");

    let task = ant.ask("wake").await?;
    assert_eq!(task.artifacts[0].parts[0].as_text(), Some("ant:wake"));
    assert_eq!(lines(&log).len(), 2, "only sleep is written down");

    let task = ant.ask("fail:1:two").await?;
    assert_eq!(task.status.state, TaskState::Failed);
    let what: Vec<_> = lines(&log).into_iter().skip(2).map(|line| (line.0, line.2)).collect();
    let two = |what: &str| ("fail:1:two".to_owned(), what.to_owned());
    assert_eq!(what, [two("start"), two("end")]);
    ant.stop()
}

#[tokio::test]
async fn a_run_that_is_stopped_says_so() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let bee = Example::start_with(PROGRAM, &[("RUNLOG", log.as_os_str())]).await?;
    let client = bee.client()?;
    let SendResult::Task(task) =
        client.send(Outgoing::text("sleep:60000:long").blocking(false)).await?
    else {
        anyhow::bail!("expected a task");
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while lines(&log).is_empty() {
        assert!(Instant::now() < deadline, "it did not start");
        tokio::task::yield_now().await;
    }
    client.cancel(&task.id).await.context("cancelling")?;
    while lines(&log).len() < 2 {
        assert!(Instant::now() < deadline, "it did not stop");
        tokio::task::yield_now().await;
    }
    let what: Vec<_> = lines(&log).into_iter().map(|line| line.2).collect();
    assert_eq!(what, ["start", "stop"]);
    bee.stop()
}

#[tokio::test]
async fn with_a_price_it_wants_to_be_paid() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("log");
    let pay_to = "0xa11ce0000000000000000000000000000000a11c";
    let vars = [
        ("RUNLOG", log.as_os_str()),
        ("RUNLOG_PRICE", "0.01".as_ref()),
        ("RUNLOG_PAY_TO", pay_to.as_ref()),
        // Nobody is asked: nothing is paid.
        ("X402__FACILITATOR_URL", "http://127.0.0.1:9".as_ref()),
    ];
    let cat = Example::start_with(PROGRAM, &vars).await?;
    let refused = cat.ask("sleep:1:one").await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(lines(&log).is_empty(), "nothing runs that is not paid for");
    cat.stop()
}

#[tokio::test]
async fn the_name_makes_the_agent() -> anyhow::Result<()> {
    let mut dids = Vec::new();
    for name in ["ant", "bee"] {
        let agent = Example::start_with(PROGRAM, &[("RUNLOG_AGENT", name.as_ref())]).await?;
        let card = agent.client()?.card().await?;
        let card = serde_json::to_value(&*card)?;
        dids.push(card.to_string().contains(&format!("{name}_at_example_com")));
        agent.stop()?;
    }
    assert_eq!(dids, [true, true], "the author follows the name");
    Ok(())
}
