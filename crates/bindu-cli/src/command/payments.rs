//! `bindu payments`: what an agent has been paid, and what became of it.

mod balance;

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bindu::settings::{Settings, StorageBackend};
use bindu_protocol::{Json, TaskId, Timestamp};
use bindu_storage::{Ledger, Payment, PaymentKey, PaymentQuery, PaymentState, StorageError};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::balance::Balance;
use super::db::Place;
use crate::exit::Exit;
use crate::output::Output;

/// How many payments are read at once.
const PAGE: usize = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List payments, the newest first.
    List {
        #[command(flatten)]
        place: Place,
        /// Only those in this state: required, verified, settling, settled, failed, unknown,
        /// delivered or orphaned.
        #[arg(long, conflicts_with = "task")]
        state: Option<PaymentState>,
        /// Only those for this task.
        #[arg(long, value_name = "ID")]
        task: Option<TaskId>,
        /// At most so many.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Show a payment. What the caller signed is in the JSON only.
    Show {
        #[command(flatten)]
        place: Place,
        /// Its key, as `list` shows it: network/asset/payer/nonce.
        key: PaymentKey,
    },
    /// Count and sum up payments by state, network and asset.
    ///
    /// Sums are in the asset's smallest unit. Every payment is read for it.
    Balance(Place),
    /// Decide a payment of which the agent does not know whether it was taken.
    ///
    /// Look up the payer's transfers on the chain first. The decision is final: of a payment that
    /// was taken, the agent then brings its task to the end that it can still reach.
    Reconcile {
        #[command(flatten)]
        place: Place,
        /// Its key, as `list --state unknown` shows it.
        key: PaymentKey,
        #[command(flatten)]
        decision: Decision,
    },
}

/// What became of a payment.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Decision {
    /// It was taken, by this transaction: 0x and 64 hexadecimal digits.
    #[arg(long, value_name = "TX", value_parser = transaction)]
    settled: Option<String>,
    /// It was not taken, and will not be.
    #[arg(long)]
    failed: bool,
}

impl Command {
    pub(crate) async fn run(self, output: &mut Output) -> Result<Exit> {
        match self {
            Self::List { place, state, task, limit } => {
                list(&*open(&place).await?, state, task.as_ref(), limit, output).await
            }
            Self::Show { place, key } => show(&*open(&place).await?, &key, output).await,
            Self::Balance(place) => balance(&*open(&place).await?, output).await,
            Self::Reconcile { place, key, decision } => {
                let ledger = open(&place).await?;
                reconcile(&*ledger, &key, decision.settled, Timestamp::now(), output).await
            }
        }
    }
}

async fn open(place: &Place) -> Result<Arc<dyn Ledger>> {
    let settings = Settings::load()?;
    let database = place.database(&settings);
    let database = if settings.storage.backend == StorageBackend::Memory {
        database.context("an agent that keeps its tasks in memory keeps its payments there too")?
    } else {
        database?
    };
    let look = database.look().await?;
    look.refuse()?;
    database.ledger(&look).await
}

/// What lists show of a payment: all but what was signed, with which money can be taken.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a PaymentKey,
    version: u64,
    state: PaymentState,
    task: &'a TaskId,
    owner: Option<&'a str>,
    requirements: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    attempts: u32,
    expires: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Timestamp>,
    created: Timestamp,
    updated: Timestamp,
}

impl<'a> From<&'a Payment> for Row<'a> {
    fn from(payment: &'a Payment) -> Self {
        Self {
            key: &payment.key,
            version: payment.version,
            state: payment.state,
            task: &payment.task,
            owner: payment.owner.name(),
            requirements: &payment.requirements,
            receipt: payment.receipt.as_ref(),
            error: payment.error.as_deref(),
            attempts: payment.attempts,
            expires: payment.expires,
            due: payment.due,
            created: payment.created,
            updated: payment.updated,
        }
    }
}

/// The amount that was asked for, in the asset's smallest unit.
fn amount(payment: &Payment) -> Option<String> {
    #[derive(Deserialize)]
    struct Asked {
        amount: String,
    }
    Some(payment.requirements.parse::<Asked>().ok()?.amount)
}

async fn list(
    ledger: &dyn Ledger,
    state: Option<PaymentState>,
    task: Option<&TaskId>,
    limit: usize,
    output: &mut Output,
) -> Result<Exit> {
    let (found, more) = if let Some(task) = task {
        let mut found = ledger.payments_of(task).await?;
        found.reverse();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    } else {
        newest(ledger, state, limit).await?
    };
    if output.is_json() {
        let rows: Vec<_> = found.iter().map(Row::from).collect();
        output.json(&json!({ "payments": rows, "more": more }))?;
        return Ok(Exit::Done);
    }
    for payment in &found {
        let amount = amount(payment).unwrap_or_else(|| "?".to_owned());
        let Payment { key, state, created, .. } = payment;
        output.line(&format!("{created}  {state:<9}  {amount:>12}  {key}"))?;
    }
    if found.is_empty() {
        output.note("no payments");
    } else if more {
        output.note("there are more; list them with a larger --limit");
    }
    Ok(Exit::Done)
}

/// The newest payments, and whether there are more.
async fn newest(
    ledger: &dyn Ledger,
    state: Option<PaymentState>,
    limit: usize,
) -> Result<(Vec<Payment>, bool)> {
    let mut found = Vec::new();
    let mut query = PaymentQuery { state, after: None, limit: 0 };
    loop {
        // One more than asked for tells whether there are more.
        query.limit = limit.saturating_add(1).saturating_sub(found.len()).min(PAGE);
        let page = ledger.payments(query.clone()).await?;
        found.extend(page.items);
        query.after = page.next;
        if query.after.is_none() || found.len() > limit {
            let more = found.len() > limit;
            found.truncate(limit);
            return Ok((found, more));
        }
    }
}

async fn find(ledger: &dyn Ledger, key: &PaymentKey) -> Result<Payment> {
    ledger.payment(key).await?.with_context(|| format!("there is no payment {key}"))
}

async fn show(ledger: &dyn Ledger, key: &PaymentKey, output: &mut Output) -> Result<Exit> {
    let payment = find(ledger, key).await?;
    if output.is_json() {
        output.json(&payment)?;
        return Ok(Exit::Done);
    }
    let Payment { state, version, task, owner, attempts, .. } = &payment;
    let amount = amount(&payment).unwrap_or_else(|| "?".to_owned());
    let mut lines = vec![
        ("payment", key.to_string()),
        ("state", format!("{state}, at version {version}")),
        ("task", format!("{task}, of {owner}")),
        ("amount", format!("{amount} of {} on {}", key.asset(), key.network())),
        ("payer", payer(&payment)),
        ("attempts", attempts.to_string()),
        ("opened", payment.created.to_string()),
        ("written", payment.updated.to_string()),
        ("expires", payment.expires.to_string()),
    ];
    lines.extend(payment.due.map(|due| ("due", due.to_string())));
    lines.extend(payment.error.map(|error| ("error", error)));
    lines.extend(payment.receipt.map(|receipt| ("receipt", receipt.as_str().to_owned())));
    lines.push(("asked for", payment.requirements.as_str().to_owned()));
    for (name, value) in lines {
        output.line(&format!("{name:<10}{value}"))?;
    }
    Ok(Exit::Done)
}

async fn balance(ledger: &dyn Ledger, output: &mut Output) -> Result<Exit> {
    let mut balance = Balance::default();
    let mut query = PaymentQuery { state: None, after: None, limit: PAGE };
    loop {
        // Not state by state: a payment that moves on meanwhile is still counted once.
        let page = ledger.payments(query.clone()).await?;
        for payment in &page.items {
            balance.add(payment.state, &payment.key, amount(payment).as_deref());
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    if output.is_json() {
        output.json(&balance.to_json())?;
        return Ok(Exit::Done);
    }
    let lines = balance.lines();
    if lines.is_empty() {
        output.note("no payments");
    }
    lines.iter().try_for_each(|line| output.line(line))?;
    Ok(Exit::Done)
}

/// What the facilitator would have answered; see `SettleResponse` in x402, version 2.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Receipt<'a> {
    success: bool,
    error_reason: Option<()>,
    error_message: Option<()>,
    payer: &'a str,
    transaction: &'a str,
    network: &'a str,
    amount: Option<()>,
    extensions: Option<()>,
    extra: Option<()>,
}

/// The payer as it signed.
fn payer(payment: &Payment) -> String {
    #[derive(Deserialize)]
    struct Payload {
        payload: Signed,
    }
    #[derive(Deserialize)]
    struct Signed {
        authorization: Authorization,
    }
    #[derive(Deserialize)]
    struct Authorization {
        from: String,
    }
    let read = payment.payload.parse::<Payload>().map(|it| it.payload.authorization.from);
    read.unwrap_or_else(|_| payment.key.payer().to_owned())
}

/// A payment of which an operator knows that it was taken.
fn taken(payment: Payment, transaction: &str, now: Timestamp) -> Result<Payment> {
    let receipt = Receipt {
        success: true,
        error_reason: None,
        error_message: None,
        payer: &payer(&payment),
        transaction,
        network: payment.key.network(),
        amount: None,
        extensions: None,
        extra: None,
    };
    let receipt = Some(Json::new(&receipt)?);
    // At once due: the agent goes on with it when it looks.
    let due = Some(now);
    Ok(Payment { state: PaymentState::Settled, receipt, error: None, due, ..payment })
}

/// A payment of which an operator knows that it was not.
fn not_taken(payment: Payment) -> Payment {
    let before = payment.error.as_deref().map(|error| format!(" ({error})"));
    let error = format!("an operator found it not taken{}", before.unwrap_or_default());
    Payment { state: PaymentState::Failed, error: Some(error), due: None, ..payment }
}

async fn reconcile(
    ledger: &dyn Ledger,
    key: &PaymentKey,
    settled: Option<String>,
    now: Timestamp,
    output: &mut Output,
) -> Result<Exit> {
    let payment = find(ledger, key).await?;
    if payment.state != PaymentState::Unknown {
        bail!("payment {key} is {}; only one that is unknown can be decided", payment.state);
    }
    let expires = payment.expires;
    let is_settled = settled.is_some();
    let decided = match settled {
        Some(transaction) => taken(payment, &transaction, now)?,
        None => not_taken(payment),
    };
    let decided = match ledger.advance(Payment { updated: now, ..decided }).await {
        Err(StorageError::PaymentConflict(_)) => {
            bail!(
                "payment {key} has moved on meanwhile; look at it again with `bindu payments show`"
            )
        }
        decided => decided?,
    };
    if !is_settled && now < expires {
        output.note(&format!(
            "hint: what was signed is good until {expires}; a transaction under way may still take it"
        ));
    }
    if output.is_json() {
        output.json(&Row::from(&decided))?;
    } else {
        output.line(&format!("payment {key} is {}", decided.state))?;
    }
    Ok(Exit::Done)
}

fn transaction(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text.to_owned())
    } else {
        Err("a transaction is 0x and 64 hexadecimal digits".to_owned())
    }
}
