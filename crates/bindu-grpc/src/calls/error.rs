//! Why a call brought no answer.

use std::error::Error as _;
use std::fmt;

use http::StatusCode;
use tonic::Code;

/// The most bytes of details that are kept. They end up in the history of a task.
const MAX_DETAILS: usize = 4096;

/// Why a call to a handler brought no answer.
///
/// Shown as `CODE: details` in one line: the code of gRPC in upper case, and what the SDK said, or
/// what went wrong on the way. The details are at most 4 KiB and hold no control characters.
///
/// ```
/// use bindu_grpc::calls::CallError;
/// use tonic::Code;
///
/// let error = CallError::new(Code::DeadlineExceeded, "took\ntoo long");
/// assert_eq!(error.to_string(), "DEADLINE_EXCEEDED: took too long");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    code: Code,
    details: Box<str>,
}

impl CallError {
    /// An error of this code; the details are cut and cleaned.
    #[must_use]
    pub fn new(code: Code, details: &str) -> Self {
        Self { code, details: clean(details).into() }
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What the SDK said, or what went wrong on the way.
    #[must_use]
    pub const fn details(&self) -> &str {
        &self.details
    }

    /// What HTTP/2 did to a call that was under way.
    pub(super) fn broken(error: &hyper::Error) -> Self {
        let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        let code = match h2.and_then(h2::Error::reason) {
            Some(h2::Reason::REFUSED_STREAM) => Code::Unavailable,
            Some(h2::Reason::CANCEL) => Code::Cancelled,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
            Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
            Some(_) if h2.is_some_and(h2::Error::is_reset) => Code::Internal,
            // The connection is gone, for whatever reason.
            _ => Code::Unavailable,
        };
        Self::new(code, &format!("the call was broken off: {}", chain(error)))
    }

    /// An answer that is HTTP but not gRPC.
    pub(super) fn not_grpc(status: StatusCode) -> Self {
        let code = match status.as_u16() {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        };
        Self::new(code, &format!("the answer is not gRPC; its HTTP status is {status}"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let details = if self.details.is_empty() { "no details were given" } else { &self.details };
        write!(f, "{}: {details}", code_name(self.code))
    }
}

impl std::error::Error for CallError {}

/// The name of a code as gRPC writes it: `DEADLINE_EXCEEDED`.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// An error and its sources in one line. An error that repeats its source is not shown twice.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let source = error.to_string();
        if !text.ends_with(&source) {
            text.push_str(": ");
            text.push_str(&source);
        }
        next = error.source();
    }
    text
}

/// Makes a text fit for one line of a history that others will read.
fn clean(details: &str) -> String {
    let mut text = String::with_capacity(details.len().min(MAX_DETAILS));
    for letter in details.trim().chars() {
        let letter = match letter {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            // Overrides of the direction may hide what is said.
            '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '\u{FFFD}',
            letter if letter.is_control() => '\u{FFFD}',
            letter => letter,
        };
        if text.len() + letter.len_utf8() > MAX_DETAILS - '…'.len_utf8() {
            text.push('…');
            break;
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_one_harmless_line() {
        let error = CallError::new(Code::Internal, " Error: boom\r\n\tat \u{1b}[31mx\u{202E}y\n");
        assert_eq!(error.to_string(), "INTERNAL: Error: boom   at \u{FFFD}[31mx\u{FFFD}y");
        assert_eq!(CallError::new(Code::Aborted, "").to_string(), "ABORTED: no details were given");
    }

    #[test]
    fn details_are_cut_between_letters() {
        let error = CallError::new(Code::Unknown, &"ü".repeat(10_000));
        assert!(error.details().len() <= MAX_DETAILS);
        assert!(error.details().ends_with("ü…"), "{}", &error.details()[MAX_DETAILS - 20..]);
        let fits = "x".repeat(MAX_DETAILS - 3);
        assert_eq!(CallError::new(Code::Unknown, &fits).details(), fits);
    }

    #[test]
    fn http_without_grpc_has_a_code() {
        let of = |status| CallError::not_grpc(StatusCode::from_u16(status).unwrap()).code();
        assert_eq!(of(404), Code::Unimplemented);
        assert_eq!(of(503), Code::Unavailable);
        assert_eq!(of(500), Code::Unknown);
    }
}
