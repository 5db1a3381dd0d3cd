//! What was recorded from the reference, made again here.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bindu_http::client::Client;
use bindu_protocol::Json;
use bindu_testkit::fake_facilitator::FakeFacilitator;
use bindu_x402::{
    AgentInfo, Config, Facilitator, Networks, PaymentOption, PaymentPayload, PaymentRequired,
    PaymentRequirements, Refusal, check, header, offers,
};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{at, nonce, option};

#[derive(Deserialize)]
struct Recorded {
    #[serde(default)]
    vars: Vars,
    steps: Vec<Step>,
}

#[derive(Default, Deserialize)]
struct Vars {
    nonce: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    request: Asked,
    response: Answered,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    headers: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Answered {
    status: Value,
    /// As it is written, for the order of its members counts.
    body: Option<Json>,
}

/// A conversation, with a real nonce in it.
fn recorded(name: &str) -> Recorded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire/reference/x402");
    let text = fs::read_to_string(folder.join(name).with_extension("json")).unwrap();
    let first: Recorded = serde_json::from_str(&text).unwrap();
    let prefix = first.vars.nonce.as_deref().and_then(|nonce| nonce.split('<').next());
    serde_json::from_str(&text.replace("$nonce", &nonce(prefix.unwrap_or("0x")))).unwrap()
}

/// The text without the spaces between its tokens.
fn compact(json: &Json) -> String {
    let mut compact = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in json.as_str().chars() {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        if quoted || !c.is_whitespace() {
            compact.push(c);
        }
    }
    compact
}

fn agent(name: &str, suffix: &str) -> AgentInfo {
    AgentInfo {
        name: format!("wire_{name}"),
        description: format!("Wire fixture agent: {name}."),
        agent_card: "/.well-known/agent.json".to_owned(),
        did: Some(format!("did:bindu:wire_at_example_com:wire_{name}:{suffix}")),
    }
}

/// The 402 of the recorded agent.
fn required(refusal: &Refusal, accepts: Vec<PaymentRequirements>) -> PaymentRequired {
    let agent = agent("paid", "6d11882e-45e2-121c-a3b9-ebc01c511eb2");
    PaymentRequired { agent: Some(agent), ..PaymentRequired::new(refusal.to_string(), accepts) }
}

fn accepts() -> Vec<PaymentRequirements> {
    offers(&[option("base-sepolia")], &Networks::default()).unwrap()
}

/// What comes of the payment in a request, before anybody is asked.
fn judge(step: &Step) -> Result<PaymentPayload, Refusal> {
    let value = match step.request.headers.get("X-PAYMENT") {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(given) => match (given.get("$base64json"), given.get("$base64")) {
            (Some(payment), _) => header::encode(payment),
            (None, Some(text)) => STANDARD.encode(text.as_str().unwrap()),
            (None, None) => panic!("no payment: {given}"),
        },
    };
    let payload = header::decode(value.as_bytes())?;
    check(&payload, &accepts(), at(1_000_000)).map(|checked| checked.payload().clone())
}

#[test]
fn a_402_is_the_recorded_one_to_the_letter() {
    let mut bodies = 0;
    for name in ["no-payment", "no-match"] {
        for step in &recorded(name).steps {
            if step.response.status != 402 {
                continue;
            }
            let refusal = judge(step).unwrap_err();
            let expected = compact(step.response.body.as_ref().unwrap());
            assert_eq!(required(&refusal, accepts()).body(), expected, "{name}");
            bodies += 1;
        }
    }
    assert_eq!(bodies, 3);
    let replay = recorded("replay");
    assert!(judge(&replay.steps[1]).is_ok(), "only a ledger knows");
    let expected = compact(replay.steps[1].response.body.as_ref().unwrap());
    assert_eq!(required(&Refusal::Replay, accepts()).body(), expected);
}

#[test]
fn several_ways_to_pay_are_the_recorded_ones() {
    let base = PaymentOption {
        amount: "2.5".to_owned(),
        pay_to: Some("0xb0b0000000000000000000000000000000000b0b".to_owned()),
        ..option("base")
    };
    let accepts = offers(&[option("base-sepolia"), base], &Networks::default()).unwrap();
    let required = PaymentRequired {
        agent: Some(agent("paid_multi", "1c9edacd-fec6-3fb2-ebe9-1aede199f152")),
        ..PaymentRequired::new(Refusal::Missing.to_string(), accepts)
    };
    let recorded = recorded("no-payment-multi");
    let expected = compact(recorded.steps[0].response.body.as_ref().unwrap());
    assert_eq!(required.body(), expected);
    assert_eq!(serde_json::from_str::<PaymentRequired>(&expected).unwrap(), required);
}

#[test]
fn a_header_that_cannot_be_read_is_refused_as_such() {
    let steps = recorded("bad-header").steps;
    assert_eq!(steps.len(), 3);
    for step in &steps {
        let error = judge(step).unwrap_err().to_string();
        assert!(error.starts_with("Invalid X-PAYMENT header: "), "{error}");
        let mut expected = step.response.body.as_ref().unwrap().to_value();
        expected["error"] = error.clone().into();
        let body = PaymentRequired { error: Some(error), ..required(&Refusal::Missing, accepts()) };
        assert_eq!(serde_json::to_value(body).unwrap(), expected);
    }
}

#[test]
fn a_body_that_cannot_be_read_is_refused_in_the_recorded_words() {
    let steps = recorded("malformed-body").steps;
    let choices = steps[0].response.body.as_ref().unwrap().to_value();
    let ours = serde_json::to_value(required(&Refusal::MalformedBody, accepts())).unwrap();
    assert_eq!(choices["$in"][0], ours);
}

#[tokio::test]
async fn what_a_facilitator_is_asked_and_what_comes_of_it_are_the_recorded() {
    let fake = FakeFacilitator::start().await.unwrap();
    let config = Config::new(fake.url().parse().unwrap());
    let facilitator = Facilitator::new(&config, Client::builder()).unwrap();

    let rejected = recorded("verify-rejected");
    let payload = judge(&rejected.steps[0]).unwrap();
    let answer = facilitator.verify(&payload, &accepts()[0]).await.unwrap();
    assert!(!answer.is_valid);
    let refusal = Refusal::rejected(answer.invalid_reason.as_deref());
    let expected = compact(rejected.steps[0].response.body.as_ref().unwrap());
    assert_eq!(required(&refusal, accepts()).body(), expected);

    let paid = recorded("paid-ok");
    let payload = judge(&paid.steps[0]).unwrap();
    assert!(facilitator.verify(&payload, &accepts()[0]).await.unwrap().is_valid);
    let receipt = facilitator.settle(&payload, &accepts()[0]).await.unwrap();
    let log = |step: usize| paid.steps[step].response.body.as_ref().unwrap().to_value();
    assert_eq!(fake.requests()[1], log(2)["requests"][0]);
    assert_eq!(fake.requests()[2], log(3)["requests"][0]);

    let task = paid.steps[1].response.body.as_ref().unwrap();
    let receipts = "\"x402.payment.receipts\":[";
    let text = compact(task);
    let (_, rest) = text.split_once(receipts).unwrap();
    let (expected, _) = rest.split_once(']').unwrap();
    assert_eq!(serde_json::to_string(&receipt).unwrap(), expected);
}
