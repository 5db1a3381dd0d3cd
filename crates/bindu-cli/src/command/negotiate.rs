use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use bindu_client::{Bid, ClientError, bids};
use bindu_protocol::{NegotiationAnswer, NegotiationRequest};
use serde_json::{Value, json};

use super::peer::{Caller, seconds};
use crate::exit::Exit;
use crate::output::Output;
use crate::sanitize::line;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agents' URLs, such as `http://localhost:3773`.
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// What is to be done.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    task: String,
    /// More about it.
    #[arg(long, value_name = "TEXT")]
    details: Option<String>,
    /// What it may cost at most, such as `0.50`.
    #[arg(long, value_name = "AMOUNT")]
    max_cost: Option<String>,
    /// How long it should take at most, in seconds.
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    max_latency: Option<Duration>,
    /// A media type that will be sent; may be given several times.
    #[arg(long = "input", value_name = "TYPE")]
    inputs: Vec<String>,
    /// A media type that is wanted back; may be given several times.
    #[arg(long = "output", value_name = "TYPE")]
    outputs: Vec<String>,
    /// A tool that the agent must have; may be given several times.
    #[arg(long = "require-tool", value_name = "TOOL")]
    required_tools: Vec<String>,
    /// A tool that it must not have; may be given several times.
    #[arg(long = "forbid-tool", value_name = "TOOL")]
    forbidden_tools: Vec<String>,
    /// The score, from 0 to 1, from which an agent is to accept.
    #[arg(long, value_name = "SCORE")]
    min_score: Option<f64>,
    /// Wait for so many seconds at most.
    #[arg(long, value_name = "SECS", value_parser = seconds, default_value = "15")]
    wait: Duration,
    #[command(flatten)]
    caller: Caller,
}

impl Args {
    pub(crate) async fn run(self, output: &mut Output) -> Result<Exit> {
        let somebody = self.caller.somebody().await?;
        let mut seen = BTreeSet::new();
        let agents = self
            .urls
            .iter()
            .filter(|url| seen.insert(url.trim_end_matches('/')))
            .map(|url| Caller::builder(url, somebody.as_ref()).build())
            .collect::<Result<Vec<_>, ClientError>>()?;
        let bids = bids(agents, &self.request(), self.wait).await;
        if output.is_json() {
            output.json(&bids.iter().map(told).collect::<Vec<_>>())?;
        } else {
            for bid in &bids {
                output.line(&shown(bid))?;
            }
        }
        Ok(match bids.first() {
            Some(best) if best.is_accepted() => Exit::Done,
            Some(Bid { answer: Ok(_), .. }) => Exit::Rejected,
            _ => Exit::Error,
        })
    }

    fn request(&self) -> NegotiationRequest {
        NegotiationRequest {
            task_details: self.details.clone(),
            input_mime_types: self.inputs.clone(),
            output_mime_types: self.outputs.clone(),
            max_latency_ms: self.max_latency.map(|time| time.as_secs_f64() * 1e3),
            max_cost_amount: self.max_cost.as_deref().map(Into::into),
            required_tools: self.required_tools.clone(),
            forbidden_tools: self.forbidden_tools.clone(),
            min_score: self.min_score,
            ..NegotiationRequest::new(self.task.clone())
        }
    }
}

/// A bid for a program: the answer with the agent's URL, or the error.
fn told(bid: &Bid) -> Value {
    let url = bid.agent.url().as_str();
    match &bid.answer {
        Ok(answer) => json!({ "url": url, "answer": answer }),
        Err(error) => json!({ "url": url, "error": error.to_string(), "hint": error.hint() }),
    }
}

/// A bid in one line.
fn shown(bid: &Bid) -> String {
    let url = line(bid.agent.url().as_str());
    match &bid.answer {
        Ok(answer) if answer.accepted => {
            format!("accepts   {:.4}  {url}  {}", answer.score, remarks(answer))
        }
        Ok(answer) => {
            let reason = answer.rejection_reason.map(|reason| format!("  {reason}"));
            format!("refuses   {:.4}  {url}{}", answer.score, reason.unwrap_or_default())
        }
        Err(error) => format!("silent    -       {url}  {}", line(&error.to_string())),
    }
}

fn remarks(answer: &NegotiationAnswer) -> String {
    let skills: Vec<_> = answer.skill_matches.iter().map(|skill| line(&skill.skill_name)).collect();
    let all = [
        Some(format!("confidence {}", answer.confidence)),
        answer.latency_estimate_ms.map(|time| format!("about {time} ms")),
        answer.queue_depth.map(|depth| format!("{depth} tasks open")),
        (!skills.is_empty()).then(|| format!("skills: {}", skills.join(", "))),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
