//! The pages: what they show, and that nothing on them runs but ours.

use bindu_x402::page::{self, Page, Paywall};
use bindu_x402::{Networks, PaymentRequirements, Resource, Session, SessionConfig, Sessions};
use regex::Regex;
use serde_json::Value;

use crate::support::{at, offer, option};

const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg/onload=alert(1)>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "&lt;script&gt;alert(1)",
];

fn session() -> Session {
    Sessions::new(SessionConfig::default()).start(at(0)).unwrap()
}

fn nonce(page: &Page) -> String {
    let nonce = Regex::new("'nonce-([A-Za-z0-9_-]{24})'").unwrap();
    nonce.captures(&page.csp).unwrap()[1].to_owned()
}

/// The page without what is new each time.
fn steady(page: &Page, session: &Session) -> String {
    page.html.replace(&nonce(page), "[nonce]").replace(session.id(), "[session]")
}

fn paywall(session: &Session, agent: &str, offers: &[PaymentRequirements], error: &str) -> Page {
    page::paywall(&Paywall {
        agent,
        session,
        offers,
        networks: &Networks::default(),
        resource: None,
        error: Some(error),
    })
}

/// The tags of a page in order, and its policy: all that a browser could run.
fn assert_inert(page: &Page, scripts: usize) {
    let html = &page.html;
    let nonce = nonce(page);
    let tags = Regex::new("<[A-Za-z!/][^>]*>").unwrap();
    // Between the tags of a script there is no markup.
    let script = Regex::new("(?s)(<script[^>]*>).*?</script>").unwrap();
    let markup = script.replace_all(html, "$1");
    let mut seen = 0;
    for tag in tags.find_iter(&markup).map(|tag| tag.as_str()) {
        let name = tag.trim_start_matches(['<', '/']).split([' ', '>']).next().unwrap();
        let known = [
            "!doctype", "html", "head", "meta", "link", "title", "style", "body", "main", "h1",
            "p", "fieldset", "legend", "label", "input", "span", "b", "br", "small", "button",
            "details", "summary", "form", "textarea", "code", "a", "script",
        ];
        assert!(known.contains(&name), "{tag}");
        assert!(!tag.contains(" on") && !tag.contains("src=") && !tag.contains("//"), "{tag}");
        if name == "script" {
            assert!(tag.contains(&format!("nonce=\"{nonce}\"")), "{tag}");
            seen += 1;
        }
    }
    assert_eq!(seen, scripts, "{html}");
    assert!(!html.contains("alert(1)</script>"), "{html}");
    assert_eq!(
        page.csp,
        format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
             img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
    );
}

#[test]
fn the_paywall_lists_the_ways_to_pay() {
    let networks = Networks::default();
    let mut offers =
        bindu_x402::offers(&[option("base-sepolia"), option("base")], &networks).unwrap();
    offers[1].asset = "0xa11ce0000000000000000000000000000000a11c".to_owned();
    let session = session();
    let page = page::paywall(&Paywall {
        agent: "Ann's agent",
        session: &session,
        offers: &offers,
        networks: &networks,
        resource: Some(&Resource { url: "https://a.example/".to_owned(), ..Resource::default() }),
        error: None,
    });
    assert_eq!(page.status, 402);
    assert_inert(&page, 2);
    let html = steady(&page, &session);
    let (_, body) = html.split_once("</head>").unwrap();
    let (body, script) = body.split_once("<script id=\"data\"").unwrap();
    insta::assert_snapshot!(body);
    let json = Regex::new("(?s)^[^>]*>(.*?)</script>").unwrap();
    let data: Value = serde_json::from_str(&json.captures(script).unwrap()[1]).unwrap();
    insta::assert_json_snapshot!(data);
    let headers = page.headers();
    assert_eq!(headers[0], ("content-type", "text/html; charset=utf-8"));
    assert_eq!(headers[1], ("content-security-policy", page.csp.as_str()));
    assert!(headers.contains(&("referrer-policy", "no-referrer")));
}

#[test]
fn a_payment_that_is_there_is_said_to_be_unused() {
    let session = session();
    let page = page::paid(&session);
    assert_eq!(page.status, 200);
    assert_inert(&page, 2);
    let html = steady(&page, &session);
    assert!(html.contains("<code id=\"session\">[session]</code>"), "{html}");
    assert!(html.contains("no money has moved"), "{html}");
}

#[test]
fn a_failure_leads_back_to_its_session() {
    let session = session();
    let page = page::failed(400, "No matching payment requirements found", Some(&session));
    assert_eq!(page.status, 400);
    assert_inert(&page, 0);
    let html = steady(&page, &session);
    let message = "<p id=\"message\" role=\"alert\">No matching payment requirements found</p>";
    assert!(html.contains(message), "{html}");
    assert!(html.contains("<a href=\"?session_id=[session]\">Try again</a>"), "{html}");
    let page = page::failed(404, "Session not found or expired", None);
    assert!(!page.html.contains("Try again"));
}

#[test]
fn hostile_input_is_shown_and_does_nothing() {
    let session = session();
    for text in HOSTILE {
        let mut hostile = offer();
        hostile.pay_to = text.to_owned();
        hostile.asset = text.to_owned();
        hostile.network = text.to_owned();
        hostile.extra.insert("name".to_owned(), text.into());
        let page = paywall(&session, text, &[hostile.clone()], text);
        assert_inert(&page, 2);
        let data = page.html.split_once("type=\"application/json\"").unwrap().1;
        let data = data.split_once('>').unwrap().1.split_once("</script>").unwrap().0;
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["offers"][0]["accepted"]["payTo"], text, "it is data, and whole");
        let failed = page::failed(400, text, Some(&session));
        assert_inert(&failed, 0);
        assert!(!failed.html.contains(text), "{text}");
    }
}

#[test]
fn no_two_pages_have_one_nonce() {
    let session = session();
    let nonces: std::collections::HashSet<_> =
        (0..50).map(|_| nonce(&page::paid(&session))).collect();
    assert_eq!(nonces.len(), 50);
}

/// What is not on the page cannot be fetched by it.
#[test]
fn nothing_comes_from_elsewhere() {
    let session = session();
    for page in
        [paywall(&session, "a", &[offer()], ""), page::paid(&session), page::failed(503, "x", None)]
    {
        assert!(!page.html.contains("http://") && !page.html.contains("https://"), "{}", page.html);
        assert!(page.html.len() < 16 * 1024, "{} bytes", page.html.len());
    }
}
