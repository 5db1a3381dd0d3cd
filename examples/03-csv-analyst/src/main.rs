//! # 3. A file in, data out
//!
//! Teaches: messages and answers that are more than text. The caller sends a CSV file as a file
//! part; the agent answers with two artifacts, one of text for people and one of structured data
//! for programs. What is wrong with the file is told in plain words.
//!
//! [`table`] knows CSV and nothing of agents; this file knows agents and nothing of CSV.
//!
//! Run it:
//!
//! ```text
//! cargo run -p example-csv-analyst
//! ```
//!
//! and send it the orders of a made-up garden shop, `data/orders.csv` (a file travels in base64):
//!
//! ```text
//! curl http://localhost:3773 -d '{"jsonrpc": "2.0", "id": 1, "method": "message/send",
//!   "params": {"message": {"role": "user", "messageId": "m-1", "parts": [{"kind": "file",
//!     "file": {"name": "orders.csv", "mimeType": "text/csv", "bytes": "'"$(
//!       base64 -w 0 examples/03-csv-analyst/data/orders.csv)"'"}}]}}}'
//! ```
//!
//! CSV as the text of a message will do as well.

mod table;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bindu::protocol::{Json, Message, Part};
use bindu::{AgentConfig, HandlerError, Reply, StartError, Turn};

fn main() -> Result<(), StartError> {
    let config = AgentConfig {
        description: "Describes the columns of a CSV file".into(),
        ..AgentConfig::new("ann@example.com", "csv-analyst")
    };
    // Reading a long file keeps a thread busy: not one of those that serve the network.
    bindu::bindufy(config, bindu::blocking(|turn: Turn| analyse(&turn)))
}

fn analyse(turn: &Turn) -> Result<Reply, HandlerError> {
    let csv = match csv_in(turn.message()) {
        Ok(Some(csv)) => csv,
        // The task stays open, so that the file can still come.
        Ok(None) => return Ok(Reply::input_required("Send me a CSV file with a header line.")),
        Err(why) => return Ok(Reply::rejected(why)),
    };
    let report = match table::describe(&csv) {
        Ok(report) => report,
        Err(why) => return Ok(Reply::failed(format!("The file is no CSV: {why}"))),
    };
    Ok(Reply::artifact("summary", vec![Part::text(report.to_string())])
        .with_artifact("statistics", vec![Part::data(Json::new(&report)?)]))
}

/// The content of the first file of a message, or its text if that is CSV.
fn csv_in(message: &Message) -> Result<Option<Vec<u8>>, &'static str> {
    if let Some(file) = message.parts.iter().find_map(Part::as_file) {
        let Some(bytes) = &file.bytes else {
            return Err("I fetch no files: send the content, not its address.");
        };
        let content = STANDARD.decode(bytes).map_err(|_| "The file is not valid base64.")?;
        return Ok(Some(content));
    }
    let text = message.text();
    let has_columns = text.lines().count() > 1 && text.contains(',');
    Ok(has_columns.then(|| text.into_bytes()))
}
