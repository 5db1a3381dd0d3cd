//! The example does what its first lines say.

use bindu_client::Outgoing;
use bindu_protocol::{File, Part, Task, TaskState};
use example_harness::Example;
use serde_json::json;

const ORDERS: &[u8] = include_bytes!("../data/orders.csv");

fn orders() -> Outgoing {
    Outgoing::parts(Vec::new()).and_file("orders.csv", "text/csv", ORDERS)
}

/// The first part of the artifact of this name.
fn artifact<'a>(task: &'a Task, name: &str) -> Option<&'a Part> {
    let artifact = task.artifacts.iter().find(|it| it.name.as_deref() == Some(name))?;
    artifact.parts.first()
}

#[tokio::test]
async fn a_file_is_described_as_data_and_in_words() -> anyhow::Result<()> {
    let analyst = Example::start(env!("CARGO_BIN_EXE_example-csv-analyst")).await?;
    let task = analyst.ask(orders()).await?;
    assert_eq!(task.status.state, TaskState::Completed);

    let data = artifact(&task, "statistics").and_then(Part::as_data);
    let statistics = data.expect("there is an artifact of statistics").to_value();
    assert_eq!(statistics["rows"], 200);
    let column = |name: &str| {
        let all = statistics["columns"].as_array().into_iter().flatten();
        all.clone().find(|column| column["name"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(
        column("quantity"),
        json!({"name": "quantity", "type": "number", "count": 200, "missing": 0, "distinct": 12,
               "min": 1.0, "max": 12.0, "mean": 5.01})
    );
    assert_eq!(
        column("category"),
        json!({"name": "category", "type": "text", "count": 200, "missing": 0, "distinct": 4,
               "top": [{"value": "seeds", "count": 94}, {"value": "tools", "count": 63},
                       {"value": "pots", "count": 25}]})
    );
    assert_eq!(column("rating")["missing"], 30);

    let summary = artifact(&task, "summary").and_then(Part::as_text);
    assert!(summary.is_some_and(|text| text.starts_with("200 rows, 8 columns.")), "{summary:?}");
    analyst.stop()
}

#[tokio::test]
async fn a_text_may_be_the_file_and_the_file_may_come_later() -> anyhow::Result<()> {
    let analyst = Example::start(env!("CARGO_BIN_EXE_example-csv-analyst")).await?;

    let asked = analyst.ask("please describe my data").await?;
    assert_eq!(asked.status.state, TaskState::InputRequired);
    let done = analyst.ask(orders().task(asked.id.clone())).await?;
    assert_eq!((done.id, done.status.state), (asked.id, TaskState::Completed));

    let task = analyst.ask("name,age\nann,41\nbo,\n").await?;
    let summary = artifact(&task, "summary").and_then(Part::as_text);
    let expected = "2 rows, 2 columns.\nname: 2 different, most often ann (1), bo (1)\n\
                    age: 41 to 41, mean 41; missing in 1 rows";
    assert_eq!(summary, Some(expected));
    analyst.stop()
}

#[tokio::test]
async fn what_cannot_be_read_is_told_in_words() -> anyhow::Result<()> {
    let analyst = Example::start(env!("CARGO_BIN_EXE_example-csv-analyst")).await?;

    let torn = Outgoing::parts(Vec::new()).and_file("a.csv", "text/csv", b"a,b\n1\n");
    let task = analyst.ask(torn).await?;
    assert_eq!(task.status.state, TaskState::Failed);

    let elsewhere = File { uri: Some("https://example.com/a.csv".into()), ..File::default() };
    let task = analyst.ask(Outgoing::parts(vec![Part::file(elsewhere)])).await?;
    assert_eq!(task.status.state, TaskState::Rejected);
    analyst.stop()
}
