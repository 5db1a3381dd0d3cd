//! How the text of a variable becomes a value.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use bindu_did::key_dir::DidSuffix;
use bindu_protocol::{DialectPolicy, TrustLevel};
use ipnet::IpNet;

use super::Secret;

/// A type that a variable can have.
pub(crate) trait Value: Sized {
    /// What may be written, for error messages and the documentation: "a whole number".
    const ALLOWED: &'static str;
    /// Whether the text must never be printed.
    const SECRET: bool = false;

    /// Reads the value of `SECTION__FIELD`.
    fn parse(text: &str) -> Option<Self>;

    /// Reads the value of a name without section, as the reference's older readers do.
    fn parse_flat(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    /// Whether this is a zero, for variables where zero means nothing.
    fn is_zero(&self) -> bool {
        false
    }

    /// Whether the text says that there is no value, for an `Option` of this type.
    fn says_none(text: &str) -> bool {
        text.trim().is_empty()
    }
}

impl Value for String {
    const ALLOWED: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn is_zero(&self) -> bool {
        self.trim().is_empty()
    }
}

impl Value for Secret {
    const ALLOWED: &'static str = "text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Value for PathBuf {
    const ALLOWED: &'static str = "a path";

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }

    fn is_zero(&self) -> bool {
        self.as_os_str().is_empty()
    }
}

impl Value for bool {
    const ALLOWED: &'static str = "true or false";

    fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
            "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
            _ => None,
        }
    }

    fn parse_flat(text: &str) -> Option<Self> {
        Some(matches!(text.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes"))
    }
}

macro_rules! numbers {
    ($($type:ty: $allowed:literal),+ $(,)?) => {$(
        impl Value for $type {
            const ALLOWED: &'static str = $allowed;

            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )+};
}

numbers! {
    u16: "a whole number from 0 to 65535",
    u32: "a whole number",
    u64: "a whole number",
    usize: "a whole number",
}

impl Value for f64 {
    const ALLOWED: &'static str = "a number, 0 or more";

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().filter(|number: &Self| number.is_finite() && *number >= 0.0)
    }
}

macro_rules! limits {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const ALLOWED: &'static str = "a whole number, or 0 for none";

            fn parse(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn says_none(text: &str) -> bool {
                matches!(text.trim(), "" | "0")
            }
        }
    )+};
}

limits!(NonZeroU32, NonZeroUsize);

impl Value for Duration {
    const ALLOWED: &'static str =
        "a time: seconds (`30`, `0.5`) or with a unit (`500ms`, `5m`, `24h`)";

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse() {
            Ok(seconds) => Self::try_from_secs_f64(seconds).ok(),
            Err(_) => humantime::parse_duration(text).ok(),
        }
    }

    fn is_zero(&self) -> bool {
        Self::is_zero(self)
    }

    fn says_none(text: &str) -> bool {
        text.trim().is_empty() || Self::parse(text).is_some_and(|time| time.is_zero())
    }
}

impl Value for DidSuffix {
    const ALLOWED: &'static str = "one of: auto, key, agent-id";

    /// `author_name` and `public_key` are the values of the older `DID__AGENT_ID_SOURCE`.
    fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Some(Self::Auto),
            "key" | "public_key" => Some(Self::Key),
            "agent-id" | "agent_id" | "author_name" => Some(Self::AgentId),
            _ => None,
        }
    }
}

impl Value for DialectPolicy {
    const ALLOWED: &'static str = "one of: auto, a2a, reference";

    fn parse(text: &str) -> Option<Self> {
        text.trim().to_ascii_lowercase().parse().ok()
    }
}

impl<T: Value> Value for Option<T> {
    const ALLOWED: &'static str = T::ALLOWED;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Option<Self> {
        if T::says_none(text) { Some(None) } else { T::parse(text).map(Some) }
    }

    fn parse_flat(text: &str) -> Option<Self> {
        if T::says_none(text) { Some(None) } else { T::parse_flat(text).map(Some) }
    }
}

impl Value for Vec<String> {
    const ALLOWED: &'static str = "a JSON list of strings, such as [\"a\",\"b\"]";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Value for Vec<IpNet> {
    const ALLOWED: &'static str = "a JSON list of networks, such as [\"10.0.0.0/8\",\"fd00::/8\"]";

    fn parse(text: &str) -> Option<Self> {
        let networks: Vec<String> = serde_json::from_str(text).ok()?;
        networks.iter().map(|network| network.parse().ok()).collect()
    }
}

/// Names to secrets, as headers are.
impl Value for BTreeMap<String, Secret> {
    const ALLOWED: &'static str = "a JSON object of strings, such as {\"name\":\"value\"}";
    const SECRET: bool = true;

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// Methods to the scopes that they need.
pub type Permissions = BTreeMap<String, Vec<String>>;

impl Value for Permissions {
    const ALLOWED: &'static str =
        "a JSON object of lists, such as {\"message/send\":[\"agent:write\"]}";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Value for BTreeMap<String, TrustLevel> {
    const ALLOWED: &'static str =
        "a JSON object of trust levels, such as {\"did:bindu:ann:echo:1\":\"operator\"}";

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Value for BTreeMap<String, serde_json::Value> {
    const ALLOWED: &'static str = "a JSON object of objects";

    fn parse(text: &str) -> Option<Self> {
        let map: Self = serde_json::from_str(text).ok()?;
        map.values().all(serde_json::Value::is_object).then_some(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        for (text, millis) in
            [("30", 30_000), ("0.5", 500), ("500ms", 500), (" 5m ", 300_000), ("24h", 86_400_000)]
        {
            assert_eq!(Duration::parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "soon", "-1", "1e400", "NaN", "5 parsecs"] {
            assert_eq!(Duration::parse(text), None, "{text}");
        }
        assert_eq!(Option::<Duration>::parse("0s"), Some(None));
        assert_eq!(Option::<Duration>::parse("x"), None);
    }

    #[test]
    fn bools_are_strict_with_a_section_and_lenient_without() {
        for text in ["1", "TRUE", "t", "Yes", "y", "on"] {
            assert_eq!(bool::parse(text), Some(true), "{text}");
        }
        for text in ["0", "False", "f", "NO", "n", "off"] {
            assert_eq!(bool::parse(text), Some(false), "{text}");
        }
        assert_eq!(bool::parse(""), None);
        assert_eq!(bool::parse("maybe"), None);
        assert_eq!(bool::parse_flat("Yes"), Some(true));
        assert_eq!(bool::parse_flat("on"), Some(false));
    }

    #[test]
    fn lists_and_maps_are_json() {
        assert_eq!(Vec::<String>::parse(r#"["a","b"]"#), Some(vec!["a".into(), "b".into()]));
        assert_eq!(Vec::<String>::parse("a,b"), None);
        assert_eq!(Vec::<IpNet>::parse(r#"["10.0.0.0/33"]"#), None);
        assert_eq!(BTreeMap::<String, Secret>::parse(r#"{"a":1}"#), None);
    }
}
