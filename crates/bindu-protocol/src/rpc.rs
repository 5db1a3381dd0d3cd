//! The JSON-RPC 2.0 envelope.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{Code, Json, MAX_DEPTH, is_nested_deeper};

/// The id of a JSON-RPC request: any string, number or null, echoed as it was written.
#[derive(Clone, Default)]
pub struct RequestId(Option<Box<RawValue>>);

impl RequestId {
    /// The null id: of an answer to a request whose own id could not be read.
    pub const NULL: Self = Self(None);

    /// A random UUID as the id of a new request.
    #[must_use]
    pub fn random() -> Self {
        Self::from(uuid::Uuid::new_v4().to_string().as_str())
    }

    /// The id as JSON text: `7`, `"a"`, `null`.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.as_ref().map_or("null", |raw| raw.get())
    }

    /// Objects, arrays and booleans are no ids.
    fn read(raw: &RawValue) -> Option<Self> {
        match raw.get().as_bytes().first()? {
            b'"' | b'-' | b'0'..=b'9' => Some(Self(Some(raw.to_owned()))),
            b'n' => Some(Self::NULL),
            _ => None,
        }
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self(serde_json::value::to_raw_value(text).ok())
    }
}

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self(serde_json::value::to_raw_value(&number).ok())
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some(raw) = Option::<Box<RawValue>>::deserialize(deserializer)? else {
            return Ok(Self::NULL);
        };
        Self::read(&raw)
            .ok_or_else(|| serde::de::Error::custom("an id is a string, a number or null"))
    }
}

/// A JSON-RPC request whose parameters are not read yet.
#[derive(Debug)]
pub struct Request<'a> {
    /// The request's id.
    pub id: RequestId,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The parameters, as JSON text; `{}` if there were none.
    pub params: &'a str,
    /// Whether the request had an `id` at all; one without is a notification.
    pub expects_answer: bool,
}

/// Why a body is not a request, with the id if that much could be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct RequestError {
    /// [`Code::PARSE`] or [`Code::INVALID_REQUEST`].
    pub code: Code,
    /// The id to answer to.
    pub id: RequestId,
    /// What is wrong, for the caller.
    pub reason: &'static str,
}

#[derive(Default)]
struct Envelope<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Envelope<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Envelope<'de>, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    let value: &'de RawValue = map.next_value()?;
                    match &*key {
                        "jsonrpc" => envelope.jsonrpc = Some(value),
                        "id" => envelope.id = Some(value),
                        "method" => envelope.method = Some(value),
                        "params" => envelope.params = Some(value),
                        _ => {}
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

impl<'a> Request<'a> {
    /// Reads a request body.
    ///
    /// The parameters are only checked to be JSON no deeper than [`MAX_DEPTH`]; each method reads
    /// its own.
    ///
    /// # Errors
    ///
    /// [`Code::PARSE`] if the body is no JSON, [`Code::INVALID_REQUEST`] if it is JSON but no
    /// JSON-RPC 2.0 request; batches are none.
    ///
    /// ```
    /// # use bindu_protocol::Request;
    /// let body = br#"{"jsonrpc": "2.0", "id": 1.50, "method": "tasks/list"}"#;
    /// let request = Request::parse(body).unwrap();
    /// assert_eq!(request.method, "tasks/list");
    /// assert_eq!(request.id.as_json(), "1.50");
    /// ```
    pub fn parse(body: &'a [u8]) -> Result<Self, RequestError> {
        let fail = |code, id, reason| Err(RequestError { code, id, reason });
        if is_nested_deeper(body, MAX_DEPTH) {
            return fail(Code::INVALID_REQUEST, RequestId::NULL, "nested deeper than 128 levels");
        }
        let envelope: Envelope<'a> = match serde_json::from_slice(body) {
            Ok(envelope) => envelope,
            Err(error) if error.is_data() && is_json(body) => {
                let reason = if body.trim_ascii_start().starts_with(b"[") {
                    "batches are not supported; send one request object"
                } else {
                    "a request must be a JSON object"
                };
                return fail(Code::INVALID_REQUEST, RequestId::NULL, reason);
            }
            Err(_) => {
                return fail(Code::PARSE, RequestId::NULL, "the body is not valid JSON in UTF-8");
            }
        };
        let id = match envelope.id.map(RequestId::read) {
            None => RequestId::NULL,
            Some(Some(id)) => id,
            Some(None) => {
                let reason = "id: must be a string, a number or null";
                return fail(Code::INVALID_REQUEST, RequestId::NULL, reason);
            }
        };
        if envelope.jsonrpc.map(RawValue::get) != Some(r#""2.0""#) {
            return fail(Code::INVALID_REQUEST, id, r#"jsonrpc: must be "2.0""#);
        }
        let Some(method) = envelope.method.and_then(|raw| read_text(raw.get())) else {
            return fail(Code::INVALID_REQUEST, id, "method: must be a string");
        };
        let params = match envelope.params.map(RawValue::get) {
            None | Some("null") => "{}",
            Some(params) if params.starts_with('{') => params,
            Some(_) => {
                return Err(RequestError {
                    code: Code::INVALID_PARAMS,
                    id,
                    reason: "params: must be an object",
                });
            }
        };
        Ok(Self { id, method, params, expects_answer: envelope.id.is_some() })
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// A JSON string, borrowed if nothing in it is escaped.
fn read_text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str::<String>(json).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// What kind of error.
    pub code: Code,
    /// What went wrong, in a sentence.
    pub message: Cow<'static, str>,
    /// More about it.
    #[serde(default)]
    pub data: Option<Json>,
}

impl RpcError {
    /// An error with its code's own sentence.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, message: Cow::Borrowed(code.message()), data: None }
    }

    /// The same with a short text as `data`.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<String>) -> Self {
        self.data = Some(Json::from(serde_json::Value::String(data.into())));
        self
    }

    /// The same with another sentence.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }
}

impl Serialize for RpcError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("message", &self.message)?;
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        map.end()
    }
}

/// A JSON-RPC response around a borrowed outcome.
///
/// ```
/// # use bindu_protocol::{RequestId, Response};
/// let response = Response { id: &RequestId::from(7), outcome: Ok::<_, &_>("done") };
/// assert_eq!(serde_json::to_string(&response)?, r#"{"jsonrpc":"2.0","id":7,"result":"done"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Response<'a, T> {
    /// The request's id.
    pub id: &'a RequestId,
    /// Its result or its error.
    pub outcome: Result<T, &'a RpcError>,
}

impl<T: Serialize> Serialize for Response<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("jsonrpc", "2.0")?;
        map.serialize_entry("id", self.id)?;
        match &self.outcome {
            Ok(result) => map.serialize_entry("result", result)?,
            Err(error) => map.serialize_entry("error", error)?,
        }
        map.end()
    }
}

/// A JSON-RPC request that goes out.
///
/// ```
/// # use bindu_protocol::{Call, Dialect, RequestId, TaskParams, method};
/// let params = TaskParams { id: "t".parse()?, history_length: None, metadata: None };
/// let call = Call {
///     id: &RequestId::from("7"),
///     method: method::TASKS_GET,
///     params: Dialect::V0_3.view(&params),
/// };
/// assert_eq!(
///     serde_json::to_string(&call)?,
///     r#"{"jsonrpc":"2.0","id":"7","method":"tasks/get","params":{"id":"t"}}"#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Call<'a, T> {
    /// The request's id.
    pub id: &'a RequestId,
    /// The method's name.
    pub method: &'a str,
    /// Its parameters, an object: most often a [`View`](crate::View) of this crate's own.
    pub params: T,
}

impl<T: Serialize> Serialize for Call<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("jsonrpc", "2.0")?;
        map.serialize_entry("id", self.id)?;
        map.serialize_entry("method", self.method)?;
        map.serialize_entry("params", &self.params)?;
        map.end()
    }
}

/// A JSON-RPC response that came in, its result not read yet.
///
/// ```
/// # use bindu_protocol::{Answer, Code, SendResult};
/// let answer: Answer = serde_json::from_str(
///     r#"{"jsonrpc": "2.0", "id": 7, "error": {"code": -32001, "message": "Task not found"}}"#,
/// )?;
/// assert_eq!(answer.id.as_json(), "7");
/// assert_eq!(answer.outcome.unwrap_err().code, Code::TASK_NOT_FOUND);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The id of the request that it answers; null if the peer could not read it.
    pub id: RequestId,
    /// The result, to be read with [`Json::parse`], or the error.
    pub outcome: Result<Json, RpcError>,
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(default)]
            id: RequestId,
            #[serde(default, deserialize_with = "there")]
            result: Option<Json>,
            error: Option<RpcError>,
        }

        /// A result may be `null`, which is not the same as none.
        fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
            Json::deserialize(deserializer).map(Some)
        }

        let Envelope { id, result, error } = Envelope::deserialize(deserializer)?;
        let outcome = match (result, error) {
            (_, Some(error)) => Err(error),
            (Some(result), None) => Ok(result),
            (None, None) => return Err(serde::de::Error::custom("neither result nor error")),
        };
        Ok(Self { id, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Code {
        Request::parse(body.as_bytes()).unwrap_err().code
    }

    #[test]
    fn ids_come_back_as_they_were_written() {
        for id in
            ["1", "-1", "1.5", "1e3", r#""x""#, r#""a\u0062""#, "null", "18446744073709551616"]
        {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
            assert_eq!(Request::parse(body.as_bytes()).unwrap().id.as_json(), id);
        }
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        assert_eq!(code(""), Code::PARSE);
        assert_eq!(code("{"), Code::PARSE);
        assert_eq!(code("\u{feff}{}"), Code::PARSE);
        assert_eq!(code("[]"), Code::INVALID_REQUEST);
        assert_eq!(code("null"), Code::INVALID_REQUEST);
        assert_eq!(code("{}"), Code::INVALID_REQUEST);
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#), Code::INVALID_REQUEST);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#), Code::INVALID_REQUEST);
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"method":1}"#), Code::INVALID_REQUEST);
        assert_eq!(
            code(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#),
            Code::INVALID_PARAMS
        );
        assert_eq!(code(&"[".repeat(100_000)), Code::INVALID_REQUEST);
    }

    #[test]
    fn the_id_is_known_even_if_the_rest_is_wrong() {
        let error = Request::parse(br#"{"id":"me","params":{}}"#).unwrap_err();
        assert_eq!(error.id, RequestId::from("me"));
    }
}
