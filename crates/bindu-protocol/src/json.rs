//! Free-form JSON, kept as the text it came as.

use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// How deep arrays and objects may be nested in a request.
pub const MAX_DEPTH: usize = 128;

/// Any JSON value, kept as its text: verbatim out, and never parsed on the way.
///
/// Two are equal if they mean the same JSON, whatever their spacing and key order; values that
/// [`to_value`](Self::to_value) cannot hold are equal only if their texts are.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

/// A JSON object, kept as its text: `metadata`, `data` and the other free-form maps.
///
/// ```
/// # use bindu_protocol::JsonObject;
/// let map: JsonObject = serde_json::from_str(r#"{"b": 1, "a": [true]}"#)?;
/// assert_eq!(map.get("b"), Some(1.into()));
/// assert_eq!(serde_json::to_string(&map)?, r#"{"b": 1, "a": [true]}"#);
/// assert!(serde_json::from_str::<JsonObject>("[]").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct JsonObject(Json);

impl Json {
    /// Writes `value` as JSON.
    ///
    /// # Errors
    ///
    /// As [`serde_json::to_string`]: a map whose keys are no strings, or a `Serialize` that fails.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Reads the value into a type.
    ///
    /// # Errors
    ///
    /// As [`serde_json::from_str`]: the value has another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }

    /// The value as a tree; `null` if a tree cannot hold it: a number is too large (`1e999`), or it
    /// is nested deeper than [`MAX_DEPTH`].
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.parse().unwrap_or(Value::Null)
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }
}

impl JsonObject {
    /// The empty object, `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self::from(Map::new())
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether the object has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_str()[1..].trim_start().starts_with('}')
    }

    /// One member's value, if it is there and a tree can hold it. Looks through the whole object;
    /// for several members, take [`to_map`](Self::to_map).
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value> {
        let (_, value) = members(self.as_str()).into_iter().rfind(|(name, _)| name == key)?;
        serde_json::from_str(value.get()).ok()
    }

    /// The object as a map.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.0.parse().unwrap_or_default()
    }

    /// The object with one more member, or with another value of this one. The others stay as
    /// they are written, and where they are.
    ///
    /// ```
    /// # use bindu_protocol::JsonObject;
    /// let map: JsonObject = serde_json::from_str(r#"{"b": 1e999}"#)?;
    /// assert_eq!(map.with("a", 2).as_str(), r#"{"b": 1e999,"a":2}"#);
    /// assert_eq!(JsonObject::empty().with("a", 1).with("a", 2).as_str(), r#"{"a":2}"#);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    #[must_use]
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Self {
        let kept = self.without(key);
        let head = kept.as_str().trim_end().strip_suffix('}').unwrap_or("{").trim_end();
        let comma = if kept.is_empty() { "" } else { "," };
        let key = Value::from(key);
        let text = format!("{head}{comma}{key}:{}}}", value.into());
        Self(Json(RawValue::from_string(text).unwrap_or(kept.0.0)))
    }

    /// The object without this member. The others stay as they are written.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        let members: Vec<(String, &RawValue)> = members(self.as_str());
        if members.iter().all(|(name, _)| name != key) {
            return self.clone();
        }
        let rest: Vec<String> = members
            .into_iter()
            .filter(|(name, _)| name != key)
            .map(|(name, value)| format!("{}:{}", Value::from(name), value.get()))
            .collect();
        let text = format!("{{{}}}", rest.join(","));
        RawValue::from_string(text).map_or_else(|_| self.clone(), |raw| Self(Json(raw)))
    }

    /// Reads the object into a type.
    ///
    /// # Errors
    ///
    /// As [`serde_json::from_str`]: the object has another shape.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.0.parse()
    }

    /// The same object as a [`Json`] value.
    #[must_use]
    pub fn into_json(self) -> Json {
        self.0
    }
}

impl From<Map<String, Value>> for JsonObject {
    fn from(map: Map<String, Value>) -> Self {
        Self(Json::from(Value::Object(map)))
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        // A tree always prints, and what it prints is JSON.
        let text = value.to_string();
        Self(RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }
}

impl TryFrom<Json> for JsonObject {
    type Error = Json;

    fn try_from(json: Json) -> Result<Self, Json> {
        if json.is_object() { Ok(Self(json)) } else { Err(json) }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        // What cannot be read equals nothing but itself, not whatever else cannot be read.
        self.as_str() == other.as_str()
            || matches!((self.parse::<Value>(), other.parse::<Value>()), (Ok(a), Ok(b)) if a == b)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

impl Serialize for JsonObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::try_from(json).map_err(|_| serde::de::Error::custom("expected an object"))
    }
}

/// The members of an object in their order, each value as its text.
fn members(object: &str) -> Vec<(String, &RawValue)> {
    struct Members<'a>(Vec<(String, &'a RawValue)>);

    impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(MembersVisitor)
        }
    }

    struct MembersVisitor;

    impl<'de> Visitor<'de> for MembersVisitor {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(Members(members))
        }
    }

    serde_json::from_str(object).map(|Members(members)| members).unwrap_or_default()
}

/// Whether JSON text nests arrays and objects deeper than `limit`.
///
/// Looks at brackets outside strings only, so that it can run before any parser sees the text.
///
/// ```
/// # use bindu_protocol::is_nested_deeper;
/// assert!(!is_nested_deeper(br#"{"a": ["]]]", {}]}"#, 3));
/// assert!(is_nested_deeper(b"[[[[", 3));
/// ```
#[must_use]
pub fn is_nested_deeper(text: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
