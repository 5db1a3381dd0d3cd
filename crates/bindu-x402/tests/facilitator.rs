//! A facilitator is asked, and not believed more than it deserves.

use std::error::Error as _;
use std::time::Duration;

use bindu_http::client::Client;
use bindu_testkit::fake_facilitator::{FakeFacilitator, Fault};
use bindu_x402::{
    Config, Facilitator, FacilitatorError, SettleResponse, SupportedKinds, VerifyResponse,
};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use crate::support::{checked, nonce};

fn facilitator(url: &str) -> Facilitator {
    let config = Config {
        verify_timeout: Duration::from_secs(20),
        settle_timeout: Duration::from_secs(20),
        ..Config::new(url.parse().unwrap())
    };
    Facilitator::new(&config, Client::builder()).unwrap()
}

async fn settle(
    facilitator: &Facilitator,
    prefix: &str,
) -> Result<SettleResponse, FacilitatorError> {
    let checked = checked(prefix);
    facilitator.settle(checked.payload(), checked.requirements()).await
}

async fn verify(
    facilitator: &Facilitator,
    prefix: &str,
) -> Result<VerifyResponse, FacilitatorError> {
    let checked = checked(prefix);
    facilitator.verify(checked.payload(), checked.requirements()).await
}

/// A server that gives one answer to everything, word for word.
struct Canned {
    url: String,
    task: JoinHandle<Vec<String>>,
}

impl Canned {
    /// One answer for each connection, in order; `{url}` in it is its own address. Then it ends.
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<_> = answers.iter().map(|answer| answer.replace("{url}", &url)).collect();
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                let mut piece = [0; 4096];
                // The requests here are small: their head says how much follows.
                while !is_whole(&request) {
                    let read = stream.read(&mut piece).await.unwrap();
                    request.extend_from_slice(&piece[..read]);
                    if read == 0 {
                        break;
                    }
                }
                let line = String::from_utf8_lossy(&request).lines().next().map(str::to_owned);
                seen.push(line.unwrap_or_default());
                // Whoever has read enough may be gone.
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
            seen
        });
        Self { url, task }
    }

    /// The first lines of what it was asked.
    async fn seen(self) -> Vec<String> {
        self.task.await.unwrap()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    body.len() >= length.unwrap_or(0_usize)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
}

/// What is said of a settlement, if the facilitator answers so.
async fn settled(status: &str, body: &str) -> Result<SettleResponse, FacilitatorError> {
    let canned = Canned::start(&[&answer(status, "", body)]).await;
    let result = settle(&facilitator(&canned.url), "0x01").await;
    assert_eq!(canned.seen().await, ["POST /settle HTTP/1.1"]);
    result
}

fn yes() -> String {
    json!({
        "success": true, "payer": crate::support::PAYER, "transaction": "0xab",
        "network": "eip155:84532",
    })
    .to_string()
}

#[tokio::test]
async fn what_it_supports_is_read() {
    let fake = FakeFacilitator::start().await.unwrap();
    // A path is kept, and a slash at its end is not.
    let supported: SupportedKinds =
        facilitator(&format!("{}/", fake.url())).supported().await.unwrap();
    assert!(supported.takes("exact", "eip155:84532"));
    assert!(!supported.takes("exact", "eip155:1"));
    assert!(!supported.takes("upto", "eip155:8453"));
    assert_eq!(supported.signers["eip155:*"].len(), 1);
    fake.support(json!({ "kinds": [
        { "x402Version": 1, "scheme": "exact", "network": "base" },
        { "x402Version": 2, "scheme": "exact", "network": "eip155:*" },
    ] }));
    let supported = facilitator(fake.url()).supported().await.unwrap();
    assert!(supported.takes("exact", "eip155:1"));
    assert!(!supported.takes("exact", "base"));
}

#[tokio::test]
async fn a_yes_is_a_yes_and_a_no_is_a_no() {
    let fake = FakeFacilitator::start().await.unwrap();
    let facilitator = facilitator(fake.url());
    assert!(verify(&facilitator, "0xc0de").await.unwrap().is_valid);
    assert!(fake.chain().is_empty(), "verifying moves nothing");
    let receipt = settle(&facilitator, "0xc0de").await.unwrap();
    assert!(receipt.success && fake.has_moved(&nonce("0xc0de")));
    let no = verify(&facilitator, "0xbad0").await.unwrap();
    assert_eq!((no.is_valid, no.invalid_reason.as_deref()), (false, Some("insufficient_funds")));
    let no = settle(&facilitator, "0xfa11").await.unwrap();
    assert_eq!((no.success, no.error_reason.as_deref()), (false, Some("transfer reverted")));
    assert!(!no.says_already_used() && !fake.has_moved(&nonce("0xfa11")));

    settle(&facilitator, "0xc0de99").await.unwrap();
    let no = settle(&facilitator, "0xc0de99").await.unwrap();
    assert!(no.says_already_used());
}

#[tokio::test]
async fn whether_money_may_have_moved_is_never_understated() {
    let fake = FakeFacilitator::start().await.unwrap();
    fake.hang_for(Duration::from_millis(1));
    let facilitator = facilitator(fake.url());
    for prefix in ["0xcdcd", "0x71e0", "0x5e77", "0xc105", "0xdead", "0xf1a0"] {
        let error = settle(&facilitator, prefix).await.unwrap_err();
        assert!(matches!(error, FacilitatorError::Unknown { .. }), "{prefix}: {error:?}");
        assert!(error.may_have_moved() && error.is_passing(), "{prefix}");
    }
    assert_eq!(fake.chain().len(), 3);
    for prefix in ["0x71e0", "0x5e77", "0xc105", "0xf1a0"] {
        assert!(settle(&facilitator, prefix).await.unwrap().success, "{prefix} again");
    }
    assert_eq!(fake.chain().len(), 4);
}

#[tokio::test]
async fn a_yes_to_something_else_is_none() {
    let fake = FakeFacilitator::start().await.unwrap();
    let facilitator = facilitator(fake.url());
    for (prefix, wrong) in [
        ("0x11e0", "it names another payer"),
        ("0x11e1", "it names no transaction"),
        ("0x11e2", "it names another network"),
    ] {
        let error = settle(&facilitator, prefix).await.unwrap_err();
        let FacilitatorError::Contradiction { what, receipt, .. } = &error else {
            panic!("{prefix}: {error:?}")
        };
        assert_eq!(*what, wrong);
        assert!(receipt.as_ref().unwrap().success);
        assert!(error.may_have_moved());
    }
    let error = verify(&facilitator, "0x11e4").await.unwrap_err();
    assert_eq!(error.to_string(), "facilitator verify: it names another payer");
    let other = yes().replace("\"success\"", "\"amount\":\"1\",\"success\"");
    let error = settled("200 OK", &other).await.unwrap_err();
    assert_eq!(error.to_string(), "facilitator settle: it names another amount");
    let error = settled("200 OK", r#"{"success":true}"#).await.unwrap_err();
    assert_eq!(error.to_string(), "facilitator settle: it names another network");
    // The payer may be left out, and written in any case.
    let upper = yes().replace("beef", "BEEF");
    assert!(settled("200 OK", &upper).await.unwrap().success);
    let nobody = r#"{"success":true,"transaction":"0xab","network":"eip155:84532"}"#;
    assert!(settled("200 OK", nobody).await.unwrap().success);
    // A no needs no more than that.
    for no in [r#"{"success":false}"#, r#"{"success":false,"transaction":null,"network":null}"#] {
        assert!(!settled("200 OK", no).await.unwrap().success);
    }
}

#[tokio::test]
async fn statuses_are_told_apart_by_what_they_say_of_the_money() {
    for status in ["400 Bad Request", "402 Payment Required", "422 Unprocessable", "429 Slow down"]
    {
        let error = settled(status, "bad\r\nthing").await.unwrap_err();
        let code: u16 = status[..3].parse().unwrap();
        assert!(!error.may_have_moved(), "{status}: {error:?}");
        assert_eq!(error.is_passing(), code == 429, "{status}");
        assert_eq!(error.to_string(), format!("facilitator settle failed ({code}): badthing"));
    }
    for status in ["500 Oops", "502 Oops", "503 Oops", "504 Oops", "408 Late", "304 Same"] {
        let error = settled(status, "").await.unwrap_err();
        assert!(error.may_have_moved(), "{status}: {error:?}");
    }
    // Some say no with a status as well as in words.
    let no =
        r#"{"success":false,"errorReason":"insufficient_funds","transaction":"","network":""}"#;
    let answer = settled("400 Bad Request", no).await.unwrap();
    assert_eq!(answer.error_reason.as_deref(), Some("insufficient_funds"));
    assert!(settled("500 Oops", no).await.unwrap_err().may_have_moved());
    assert!(settled("400 Bad Request", &yes()).await.unwrap_err().may_have_moved());
}

#[tokio::test]
async fn what_is_no_answer_says_nothing() {
    let half = "{\"success\":true,";
    for body in [
        "",
        "null",
        "[]",
        "true",
        half,
        "<html>",
        r#"{"success":"yes","transaction":"","network":""}"#,
    ] {
        let error = settled("200 OK", body).await.unwrap_err();
        assert!(error.may_have_moved(), "{body}: {error:?}");
        assert_eq!(error.to_string(), "facilitator settle: no answer that says anything");
    }
    let html = settled("200 OK", "<html>Please log in</html>").await.unwrap_err();
    let source = html.source().unwrap().to_string();
    assert!(source.ends_with("<html>Please log in</html>"), "{source}");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read() {
    let canned = Canned::start(&[&answer("200 OK", "", &" ".repeat(4096))]).await;
    let config = Config { max_response_bytes: 1024, ..Config::new(canned.url.parse().unwrap()) };
    let facilitator = Facilitator::new(&config, Client::builder()).unwrap();
    let error = settle(&facilitator, "0x01").await.unwrap_err();
    assert!(error.may_have_moved());
    let source = error.source().unwrap().to_string();
    assert_eq!(source, "the response is larger than 1024 bytes");
}

#[tokio::test]
async fn an_answer_that_is_too_late_is_not_waited_for() {
    let fake = FakeFacilitator::start().await.unwrap();
    fake.hang_for(Duration::from_hours(1));
    let config = Config {
        settle_timeout: Duration::from_millis(200),
        ..Config::new(fake.url().parse().unwrap())
    };
    let facilitator = Facilitator::new(&config, Client::builder()).unwrap();
    // On a slow machine the time may be up before anything was sent: then it is tried again.
    while !fake.has_moved(&nonce("0x71e0")) {
        let error = settle(&facilitator, "0x71e0").await.unwrap_err();
        assert!(error.may_have_moved(), "{error:?}");
    }
    fake.fail(Some(Fault::Slow(Duration::from_hours(1))));
    let config = Config { verify_timeout: Duration::from_millis(1), ..config };
    let facilitator = Facilitator::new(&config, Client::builder()).unwrap();
    let error = verify(&facilitator, "0x01").await.unwrap_err();
    assert!(error.is_passing(), "{error:?}");
}

#[tokio::test]
async fn who_is_not_there_was_not_asked() {
    // A port of ours on which nobody listens.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let error = settle(&facilitator(&url), "0x01").await.unwrap_err();
    assert!(matches!(error, FacilitatorError::NotSent { .. }), "{error:?}");
    assert!(!error.may_have_moved() && error.is_passing());
    assert_eq!(error.to_string(), "the facilitator could not be asked to settle");

    let fake = FakeFacilitator::start().await.unwrap();
    fake.fail(Some(Fault::Status(StatusCode::SERVICE_UNAVAILABLE)));
    assert!(facilitator(fake.url()).supported().await.unwrap_err().is_passing());
}

#[tokio::test]
async fn it_is_followed_on_its_own_host_only() {
    let found = answer("200 OK", "", &yes());
    let moved = |status: &str, to: &str| answer(status, &format!("location: {to}\r\n"), "");
    for (status, to) in
        [("307 Temporary Redirect", "/new/settle"), ("308 Permanent Redirect", "{url}/new/settle")]
    {
        let canned = Canned::start(&[&moved(status, to), &found]).await;
        assert!(settle(&facilitator(&canned.url), "0x01").await.unwrap().success);
        assert_eq!(canned.seen().await, ["POST /settle HTTP/1.1", "POST /new/settle HTTP/1.1"]);
    }
    let elsewhere = Canned::start(&[&found]).await;
    let there = format!("{}/settle", elsewhere.url);
    let secret = there.replace("http://", "http://user:secret@");
    for (status, to) in [
        ("307 Temporary Redirect", there.as_str()),
        ("308 Permanent Redirect", &secret),
        ("307 Temporary Redirect", "ftp://127.0.0.1/settle"),
        ("307 Temporary Redirect", "https://127.0.0.1/settle"),
        ("307 Temporary Redirect", ""),
        // These would turn it into a GET.
        ("301 Moved Permanently", "/new/settle"),
        ("302 Found", "/new/settle"),
        ("303 See Other", "/new/settle"),
    ] {
        let to = if to.is_empty() { String::new() } else { moved(status, to) };
        let first = if to.is_empty() { answer(status, "", "") } else { to };
        let canned = Canned::start(&[&first]).await;
        let error = settle(&facilitator(&canned.url), "0x01").await.unwrap_err();
        assert!(error.may_have_moved(), "{status}: {error:?}");
        assert_eq!(canned.seen().await.len(), 1, "{status}");
    }
    assert!(!elsewhere.task.is_finished(), "nobody came");
    let circle = moved("307 Temporary Redirect", "/settle");
    let canned = Canned::start(&[circle.as_str(); 4]).await;
    let error = settle(&facilitator(&canned.url), "0x01").await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "one redirect follows another");
    // What only reads may be led on by any of them.
    let kinds = answer("200 OK", "", r#"{"kinds":[]}"#);
    let canned = Canned::start(&[&moved("302 Found", "/new"), &kinds]).await;
    assert_eq!(facilitator(&canned.url).supported().await.unwrap(), SupportedKinds::default());
    elsewhere.task.abort();
}

#[test]
fn an_address_that_is_none_is_told_at_once() {
    for (url, why) in [
        ("ftp://a.example", "it is neither http nor https"),
        ("http://user:secret@a.example", "it holds a user name or a password"),
        ("http://a.example/?x=1", "it has a query or a fragment"),
        ("http://a.example/#x", "it has a query or a fragment"),
    ] {
        let config = Config::new(url.parse().unwrap());
        let error = Facilitator::new(&config, Client::builder()).unwrap_err();
        let told = format!("the address of the facilitator cannot be used: {why}");
        assert_eq!(error.to_string(), told);
    }
}

#[tokio::test]
async fn what_is_no_transfer_is_not_sent() {
    let fake = FakeFacilitator::start().await.unwrap();
    let checked = checked("0x01");
    let mut payload = checked.payload().clone();
    payload.payload = bindu_protocol::JsonObject::empty();
    let error = facilitator(fake.url()).settle(&payload, checked.requirements()).await.unwrap_err();
    assert!(matches!(error, FacilitatorError::NotSent { .. }), "{error:?}");
    assert!(fake.requests().is_empty());
}
