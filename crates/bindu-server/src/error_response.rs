//! The one place where an error becomes a JSON-RPC code and an HTTP status.
//!
//! What a stranger may not know is logged here and flattened here.

use bindu_http::{Body, ReadBodyError};
use bindu_protocol::{Code, Denied, Dialect, RequestId, Response as RpcResponse, RpcError};
use bindu_storage::StorageError;
use bindu_tasks::TaskError;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// An error on its way to a caller.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: RpcError,
    /// The status in the reference's dialect; in A2A's own nearly every error has 200.
    pub(crate) status: StatusCode,
}

impl Failure {
    fn new(code: Code) -> Self {
        let status = match code {
            Code::PARSE | Code::INVALID_REQUEST | Code::INVALID_PARAMS => StatusCode::BAD_REQUEST,
            Code::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
            Code::INTERNAL => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::OK,
        };
        Self { error: RpcError::new(code), status }
    }

    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The body is no request.
    pub(crate) fn request(code: Code, reason: &str) -> Self {
        let mut failure = Self::new(code);
        failure.error = failure.error.with_data(reason);
        failure
    }

    /// The parameters are not what the method takes; `reason` names the member.
    pub(crate) fn params(reason: &str) -> Self {
        let mut failure = Self::new(Code::INVALID_PARAMS);
        failure.error = failure.error.with_data(reason);
        failure
    }

    pub(crate) fn method_not_found() -> Self {
        Self::new(Code::METHOD_NOT_FOUND)
    }

    pub(crate) fn extended_card() -> Self {
        Self::new(Code::EXTENDED_CARD_NOT_CONFIGURED)
    }

    pub(crate) fn streaming() -> Self {
        let mut failure = Self::new(Code::UNSUPPORTED_OPERATION);
        failure.error = failure.error.with_message("This agent does not stream");
        failure
    }

    pub(crate) fn version(asked: &str) -> Self {
        let mut failure = Self::request(Code::INVALID_REQUEST, "A2A-Version: only 0.3 is served");
        tracing::debug!(asked, "a version that is not served");
        failure.error = failure.error.with_message("This version of A2A is not served here");
        failure
    }

    /// Something of ours went wrong. The caller gets a number to ask about.
    pub(crate) fn internal(what: &(dyn std::error::Error + 'static)) -> Self {
        let incident = uuid::Uuid::new_v4();
        tracing::error!(%incident, error = what, "a request failed");
        let mut failure = Self::new(Code::INTERNAL);
        failure.error = failure.error.with_data(format!("incident {incident}"));
        failure
    }

    /// The same, as the dialects tell it.
    pub(crate) fn task(error: &TaskError, dialect: Dialect) -> Self {
        let is_reference = dialect == Dialect::Reference;
        match error {
            TaskError::NotFound => Self::new(Code::TASK_NOT_FOUND),
            TaskError::ContextNotFound => Self::new(Code::CONTEXT_NOT_FOUND),
            TaskError::ContextBusy => Self::new(Code::CONTEXT_NOT_CANCELABLE),
            TaskError::Over(state) => {
                // A2A 0.3 has no code for it, and 1.0 uses the reference's for something else.
                let code = if is_reference { Code::TASK_IMMUTABLE } else { Code::INVALID_PARAMS };
                let failure = Self::new(code).with_status(StatusCode::OK);
                failure.saying(format!(
                    "The task is {state} and takes no further message; begin a new one that references it"
                ))
            }
            TaskError::NotCancelable(state) => Self::new(Code::TASK_NOT_CANCELABLE)
                .saying(format!("The task is {state} and cannot be canceled")),
            TaskError::Working => Self::new(Code::UNSUPPORTED_OPERATION).saying("task is working"),
            TaskError::Invalid(reason) => {
                let failure = Self::params(reason);
                failure.with_status(StatusCode::OK)
            }
            TaskError::InvalidWebhook(reason) => {
                let reason = format!("pushNotificationConfig.url: {reason}");
                Self::params(&reason).with_status(StatusCode::OK)
            }
            TaskError::PushNotSupported => Self::new(Code::PUSH_NOT_SUPPORTED),
            TaskError::WebhookNotFound => Self::new(Code::TASK_NOT_FOUND)
                .saying("The task has no such push notification configuration"),
            TaskError::Busy | TaskError::Closing | TaskError::Unavailable => {
                Self::unavailable(error.to_string())
            }
            TaskError::Storage(StorageError::Backend { .. }) | TaskError::Scheduler(_) => {
                // Which part it is, is for the operator to know; the caller may come again.
                tracing::error!(error = error as &dyn std::error::Error, "a request failed");
                Self::unavailable(TaskError::Unavailable.to_string())
            }
            other => Self::internal(other),
        }
    }

    fn unavailable(why: String) -> Self {
        Self::new(Code::INTERNAL).with_status(StatusCode::SERVICE_UNAVAILABLE).saying(why)
    }

    fn saying(mut self, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        self.error = self.error.with_message(message);
        self
    }

    /// The response. `dialect` is `None` if the request did not get far enough to have one.
    pub(crate) fn into_response(self, id: &RequestId, dialect: Dialect) -> Response<Body> {
        let status = match (dialect, self.status) {
            (_, unavailable @ StatusCode::SERVICE_UNAVAILABLE) => unavailable,
            (Dialect::V0_3, _) if self.error.code == Code::PARSE => StatusCode::BAD_REQUEST,
            (Dialect::V0_3, _) => StatusCode::OK,
            (_, status) => status,
        };
        let body = RpcResponse::<()> { id, outcome: Err(&self.error) };
        let mut response = json(status, &body);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::params(&reason(&error.to_string()))
    }
}

/// A reader's complaint about parameters: the member's path and what is expected there, nothing of
/// what was sent.
fn reason(complaint: &str) -> String {
    let text = complaint.split(" at line ").next().unwrap_or_default();
    let echo = ["unknown variant", "invalid type", "invalid value", "invalid length"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min();
    match (echo, text.rfind("expected ")) {
        (Some(echo), Some(expected)) if expected > echo => {
            format!("{}{}", &text[..echo], &text[expected..])
        }
        _ => text.to_owned(),
    }
}

/// A JSON response.
pub(crate) fn json<T: Serialize>(status: StatusCode, body: &T) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(body) => bytes(status, "application/json", Bytes::from(body)),
        Err(error) => {
            tracing::error!(%error, "a response cannot be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

/// An error beside JSON-RPC, in the reference's own form.
pub(crate) fn complaint(status: StatusCode, message: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "error": message }))
}

/// A plain text response.
pub(crate) fn text(status: StatusCode, body: &'static str) -> Response<Body> {
    bytes(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

/// A response of one piece.
pub(crate) fn bytes(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// What a refused caller is told. `id` is that of the request, once it was read.
///
/// Refusals of a signature have the reference's own form; all others are JSON-RPC errors. The
/// details that would help an attacker are in the log alone.
pub(crate) fn denied(why: &Denied, id: &RequestId) -> Response<Body> {
    tracing::debug!(%why, "a caller is refused");
    let rpc = |status, code, data: Option<String>| {
        let mut error = RpcError::new(code);
        if let Some(data) = data {
            error = error.with_data(data);
        }
        json(status, &RpcResponse::<()> { id, outcome: Err(&error) })
    };
    let invalid =
        |data: &str| rpc(StatusCode::UNAUTHORIZED, Code::INVALID_TOKEN, Some(data.to_owned()));
    let mut response = match why {
        Denied::NoToken => rpc(StatusCode::UNAUTHORIZED, Code::AUTHENTICATION_REQUIRED, None),
        Denied::NoCertificate => rpc(
            StatusCode::UNAUTHORIZED,
            Code::AUTHENTICATION_REQUIRED,
            Some("A client certificate is required".to_owned()),
        ),
        Denied::TokenInactive => invalid("Token is not active"),
        Denied::TokenIncomplete(claim) => invalid(&format!("Token has no {claim}")),
        Denied::TokenAudience => invalid("Token is not meant for this agent"),
        Denied::TokenExpired => rpc(StatusCode::UNAUTHORIZED, Code::TOKEN_EXPIRED, None),
        Denied::Unavailable => {
            let error = RpcError::new(Code::INTERNAL)
                .with_message("Authentication service temporarily unavailable");
            json(StatusCode::SERVICE_UNAVAILABLE, &RpcResponse::<()> { id, outcome: Err(&error) })
        }
        Denied::TooManyRefusals => {
            let error = RpcError::new(Code::INVALID_TOKEN)
                .with_message("Too many refused requests; wait a moment");
            json(StatusCode::TOO_MANY_REQUESTS, &RpcResponse::<()> { id, outcome: Err(&error) })
        }

        Denied::SignatureMissing
        | Denied::DidMismatch
        | Denied::KeyUnavailable
        | Denied::BodyTooLarge => unsigned(why.reason()),
        Denied::SignatureInvalid { did, timestamp } => {
            let details = Unverified {
                did_verified: false,
                did: Some(did),
                timestamp: Some(*timestamp),
                reason: why.reason(),
            };
            let body = Unsigned { error: "Invalid DID signature", details };
            json(StatusCode::FORBIDDEN, &body)
        }
        Denied::NotAdmitted => {
            json(StatusCode::FORBIDDEN, &serde_json::json!({ "error": "DID not admitted" }))
        }
        Denied::MissingPermissions(wanted) => {
            let wanted: Vec<_> = wanted.iter().map(|scope| format!("'{scope}'")).collect();
            let data = format!("Missing required permissions: [{}]", wanted.join(", "));
            rpc(StatusCode::FORBIDDEN, Code::INSUFFICIENT_PERMISSIONS, Some(data))
        }
        Denied::TrustTooLow => rpc(
            StatusCode::FORBIDDEN,
            Code::INSUFFICIENT_PERMISSIONS,
            Some("The caller is not trusted as far as this operation needs".to_owned()),
        ),
        Denied::CertificateWithoutDid => {
            let message = "Client certificate lacks an identifiable DID";
            let body = serde_json::json!({ "error": { "code": 403, "message": message } });
            json(StatusCode::FORBIDDEN, &body)
        }
        other => Failure::internal(other).into_response(id, Dialect::Reference),
    };
    let status = response.status();
    let headers = response.headers_mut();
    match status {
        // RFC 6750, section 3: what to authenticate with, and whether it was tried.
        StatusCode::UNAUTHORIZED => {
            let tried = !matches!(why, Denied::NoToken | Denied::NoCertificate);
            let challenge =
                if tried { "Bearer error=\"invalid_token\"" } else { "Bearer realm=\"agent\"" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

#[derive(Serialize)]
struct Unsigned<'a> {
    error: &'static str,
    details: Unverified<'a>,
}

#[derive(Serialize)]
struct Unverified<'a> {
    did_verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    reason: &'static str,
}

fn unsigned(reason: &'static str) -> Response<Body> {
    let details = Unverified { did_verified: false, did: None, timestamp: None, reason };
    json(StatusCode::FORBIDDEN, &Unsigned { error: "Invalid DID signature", details })
}

/// A body that did not arrive whole.
pub(crate) fn unread(error: &ReadBodyError) -> Response<Body> {
    match error {
        ReadBodyError::TooLarge { .. } => too_large(),
        ReadBodyError::Timeout => text(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        error => {
            tracing::debug!(%error, "a body was not sent to its end");
            text(StatusCode::BAD_REQUEST, "Bad Request")
        }
    }
}

/// A body larger than it may be.
pub(crate) fn too_large() -> Response<Body> {
    text(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large")
}

#[cfg(test)]
mod tests {
    use bindu_protocol::SendParams;

    use super::*;

    fn complaint(params: &str) -> String {
        reason(&serde_json::from_str::<SendParams>(params).unwrap_err().to_string())
    }

    /// What a refused caller is told: status, body, and how to authenticate.
    async fn told(why: Denied) -> (u16, String, Option<String>) {
        let response = denied(&why, &RequestId::NULL);
        let status = response.status().as_u16();
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let challenge = challenge.map(|it| it.to_str().unwrap().to_owned());
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        (status, String::from_utf8(body.to_bytes().to_vec()).unwrap(), challenge)
    }

    #[tokio::test]
    async fn each_refusal_has_its_answer() {
        let did: Box<str> = "did:bindu:a:b:1".into();
        for (why, status, part) in [
            (Denied::NoToken, 401, r#""code":-32009"#),
            (Denied::NoCertificate, 401, r#""code":-32009"#),
            (Denied::TokenInactive, 401, r#""code":-32010"#),
            (Denied::TokenIncomplete("sub"), 401, r#""code":-32010"#),
            (Denied::TokenAudience, 401, r#""code":-32010"#),
            (Denied::TokenExpired, 401, r#""code":-32011"#),
            (Denied::Unavailable, 503, r#""code":-32603"#),
            (Denied::TooManyRefusals, 429, r#""code":-32010"#),
            (Denied::SignatureMissing, 403, r#""reason":"missing_signature_headers""#),
            (Denied::DidMismatch, 403, r#""reason":"did_mismatch""#),
            (Denied::KeyUnavailable, 403, r#""reason":"public_key_unavailable""#),
            (Denied::BodyTooLarge, 403, r#""reason":"payload_too_large""#),
            (
                Denied::SignatureInvalid { did, timestamp: 7 },
                403,
                r#""did":"did:bindu:a:b:1","timestamp":7,"reason":"invalid_signature""#,
            ),
            (Denied::NotAdmitted, 403, r#"{"error":"DID not admitted"}"#),
            (
                Denied::MissingPermissions(vec!["agent:write".into()]),
                403,
                r#""data":"Missing required permissions: ['agent:write']""#,
            ),
            (Denied::TrustTooLow, 403, r#""code":-32013"#),
            (Denied::CertificateWithoutDid, 403, r#"{"error":{"code":403,"#),
        ] {
            let (found, body, challenge) = told(why.clone()).await;
            assert_eq!(found, status, "{why:?}");
            assert!(body.contains(part), "{why:?}: {body}");
            assert_eq!(challenge.is_some(), status == 401, "{why:?}");
        }
        let (_, _, untried) = told(Denied::NoToken).await;
        let (_, _, tried) = told(Denied::TokenInactive).await;
        assert_eq!(untried.as_deref(), Some(r#"Bearer realm="agent""#));
        assert_eq!(tried.as_deref(), Some(r#"Bearer error="invalid_token""#));
    }

    #[test]
    fn a_complaint_names_the_member_and_echoes_nothing() {
        assert_eq!(complaint("{}"), "message: is required");
        assert_eq!(
            complaint(r#"{"message":{"role":"<script>","messageId":"1","parts":[]}}"#),
            "message.role: expected one of `user`, `agent`, `system`"
        );
        assert_eq!(
            complaint(r#"{"message":{"role":"user","messageId":"","parts":[]}}"#),
            "message.messageId: an id must not be empty"
        );
        assert_eq!(
            complaint(
                r#"{"message":{"role":"user","messageId":"1","parts":[{"kind":"data","data":[]}]}}"#
            ),
            "message.parts.data: expected an object"
        );
    }
}
