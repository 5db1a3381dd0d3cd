//! Runs recorded test vectors against this build (feature `vectors`).
//!
//! A vector file is `{"about": …, "cases": [{"kind": …, …}, …]}`. Every case
//! holds its input and the answer that another implementation gave.
//!
//! ```
//! # use bindu_did::vectors::run;
//! let file = serde_json::json!({ "cases": [
//!     { "kind": "validate_format", "did": "did:bindu:a:b", "valid": true, "error": null },
//!     { "kind": "horoscope" },
//! ]});
//! let report = run(&file);
//! assert_eq!(report.passed, 1);
//! assert_eq!(report.failed, ["case 1 (horoscope): no such kind of vector"]);
//! ```

mod did;
mod signing;

use std::fmt::Debug;

use serde_json::Value;

/// How the cases of a file went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many cases passed.
    pub passed: usize,
    /// One line for each case that failed: which, and why.
    pub failed: Vec<String>,
}

/// Runs all cases of a file, given as the whole file or as its array of cases.
///
/// A case of unknown kind fails, and so does a file without cases.
#[must_use]
pub fn run(cases: &Value) -> Report {
    let mut report = Report::default();
    let list = cases.get("cases").unwrap_or(cases).as_array();
    for (i, case) in list.into_iter().flatten().enumerate() {
        let kind = case.get("kind").and_then(Value::as_str).unwrap_or("no kind");
        match run_case(kind, case) {
            Ok(()) => report.passed += 1,
            Err(reason) => report.failed.push(format!("case {i} ({kind}): {reason}")),
        }
    }
    if report.passed == 0 && report.failed.is_empty() {
        report.failed.push("the file has no cases".to_owned());
    }
    report
}

fn run_case(kind: &str, case: &Value) -> Outcome {
    match kind {
        "did_bindu" => did::bindu(case),
        "did_key_fallback" => did::key_fallback(case),
        "pubkey_derived" => did::caller(case),
        "validate_format" => did::format(case),
        "validate_document" => did::document(case),
        "normalize_keys" => did::keys(case),
        "encrypted_private_pem" => did::encrypted_pem(case),
        "request" => signing::request(case),
        "text" => signing::text_part(case),
        "python_json" => signing::python_json(case),
        "verify" => signing::verify(case),
        "extract_headers" => signing::extract_headers(case),
        _ => Err("no such kind of vector".to_owned()),
    }
}

/// Passed, or why not.
type Outcome = Result<(), String>;

/// A member of a case that must be there.
fn member<'a>(case: &'a Value, name: &str) -> Result<&'a Value, String> {
    case.get(name).ok_or_else(|| format!("the case has no {name}"))
}

fn text<'a>(case: &'a Value, name: &str) -> Result<&'a str, String> {
    member(case, name)?.as_str().ok_or_else(|| format!("{name} is not a string"))
}

fn integer(case: &Value, name: &str) -> Result<i64, String> {
    member(case, name)?.as_i64().ok_or_else(|| format!("{name} is not an integer"))
}

fn flag(case: &Value, name: &str) -> Result<bool, String> {
    member(case, name)?.as_bool().ok_or_else(|| format!("{name} is not a boolean"))
}

fn hex(case: &Value, name: &str) -> Result<Vec<u8>, String> {
    let digits = text(case, name)?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    let bytes: Option<Vec<u8>> = bytes.collect();
    bytes.filter(|_| rest.is_empty()).ok_or_else(|| format!("{name} is not hexadecimal"))
}

fn key(case: &Value) -> Result<crate::SigningKey, String> {
    let seed = hex(case, "seed_hex")?;
    let seed = seed.as_slice().try_into().map_err(|_| "the seed has not 32 bytes".to_owned())?;
    Ok(crate::SigningKey::from_seed(seed))
}

#[expect(clippy::needless_pass_by_value, reason = "borrowed and owned values meet here")]
fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, found: T, expected: U) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, expected {expected:?}"))
}

/// For errors that must not happen.
#[expect(clippy::needless_pass_by_value, reason = "a function for map_err")]
fn unexpected(error: impl ToString) -> String {
    error.to_string()
}
