//! An agent behind its locks, and somebody with everything that they ask for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bindu::{Reply, Running, Settings, Turn};
use bindu_did::request::{self, RequestSignature};
use bindu_did::{Did, SigningKey};
use bindu_testkit::fake_hydra::FakeHydra;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::caller::{LONG, Result, agent, message};

/// An agent that counts how often its handler runs.
pub(crate) struct Locked {
    pub(crate) agent: Running,
    runs: Arc<AtomicUsize>,
    _directory: TempDir,
}

impl Locked {
    /// Starts one that asks this Hydra, under these settings besides.
    pub(crate) async fn start(
        hydra: &FakeHydra,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let (runs, directory) = (Arc::new(AtomicUsize::new(0)), tempfile::tempdir()?);
        let counted = Arc::clone(&runs);
        let handler = move |_: Turn| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(Reply::text("done")) }
        };
        let mut vars = vec![
            ("AUTH__ENABLED", "true"),
            ("HYDRA__ADMIN_URL", hydra.admin_url()),
            ("HYDRA__PUBLIC_URL", hydra.public_url()),
        ];
        vars.extend(settings);
        let agent = agent(name, handler)?
            .settings(Settings::from_vars(vars)?)
            .directory(directory.path())
            .spawn()
            .await?;
        Ok(Self { agent, runs, _directory: directory })
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    pub(crate) fn did(&self) -> &Did {
        self.agent.identity().did()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.agent.local_addr()
    }

    /// Posts a letter to the agent's own path.
    pub(crate) async fn post(&self, letter: &Letter) -> Result<Answer> {
        self.raw(&letter.bytes("POST", "/")).await
    }

    /// Writes these bytes, and takes what comes until the agent closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Result<Answer> {
        raw(self.address(), bytes).await
    }
}

/// An agent and its Hydra.
pub(crate) struct Site {
    pub(crate) hydra: FakeHydra,
    pub(crate) locked: Locked,
}

impl Site {
    pub(crate) async fn start() -> Result<Self> {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Result<Self> {
        let hydra = FakeHydra::start().await?;
        let locked = Locked::start(&hydra, "locked", settings).await?;
        Ok(Self { hydra, locked })
    }

    /// Somebody whom the Hydra knows.
    pub(crate) fn somebody(&self, name: &str) -> Result<Somebody> {
        Somebody::known(&self.hydra, name)
    }
}

/// Somebody with a DID, its key and a token.
pub(crate) struct Somebody {
    pub(crate) key: SigningKey,
    pub(crate) did: Did,
    pub(crate) token: String,
}

impl Somebody {
    pub(crate) fn known(hydra: &FakeHydra, name: &str) -> Result<Self> {
        let key = SigningKey::generate()?;
        let did = Did::for_agent("caller", name, key.public_key().id())?;
        let somebody = Self { key, did, token: format!("token-of-{name}") };
        somebody.enter(hydra, somebody.did.as_str());
        Ok(somebody)
    }

    /// Tells the Hydra the key and the token, under this name.
    pub(crate) fn enter(&self, hydra: &FakeHydra, id: &str) {
        let key = self.key.public_key().to_base58();
        hydra.put_client(json!({ "client_id": id, "metadata": { "public_key": key } }));
        hydra.put_token(&self.token, token(&json!({ "client_id": id, "sub": id })));
    }

    /// The body, signed now and with the token.
    pub(crate) fn letter(&self, body: &str) -> Letter {
        self.letter_at(body, now())
    }

    pub(crate) fn letter_at(&self, body: &str, seconds: i64) -> Letter {
        let signature = self.sign(body, seconds);
        let mut letter = Letter::bearing(&self.token, body);
        letter.headers.extend(signature.headers().map(|(name, value)| (name.to_owned(), value)));
        letter
    }

    pub(crate) fn sign(&self, body: &str, seconds: i64) -> RequestSignature {
        request::sign(&self.key, &self.did, body.as_bytes(), seconds).expect("it is text")
    }
}

/// What introspection says of a token that is good, but for this.
pub(crate) fn token(but: &Value) -> Value {
    let mut found = json!({
        "active": true, "client_id": "service", "sub": "service", "exp": now() + 3600,
        "scope": "agent:read agent:write", "token_use": "access_token",
    });
    for (name, value) in but.as_object().into_iter().flatten() {
        found[name] = value.clone();
    }
    found
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A request for a method.
pub(crate) fn call(method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
}

/// A message that the agent is to answer.
pub(crate) fn send() -> String {
    call("message/send", &message("hello"))
}

/// Headers and a body.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Letter {
    pub(crate) fn plain(body: &str) -> Self {
        Self { headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn bearing(token: &str, body: &str) -> Self {
        Self::plain(body).and("Authorization", &format!("Bearer {token}"))
    }

    /// With one more header.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// With another value in place of a header's own.
    pub(crate) fn changed(mut self, name: &str, value: &str) -> Self {
        for header in self.headers.iter_mut().filter(|(other, _)| other == name) {
            value.clone_into(&mut header.1);
        }
        self
    }

    /// The headers alone, each on its line.
    pub(crate) fn lines(&self) -> String {
        let lines = self.headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]);
        lines.collect()
    }

    /// As it goes over the wire, on a connection of its own.
    pub(crate) fn bytes(&self, method: &str, path: &str) -> Vec<u8> {
        let (lines, length, body) = (self.lines(), self.body.len(), &self.body);
        format!(
            "{method} {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n{lines}\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// The same in chunks that do not say how much there will be.
    pub(crate) fn chunked(&self) -> Vec<u8> {
        let mut bytes = format!(
            "POST / HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n{}\
             Transfer-Encoding: chunked\r\n\r\n",
            self.lines()
        )
        .into_bytes();
        for piece in self.body.as_bytes().chunks(60_000) {
            bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

/// All that an agent answered on one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// 0 if there is none.
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Answer {
    /// The body, which is JSON.
    pub(crate) fn json(&self) -> Value {
        let body = self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The status, and the code or word that says why.
    pub(crate) fn why(&self) -> (u16, Value) {
        let body = self.json();
        let why = [&body["error"]["code"], &body["details"]["reason"], &body["error"]];
        (self.status, why.into_iter().find(|why| !why.is_null()).cloned().unwrap_or_default())
    }

    /// The statuses of all answers.
    pub(crate) fn statuses(&self) -> Vec<&str> {
        let heads = self.text.split("HTTP/1.1 ").skip(1);
        heads.filter_map(|head| head.get(..3)).collect()
    }
}

/// Writes these bytes, and takes what comes until the other end closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    // Whoever refuses need not take all of it.
    let _refused = tokio::time::timeout(LONG, stream.write_all(bytes)).await?;
    heard(&mut stream).await
}

/// The same, but says at once that no more is to come.
pub(crate) async fn raw_and_no_more(address: SocketAddr, bytes: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let _refused = tokio::time::timeout(LONG, stream.write_all(bytes)).await?;
    stream.shutdown().await?;
    heard(&mut stream).await
}

/// What comes until the other end closes.
pub(crate) async fn heard(stream: &mut TcpStream) -> Result<Answer> {
    let mut all = Vec::new();
    let _reset = tokio::time::timeout(LONG, stream.read_to_end(&mut all)).await?;
    let text = String::from_utf8_lossy(&all).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok(Answer { status, text })
}
