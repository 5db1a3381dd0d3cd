//! One request over a connection of its own.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    client::conn::http1,
    header::{HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet, time};

use super::{
    json::{Json, Style},
    sse,
};

/// A request, ready to be sent as it is.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// `http://host:port`, and a path if the agent lives under one.
    pub(super) base: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Vec<u8>>,
}

/// What came back, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case; repeated ones joined by `, `.
    pub(super) headers: Vec<(String, String)>,
    pub(super) text: String,
    /// The body, if it is JSON and no event stream.
    pub(super) body: Option<Json>,
    /// The events, if the content type says that it is a stream of them.
    pub(super) sse: Option<Json>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

impl Call {
    pub(super) fn get(base: &str, path: &str) -> Self {
        Self {
            base: base.to_owned(),
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
        }
    }

    pub(super) fn post(base: &str, path: &str, body: &Json) -> Self {
        Self {
            method: "POST".to_owned(),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: Some(body.to_text(Style::SEARCHED).into_bytes()),
            ..Self::get(base, path)
        }
    }

    pub(super) async fn send_within_10s(self) -> Result<Answer, String> {
        self.send(Duration::from_secs(10)).await
    }

    /// Sends the request and reads the answer. Redirects are not followed.
    ///
    /// `timeout` bounds each wait, not the whole: for the connection, for the head
    /// of the answer and for every piece of its body.
    pub(super) async fn send(self, timeout: Duration) -> Result<Answer, String> {
        let (address, request) = self.request()?;
        let within = |what: &'static str| move |_| format!("timed out {what}");
        let stream = time::timeout(timeout, TcpStream::connect(&address))
            .await
            .map_err(within("connecting"))?
            .map_err(|error| format!("connecting to {address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // Dropping the set ends the connection, whichever way this returns.
        let mut driver = JoinSet::new();
        driver.spawn(connection);

        let response = time::timeout(timeout, sender.send_request(request))
            .await
            .map_err(within("waiting for an answer"))?
            .map_err(|error| format!("no answer: {}", with_sources(&error)))?;
        let (head, mut body) = response.into_parts();
        let mut raw = Vec::new();
        while let Some(frame) =
            time::timeout(timeout, body.frame()).await.map_err(within("reading the answer"))?
        {
            let frame =
                frame.map_err(|error| format!("broken answer: {}", with_sources(&error)))?;
            raw.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }

        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &head.headers {
            // Headers are Latin-1: each byte is the character of that number.
            let value: String = value.as_bytes().iter().copied().map(char::from).collect();
            match headers.iter_mut().find(|(known, _)| known == name.as_str()) {
                Some((_, all)) => *all = format!("{all}, {value}"),
                None => headers.push((name.as_str().to_owned(), value)),
            }
        }
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut answer =
            Answer { status: head.status.as_u16(), headers, text, body: None, sse: None };
        if answer.header("content-type").is_some_and(|kind| kind.contains("event-stream")) {
            answer.sse = Some(Json::Array(sse::parse(&answer.text)));
        } else {
            answer.body = Json::parse(&answer.text).ok();
        }
        Ok(answer)
    }

    /// The address to connect to, and the request.
    fn request(self) -> Result<(String, Request<Full<Bytes>>), String> {
        let base = Base::parse(&self.base)?;
        let method = Method::from_bytes(self.method.as_bytes())
            .map_err(|error| format!("{}: {error}", self.method))?;
        let mut target = format!("{}{}", base.path.trim_end_matches('/'), self.path);
        if target.is_empty() {
            target.push('/');
        }
        let mut request = Request::builder()
            .method(method)
            .uri(&target)
            .body(Full::new(Bytes::from(self.body.unwrap_or_default())))
            .map_err(|error| format!("{target}: {error}"))?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&base.authority).map_err(|error| error.to_string())?;
        headers.append(HOST, host);
        for (name, value) in &self.headers {
            let wrong = || format!("{name} cannot be sent as a header");
            let bytes: Vec<u8> =
                value.chars().map(u8::try_from).collect::<Result<_, _>>().map_err(|_| wrong())?;
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?,
                HeaderValue::from_bytes(&bytes).map_err(|_| wrong())?,
            );
        }
        Ok((format!("{}:{}", base.host_in_brackets(), base.port.unwrap_or(80)), request))
    }
}

/// The parts of an agent's address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Base {
    /// In lower case, without brackets.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    authority: String,
    path: String,
}

impl Base {
    pub(super) fn parse(base: &str) -> Result<Self, String> {
        let uri: hyper::Uri = base.parse().map_err(|error| format!("{base}: {error}"))?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("{base} is no http address"));
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_lowercase();
        Ok(Self {
            host,
            port: authority.port_u16(),
            authority: authority.as_str().to_owned(),
            path: uri.path().to_owned(),
        })
    }

    fn host_in_brackets(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_sources(source)),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Base, Call};

    #[test]
    fn an_address_is_taken_apart() {
        let base = Base::parse("http://LOCALHOST:3773/agents/").unwrap();
        assert_eq!(
            (base.host.as_str(), base.port, base.path.as_str()),
            ("localhost", Some(3773), "/agents/")
        );
        let base = Base::parse("http://[::1]:80").unwrap();
        assert_eq!((base.host.as_str(), base.host_in_brackets().as_str()), ("::1", "[::1]"));
        assert!(Base::parse("https://localhost").is_err());
        assert!(Base::parse("localhost").is_err());
    }

    #[test]
    fn the_path_follows_the_one_of_the_address() {
        let target = |base: &str, path: &str| {
            let (address, request) = Call::get(base, path).request().unwrap();
            format!("{address} {}", request.uri())
        };
        assert_eq!(target("http://a:1/b/", "/c?d=e"), "a:1 /b/c?d=e");
        assert_eq!(target("http://a", ""), "a:80 /");
    }

    #[test]
    fn what_cannot_be_sent_is_an_error() {
        let mut call = Call::get("http://a", "/");
        call.headers.push(("X-Name".to_owned(), "a\nb".to_owned()));
        assert!(call.clone().request().is_err());
        call.headers = vec![("X-Name".to_owned(), "€".to_owned())];
        assert!(call.clone().request().is_err());
        call.headers.clear();
        call.method = "NOT ONE".to_owned();
        assert!(call.request().is_err());
    }
}
