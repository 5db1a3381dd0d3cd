//! JSON as the transcripts mean it: members in the order they were written,
//! integers apart from floats, and Python's rules for text and equality.
//!
//! Order matters: a variable may use the one declared before it, a request is
//! sent with its members as the file has them, and differences are reported in
//! the order of the pattern. `serde_json` keeps order only with a feature that
//! would leak into every crate of the workspace.

mod parse;
mod text;

/// How to write a value out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    /// `\uXXXX` for everything outside printable ASCII.
    pub(super) ascii: bool,
    /// No space after `,` and `:`.
    pub(super) compact: bool,
    /// Members sorted by name.
    pub(super) sorted: bool,
}

impl Style {
    /// As a difference is shown: readable, with spaces.
    pub(super) const SHOWN: Self = Self { ascii: false, compact: false, sorted: false };
    /// As a request body is sent.
    pub(super) const BODY: Self = Self { ascii: false, compact: true, sorted: false };
    /// As `$json` and `$base64json` put it into a text.
    pub(super) const EMBEDDED: Self = Self { ascii: true, compact: true, sorted: false };
    /// As `body_has` searches it.
    pub(super) const SEARCHED: Self = Self { ascii: true, compact: false, sorted: false };
    /// As a signed request is signed.
    pub(super) const SIGNED: Self = Self { ascii: true, compact: false, sorted: true };
}

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// Integers beyond 128 bits are read as [`Float`](Self::Float).
    Int(i128),
    Float(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text)
    }

    pub(super) fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_array(&self) -> Option<&[Json]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// A number of seconds, or of things.
    #[expect(clippy::cast_precision_loss, reason = "small counts and seconds only")]
    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The member `key` of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.as_object()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The member `key`, unless it is missing or what Python takes for false.
    pub(super) fn get_truthy(&self, key: &str) -> Option<&Json> {
        self.get(key).filter(|value| value.is_truthy())
    }

    fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::String(text) => !text.is_empty(),
            Self::Array(items) => !items.is_empty(),
            Self::Object(members) => !members.is_empty(),
        }
    }

    /// The value of the only member, if the object has just this one.
    pub(super) fn only(&self, key: &str) -> Option<&Json> {
        match self.as_object()? {
            [(name, value)] if name == key => Some(value),
            _ => None,
        }
    }

    /// Equality in Python's sense: `1`, `1.0` and `true` are equal, and the order
    /// of members does not count.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, a)| other.get(key).is_some_and(|b| a.equals(b)))
            }
            _ => match (self.as_number(), other.as_number()) {
                (Some(a), Some(b)) => a.equals(b),
                _ => false,
            },
        }
    }

    /// Follows `path`, dots between its parts; a part is a member's name or an
    /// index, which counts from the end when negative.
    pub(super) fn lookup(&self, path: &Json) -> Option<&Json> {
        match path {
            Self::Array(parts) => parts.iter().try_fold(self, |at, part| at.child(part)),
            Self::String(path) => {
                path.split('.').try_fold(self, |at, part| at.child(&Self::string(part)))
            }
            _ => None,
        }
    }

    fn child(&self, part: &Json) -> Option<&Json> {
        match self {
            Self::Object(_) => self.get(part.as_str()?),
            Self::Array(items) => {
                let index: i128 = match part {
                    Self::Int(index) => *index,
                    Self::String(text) if !text.starts_with('+') => text.parse().ok()?,
                    _ => return None,
                };
                let length = i128::try_from(items.len()).ok()?;
                let index = if index < 0 { index + length } else { index };
                items.get(usize::try_from(index).ok()?)
            }
            _ => None,
        }
    }

    fn as_number(&self) -> Option<Number> {
        match self {
            Self::Bool(value) => Some(Number::Int(i128::from(*value))),
            Self::Int(number) => Some(Number::Int(*number)),
            Self::Float(number) => Some(Number::Float(*number)),
            _ => None,
        }
    }
}

/// Sets a member: a name that is there keeps its place and takes the new value.
pub(super) fn insert<V>(members: &mut Vec<(String, V)>, key: String, value: V) {
    match members.iter_mut().find(|(name, _)| *name == key) {
        Some(member) => member.1 = value,
        None => members.push((key, value)),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// Exact, without rounding the integer to a float first.
    #[expect(clippy::float_cmp, reason = "equality of two numbers that were read, not computed")]
    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Int(int), Self::Float(float)) | (Self::Float(float), Self::Int(int)) => {
                exact_integer(float) == Some(int)
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn exact_integer(float: f64) -> Option<i128> {
    // 2^127 is a float; everything below it in size fits.
    const LIMIT: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    (float.is_finite() && float.fract() == 0.0 && float.abs() < LIMIT).then_some(float as i128)
}

#[cfg(test)]
mod tests {
    use super::Json;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn integers_floats_and_booleans_compare_as_in_python() {
        assert!(json("1").equals(&json("1.0")));
        assert!(json("true").equals(&json("1")));
        assert!(json("[1,{\"a\":0}]").equals(&json("[1.0,{\"a\":false}]")));
        assert!(!json("9007199254740993").equals(&json("9007199254740992.0")));
        assert!(!json("\"1\"").equals(&json("1")));
        assert!(!json("NaN").equals(&json("NaN")));
    }

    #[test]
    fn members_compare_without_regard_to_their_order() {
        assert!(json(r#"{"a":1,"b":2}"#).equals(&json(r#"{"b":2,"a":1}"#)));
        assert!(!json(r#"{"a":1}"#).equals(&json(r#"{"a":1,"b":2}"#)));
    }

    #[test]
    fn a_path_walks_members_and_indices_from_both_ends() {
        let value = json(r#"{"a":[{"b":1},{"b":2}],"1":"one"}"#);
        let at = |path: &str| value.lookup(&Json::string(path)).cloned();
        assert_eq!(at("a.0.b"), Some(json("1")));
        assert_eq!(at("a.-1.b"), Some(json("2")));
        assert_eq!(at("1"), Some(json("\"one\"")));
        assert_eq!(at("a.2"), None);
        assert_eq!(at("a.-3"), None);
        assert_eq!(at("a.+0"), None);
        assert_eq!(at(""), None);
        assert_eq!(value.lookup(&json(r#"["a",1,"b"]"#)), Some(&json("2")));
    }
}
