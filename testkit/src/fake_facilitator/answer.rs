//! What is answered to what.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Value, json};

use super::Behaviour;
use super::chain::{Chain, Transfer};
use super::log::Seen;

/// Who has paid, if it lies about that.
const SOMEBODY: &str = "0x00000000000000000000000000000000000badd1";

/// What it does, knows and has done.
#[derive(Debug)]
pub(super) struct World {
    pub(super) chain: Chain,
    pub(super) supported: Value,
    pub(super) refuse_repeats: bool,
    told: Vec<(String, Behaviour)>,
    /// The nonces whose first attempt has failed.
    failed: BTreeSet<String>,
}

/// How it answers.
#[derive(Debug)]
pub(super) enum Answer {
    /// With a status, and with this.
    Now(StatusCode, Value),
    /// With 500, after a while.
    Late,
    /// Not at all: the connection is closed.
    Never,
}

pub(super) fn broken() -> Value {
    json!({ "error": "internal error" })
}

impl Default for World {
    fn default() -> Self {
        let kinds = ["eip155:84532", "eip155:8453"]
            .map(|network| json!({ "x402Version": 2, "scheme": "exact", "network": network }));
        let signers = json!({ "eip155:*": [format!("0x{}", "f0".repeat(20))] });
        Self {
            chain: Chain::default(),
            supported: json!({ "kinds": kinds, "extensions": [], "signers": signers }),
            refuse_repeats: false,
            told: Vec::new(),
            failed: BTreeSet::new(),
        }
    }
}

impl World {
    pub(super) fn behave(&mut self, prefix: &str, behaviour: Behaviour) {
        self.told.push((prefix.to_ascii_lowercase(), behaviour));
    }

    /// Takes an order over HTTP; says whether it was understood.
    pub(super) fn be_told(&mut self, order: &Value) -> bool {
        let text = |key| order.get(key).and_then(Value::as_str);
        let behaviour = text("behaviour").and_then(Behaviour::named);
        let (Some(prefix), Some(behaviour)) = (text("prefix"), behaviour) else { return false };
        self.behave(prefix, behaviour);
        true
    }

    fn behaviour(&self, nonce: &str) -> Behaviour {
        let own = Behaviour::ALL.iter().filter_map(|(own, _, prefix)| Some(((*prefix)?, *own)));
        let told = self.told.iter().map(|(prefix, told)| (prefix.as_str(), *told));
        own.chain(told)
            .filter(|(prefix, _)| nonce.starts_with(prefix))
            .max_by_key(|(prefix, _)| prefix.len())
            .map_or(Behaviour::Good, |(_, behaviour)| behaviour)
    }

    pub(super) fn answer(&mut self, seen: &Seen) -> Answer {
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/supported") => Answer::Now(StatusCode::OK, self.supported.clone()),
            ("POST", path @ ("/verify" | "/settle")) => match Transfer::of(&seen.body) {
                Some(transfer) if path == "/verify" => self.verify(&seen.body, &transfer),
                Some(transfer) => self.settle(&seen.body, &transfer),
                None => Answer::Now(StatusCode::BAD_REQUEST, json!({ "error": "no transfer" })),
            },
            _ => Answer::Now(StatusCode::NOT_FOUND, json!({ "error": "not found" })),
        }
    }

    fn verify(&self, body: &Value, transfer: &Transfer) -> Answer {
        let behaviour = self.behaviour(&transfer.moves.nonce);
        let reason = if behaviour == Behaviour::VerifyNo {
            Some("insufficient_funds")
        } else if self.is_repeated(transfer) {
            Some("nonce already used")
        } else {
            None
        };
        let payer = match behaviour {
            Behaviour::VerifyOtherPayer => Value::from(SOMEBODY),
            _ => payer(body),
        };
        let answer =
            json!({ "isValid": reason.is_none(), "invalidReason": reason, "payer": payer });
        Answer::Now(StatusCode::OK, answer)
    }

    fn settle(&mut self, body: &Value, transfer: &Transfer) -> Answer {
        use Behaviour as B;
        let receipt = Receipt { payer: payer(body), network: network(body) };
        if self.is_repeated(transfer) {
            return receipt.no("nonce already used");
        }
        let nonce = &transfer.moves.nonce;
        let behaviour = self.behaviour(nonce);
        match behaviour {
            B::SettleNo => return receipt.no("transfer reverted"),
            B::Hang => return Answer::Late,
            B::Closed => return Answer::Never,
            B::FirstFails if self.failed.insert(nonce.clone()) => {
                return Answer::Now(StatusCode::INTERNAL_SERVER_ERROR, broken());
            }
            B::OtherPayer => return Receipt { payer: SOMEBODY.into(), ..receipt }.yes(),
            B::OtherNetwork => return Receipt { network: "eip155:1".into(), ..receipt }.yes(),
            B::NoTransaction => return receipt.yes_without_transaction(),
            _ => {}
        }
        let is_first = !self.chain.has(transfer);
        if let Err(why) = self.chain.take(transfer) {
            return receipt.no(why);
        }
        match behaviour {
            B::SettledThenHang if is_first => Answer::Late,
            B::SettledThen500 if is_first => {
                Answer::Now(StatusCode::INTERNAL_SERVER_ERROR, broken())
            }
            B::SettledThenClosed if is_first => Answer::Never,
            B::SettledSaysNo if is_first => receipt.no("transfer reverted"),
            _ => receipt.yes(),
        }
    }

    /// Whether its money moved, and it is to be told so.
    fn is_repeated(&self, transfer: &Transfer) -> bool {
        let refuses = self.refuse_repeats || transfer.moves.nonce.get(6..8) == Some("99");
        refuses && self.chain.has(transfer)
    }
}

/// The payer as the payment writes it.
fn payer(body: &Value) -> Value {
    body.pointer("/paymentPayload/payload/authorization/from").cloned().unwrap_or_default()
}

fn network(body: &Value) -> Value {
    body.pointer("/paymentRequirements/network").cloned().unwrap_or_default()
}

struct Receipt {
    payer: Value,
    network: Value,
}

impl Receipt {
    fn yes(self) -> Answer {
        self.answer(None, &format!("0x{}", "ab".repeat(32)))
    }

    fn yes_without_transaction(self) -> Answer {
        self.answer(None, "")
    }

    fn no(self, reason: &str) -> Answer {
        self.answer(Some(reason), "")
    }

    fn answer(self, reason: Option<&str>, transaction: &str) -> Answer {
        let Self { payer, network } = self;
        Answer::Now(
            StatusCode::OK,
            json!({
                "success": reason.is_none(), "errorReason": reason, "payer": payer,
                "transaction": transaction, "network": network,
            }),
        )
    }
}
