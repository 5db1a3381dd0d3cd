//! The pages on which a person pays: plain HTML, with nothing from elsewhere.
//!
//! Whatever is not ours is escaped, and the policy of each page lets no script run but the one
//! that comes with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use crate::network::chain_id;
use crate::{Networks, PaymentRequirements, Resource, Session, X402_VERSION, eip712};

const STYLE: &str = include_str!("page/page.css");
const PAYWALL: &str = include_str!("page/paywall.js");
const PAID: &str = include_str!("page/paid.js");

/// A page, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub html: String,
    /// The value of `Content-Security-Policy`. It belongs to this page alone.
    pub csp: String,
}

impl Page {
    /// The headers that go with it.
    ///
    /// Nothing may keep it, for what it shows is a secret, and no address that it was reached
    /// under may go elsewhere.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, &str); 5] {
        [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", &self.csp),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ]
    }
}

/// What [`paywall`] shows.
#[derive(Clone, Copy, Debug)]
pub struct Paywall<'a> {
    /// What the agent is called.
    pub agent: &'a str,
    /// The session that the payment is for.
    pub session: &'a Session,
    /// The ways to pay.
    pub offers: &'a [PaymentRequirements],
    /// What their networks and assets are called.
    pub networks: &'a Networks,
    /// What is paid for, as the payment will say it.
    pub resource: Option<&'a Resource>,
    /// Why the last attempt was not taken.
    pub error: Option<&'a str>,
}

/// The page on which a way to pay is chosen and signed in a wallet, or a payment that was signed
/// elsewhere is pasted. Status 402.
///
/// It works without a wallet, and without script but for the wallet.
#[must_use]
pub fn paywall(shown: &Paywall<'_>) -> Page {
    let Paywall { agent, session, offers, networks, resource, error } = *shown;
    let choices: String =
        offers.iter().enumerate().map(|(place, offer)| choice(place, offer, networks)).collect();
    let body = format!(
        "<h1>Payment Required</h1>\n\
         <p>{agent} asks for a payment before it works.</p>\n\
         <p id=\"message\" role=\"alert\">{error}</p>\n\
         <fieldset>\n<legend>Ways to pay</legend>\n{choices}</fieldset>\n\
         <button id=\"pay\" type=\"button\">Pay with a wallet</button>\n\
         <details>\n<summary>Paste a payment that was signed elsewhere</summary>\n\
         <form method=\"get\">\n\
         <input type=\"hidden\" name=\"session_id\" value=\"{id}\">\n\
         <label for=\"payment\">The payment, in base64 or as JSON</label>\n\
         <textarea id=\"payment\" name=\"payment\" rows=\"5\" required spellcheck=\"false\" \
         autocomplete=\"off\"></textarea>\n\
         <button>Send</button>\n</form>\n</details>\n",
        agent = escape(agent),
        error = escape(error.unwrap_or_default()),
        id = escape(session.id()),
    );
    let seconds = session.expires().as_unix_micros().div_euclid(1_000_000);
    let data = json!({
        "x402Version": X402_VERSION,
        "session": session.id(),
        "validBefore": seconds.to_string(),
        "resource": resource,
        "offers": offers.iter().map(signable).collect::<Value>(),
    });
    page(402, "Payment Required", &body, Some((PAYWALL, &data)))
}

/// The page that says that the payment is there. Status 200.
#[must_use]
pub fn paid(session: &Session) -> Page {
    let body = format!(
        "<h1>Payment received</h1>\n\
         <p>The payment is signed and kept for the program that asked for it. It is not used \
         yet: no money has moved. You can close this page.</p>\n\
         <p>Session <code id=\"session\">{}</code> \
         <button id=\"copy\" type=\"button\">Copy</button></p>\n",
        escape(session.id())
    );
    page(200, "Payment received", &body, Some((PAID, &Value::Null)))
}

/// The page that says what is wrong, with this status. With a session, it leads back to it.
#[must_use]
pub fn failed(status: u16, error: &str, session: Option<&Session>) -> Page {
    let back = session.map_or_else(String::new, |session| {
        format!("<p><a href=\"?session_id={}\">Try again</a></p>\n", escape(session.id()))
    });
    let body = format!(
        "<h1>Payment failed</h1>\n<p id=\"message\" role=\"alert\">{}</p>\n{back}",
        escape(error)
    );
    page(status, "Payment failed", &body, None)
}

/// One way to pay, to be chosen.
fn choice(place: usize, offer: &PaymentRequirements, networks: &Networks) -> String {
    format!(
        "<label><input type=\"radio\" name=\"offer\" value=\"{place}\"{}>\
         <span><b>{}</b> on {}<br><small>to {}</small></span></label>\n",
        if place == 0 { " checked" } else { "" },
        escape(&price(offer, networks)),
        escape(networks.name_of(&offer.network).unwrap_or(&offer.network)),
        escape(&offer.pay_to),
    )
}

/// What a payer needs to know of an offer in order to sign for it.
fn signable(offer: &PaymentRequirements) -> Value {
    json!({
        "accepted": offer,
        "typed": eip712::template(offer),
        "chainId": chain_id(&offer.network).map(|id| format!("{id:#x}")),
    })
}

/// The price for people, if the asset is one that is known.
fn price(offer: &PaymentRequirements, networks: &Networks) -> String {
    let network = networks.resolve(&offer.network).ok();
    let asset = network.as_ref().and_then(|network| {
        network.assets.iter().find(|a| a.address.as_str().eq_ignore_ascii_case(&offer.asset))
    });
    match asset {
        Some(asset) => format!("{} {}", offer.amount.to_decimal(asset.decimals), asset.symbol),
        None => format!("{} units of {}", offer.amount, offer.asset),
    }
}

fn page(status: u16, title: &str, body: &str, script: Option<(&str, &Value)>) -> Page {
    let nonce = nonce();
    let script = match (script, &nonce) {
        (Some((script, data)), Some(nonce)) => format!(
            "<script id=\"data\" type=\"application/json\" nonce=\"{nonce}\">{}</script>\n\
             <script nonce=\"{nonce}\">\n{script}</script>\n",
            inert(data)
        ),
        _ => String::new(),
    };
    let (allowed, attribute) = match &nonce {
        Some(nonce) => (format!("'nonce-{nonce}'"), format!(" nonce=\"{nonce}\"")),
        None => ("'none'".to_owned(), String::new()),
    };
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>{title}</title>\n\
         <style{attribute}>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n{script}\
         </body>\n</html>\n"
    );
    let csp = format!(
        "default-src 'none'; script-src {allowed}; style-src {allowed}; img-src data:; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    Page { status, html, csp }
}

/// What marks our own script and style. Without randomness there is none, and they do not run:
/// the page works without.
fn nonce() -> Option<String> {
    let mut bytes = [0; 18];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// A text as HTML, in an element or in a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// JSON that no HTML parser takes for anything else.
fn inert(data: &Value) -> String {
    let text = data.to_string();
    text.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}
