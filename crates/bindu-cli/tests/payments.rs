//! `bindu payments`, on files.

use std::path::Path;

use bindu_protocol::{Json, Owner, Timestamp};
use bindu_sqlite::{SqliteConfig, SqliteStore};
use bindu_storage::{Ledger, Opened, Payment, PaymentKey, PaymentState};
use serde_json::Value;

use crate::run::{Ran, Result, command, finish};

const AGENT: &str = "did:bindu:ann:echo:1";
const PLACE: [&str; 2] = ["--url", "sqlite:tasks.db"];
const PAYER: &str = "0x857b06519E91e3A54538791bDbb0E22373e36b66";
const HUGE: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639935";

/// Runs `bindu payments` with nothing set, in this directory.
pub(crate) async fn payments(dir: &Path, args: &[&str]) -> Result<Ran> {
    let mut command = command(&["payments"]);
    command.args(args).current_dir(dir);
    for name in ["DATABASE_URL", "STORAGE_TYPE", "STORAGE__BACKEND", "STORAGE__POSTGRES_URL"] {
        command.env_remove(name);
    }
    finish(command).await
}

/// What `bindu payments` prints with `--json`.
pub(crate) async fn json(dir: &Path, args: &[&str]) -> Result<Value> {
    let ran = payments(dir, &[args, &["--json"]].concat()).await?;
    serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran:?}").into())
}

fn raw(value: &Value) -> Result<Json> {
    Ok(Json::new(value)?)
}

/// Writes a payment down, and brings it to a state. Its number names it.
pub(crate) async fn paid(
    ledger: &dyn Ledger,
    number: i64,
    state: PaymentState,
    amount: &str,
) -> Result<Payment> {
    let at = Timestamp::from_unix_micros((1_700_000_000 + number) * 1_000_000);
    let nonce = format!("0x{number:064x}");
    let payload = serde_json::json!({
        "x402Version": 2,
        "payload": { "signature": "0x5167", "authorization": { "from": PAYER, "nonce": nonce } },
    });
    let payment = Payment {
        key: PaymentKey::new("eip155:84532", "0x036CbD53", PAYER, &nonce),
        version: 0,
        state: PaymentState::Required,
        task: format!("order/{number}").parse()?,
        owner: Owner::from(Some("did:bindu:bob:client:2".to_owned())),
        payload: raw(&payload)?,
        requirements: raw(&serde_json::json!({ "scheme": "exact", "amount": amount }))?,
        receipt: None,
        error: None,
        attempts: 1,
        expires: at,
        due: Some(at),
        created: at,
        updated: at,
    };
    let Opened::New(payment) = ledger.open(payment).await? else {
        return Err("the payment is there".into());
    };
    let error = (state == PaymentState::Unknown).then(|| "no answer\u{1b}[2J".to_owned());
    Ok(ledger.advance(Payment { state, error, ..payment }).await?)
}

/// Two unknown payments, one delivered, one settled, of two amounts.
pub(crate) async fn fill(ledger: &dyn Ledger) -> Result<Vec<Payment>> {
    Ok(vec![
        paid(ledger, 1, PaymentState::Unknown, HUGE).await?,
        paid(ledger, 2, PaymentState::Delivered, "10000").await?,
        paid(ledger, 3, PaymentState::Unknown, HUGE).await?,
        paid(ledger, 4, PaymentState::Settled, "25").await?,
    ])
}

async fn open(dir: &Path) -> Result<SqliteStore> {
    Ok(SqliteStore::open(SqliteConfig::new(dir.join("tasks.db"), AGENT)).await?)
}

fn keys(listed: &Value) -> Vec<&str> {
    let listed = listed["payments"].as_array().into_iter().flatten();
    listed.filter_map(|payment| payment["key"].as_str()).collect()
}

fn with_place<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &PLACE].concat()
}

#[tokio::test]
async fn payments_are_listed_newest_first() -> Result {
    let dir = tempfile::tempdir()?;
    let made = fill(&open(dir.path()).await?).await?;
    let key = |number: usize| made[number].key.as_str();
    let listed = json(dir.path(), &with_place(&["list"])).await?;
    assert_eq!(keys(&listed), [key(3), key(2), key(1), key(0)]);
    assert_eq!(listed["more"], false);
    assert!(!listed.to_string().contains("0x5167"), "signatures are not for lists: {listed}");
    let few = json(dir.path(), &with_place(&["list", "--limit", "3"])).await?;
    assert_eq!((keys(&few), &few["more"]), (vec![key(3), key(2), key(1)], &true.into()));
    let unknown = json(dir.path(), &with_place(&["list", "--state", "unknown"])).await?;
    assert_eq!(keys(&unknown), [key(2), key(0)]);
    let of_task = json(dir.path(), &with_place(&["list", "--task", "order/2"])).await?;
    assert_eq!(keys(&of_task), [key(1)]);

    let told = payments(dir.path(), &with_place(&["list", "--limit", "1"])).await?;
    let line = format!("2023-11-14T22:13:24+00:00  settled              25  {}\n", key(3));
    assert_eq!((told.status, told.stdout), (Some(0), line));
    assert!(told.stderr.contains("there are more"), "{}", told.stderr);
    let wrong = payments(dir.path(), &with_place(&["list", "--state", "paid"])).await?;
    assert_eq!(wrong.status, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("the states are required"), "{wrong:?}");
    Ok(())
}

#[tokio::test]
async fn a_payment_is_shown_with_what_a_refund_needs() -> Result {
    let dir = tempfile::tempdir()?;
    let made = fill(&open(dir.path()).await?).await?;
    let key = made[0].key.as_str();
    let whole = json(dir.path(), &with_place(&["show", key])).await?;
    assert_eq!(serde_json::from_value::<Payment>(whole)?, made[0]);
    let told = payments(dir.path(), &with_place(&["show", key])).await?;
    assert_eq!(told.status, Some(0), "{told:?}");
    for line in [
        format!("payment   {key}\n"),
        "state     unknown, at version 2\n".to_owned(),
        "task      order/1, of did:bindu:bob:client:2\n".to_owned(),
        format!("amount    {HUGE} of 0x036cbd53 on eip155:84532\n"),
        format!("payer     {PAYER}\n"),
        "error     no answer\\u{1b}[2J\n".to_owned(),
    ] {
        assert!(told.stdout.contains(&line), "{line} is not in {}", told.stdout);
    }
    assert!(!told.stdout.contains("0x5167"), "{told:?}");

    let nowhere = payments(dir.path(), &with_place(&["show", "eip155:1/0xa/0xb/0xc"])).await?;
    assert_eq!(nowhere.status, Some(1), "{nowhere:?}");
    assert!(nowhere.stderr.contains("there is no payment eip155:1/0xa/0xb/0xc"), "{nowhere:?}");
    let no_key = payments(dir.path(), &with_place(&["show", "0xc"])).await?;
    assert_eq!(no_key.status, Some(2), "{no_key:?}");
    Ok(())
}

#[tokio::test]
async fn sums_are_exact_however_large() -> Result {
    let dir = tempfile::tempdir()?;
    let store = open(dir.path()).await?;
    fill(&store).await?;
    // More than are read at once.
    for number in 100..701 {
        paid(&store, number, PaymentState::Delivered, "3").await?;
    }
    drop(store);
    let balance = json(dir.path(), &with_place(&["balance"])).await?;
    let row = |state: &str, count: u64, amount: &str| {
        serde_json::json!({
            "state": state, "network": "eip155:84532", "asset": "0x036cbd53", "count": count,
            "amount": amount, "unreadable": 0,
        })
    };
    let huge = "231584178474632390847141970017375815706539969331281128078915168015826259279870";
    let rows = [row("settled", 1, "25"), row("unknown", 2, huge), row("delivered", 602, "11803")];
    assert_eq!(balance, serde_json::json!({ "payments": 605, "balance": rows }));
    let told = payments(dir.path(), &with_place(&["balance"])).await?;
    assert_eq!(told.stdout.lines().count(), 3, "{told:?}");
    assert!(told.stdout.contains(&format!("{huge} of 0x036cbd53 on eip155:84532\n")), "{told:?}");
    Ok(())
}

#[tokio::test]
async fn an_operator_decides_what_is_unknown() -> Result {
    let dir = tempfile::tempdir()?;
    let made = fill(&open(dir.path()).await?).await?;
    let (first, second) = (made[0].key.as_str(), made[2].key.as_str());
    let transaction = format!("0x{}", "ab".repeat(32));
    let before = Timestamp::now();
    let settled = with_place(&["reconcile", first, "--settled", &transaction]);
    let told = payments(dir.path(), &settled).await?;
    assert_eq!(
        (told.status, told.stdout.as_str()),
        (Some(0), &*format!("payment {first} is settled\n"))
    );
    let failed = json(dir.path(), &with_place(&["reconcile", second, "--failed"])).await?;
    assert_eq!(failed["state"], "failed");
    // What is decided is decided.
    for again in [settled, with_place(&["reconcile", second, "--failed"])] {
        let again = payments(dir.path(), &again).await?;
        assert_eq!(again.status, Some(1), "{again:?}");
        assert!(again.stderr.contains("only one that is unknown can be decided"), "{again:?}");
    }
    let running = made[3].key.as_str();
    let running = payments(dir.path(), &with_place(&["reconcile", running, "--failed"])).await?;
    assert!(running.stderr.contains("is settled; only one that is unknown"), "{running:?}");

    let store = open(dir.path()).await?;
    let found = store.payment(&made[0].key).await?.ok_or("it is there")?;
    assert_eq!((found.version, found.state, found.error), (3, PaymentState::Settled, None));
    let receipt = found.receipt.ok_or("a receipt")?;
    let expected = format!(
        r#"{{"success":true,"errorReason":null,"errorMessage":null,"payer":"{PAYER}","transaction":"{transaction}","network":"eip155:84532","amount":null,"extensions":null,"extra":null}}"#
    );
    assert_eq!(receipt.as_str(), expected);
    assert!(found.due.is_some_and(|due| before <= due && due <= Timestamp::now()));
    let found = store.payment(&made[2].key).await?.ok_or("it is there")?;
    assert_eq!((found.version, found.state, found.due), (3, PaymentState::Failed, None));
    let error = found.error.ok_or("a reason")?;
    assert_eq!(error, "an operator found it not taken (no answer\u{1b}[2J)");
    Ok(())
}

#[tokio::test]
async fn a_decision_is_one_of_two() -> Result {
    let dir = tempfile::tempdir()?;
    let transaction = format!("0x{}", "ab".repeat(32));
    for decision in [
        &[][..],
        &["--settled", &transaction, "--failed"],
        &["--settled", "0xab"],
        &["--settled", &transaction.replace('b', "g")],
    ] {
        let args = [&["reconcile", "eip155:1/0xa/0xb/0xc"], decision].concat();
        let ran = payments(dir.path(), &with_place(&args)).await?;
        assert_eq!(ran.status, Some(2), "{decision:?}: {ran:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_database_there_is_nothing_to_look_at() -> Result {
    let dir = tempfile::tempdir()?;
    let memory = payments(dir.path(), &["list"]).await?;
    assert_eq!(memory.status, Some(1), "{memory:?}");
    assert!(memory.stderr.contains("keeps its payments there too"), "{memory:?}");
    assert!(memory.stderr.contains("DATABASE_URL is not set"), "{memory:?}");
    let absent = payments(dir.path(), &with_place(&["list"])).await?;
    assert_eq!(absent.status, Some(1), "{absent:?}");
    assert!(absent.stderr.contains("there is no such file"), "{absent:?}");
    assert!(!dir.path().join("tasks.db").exists());

    let store = open(dir.path()).await?;
    let busy = payments(dir.path(), &with_place(&["balance"])).await?;
    assert!(busy.stderr.contains("stop the agent first"), "{busy:?}");
    drop(store);
    let none = payments(dir.path(), &with_place(&["balance"])).await?;
    assert_eq!((none.status, none.stderr.as_str()), (Some(0), "no payments\n"));
    Ok(())
}
