use serde_json::Value;

/// What Hydra says about a token (RFC 7662, section 2.2).
///
/// Only [`active`](Self::active) is certain; whoever lets a caller in looks at
/// [`is_access_token`](Self::is_access_token), `sub` and `exp` as well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Introspection {
    /// Whether the token is good. If not, nothing else is known.
    pub active: bool,
    /// Whom it stands for.
    pub sub: Option<String>,
    /// The client that it was given to. An agent's is its DID.
    pub client_id: Option<String>,
    /// What it allows.
    pub scopes: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub exp: Option<i64>,
    /// When it was given, in seconds since 1970.
    pub iat: Option<i64>,
    /// From when it is good, in seconds since 1970.
    pub nbf: Option<i64>,
    /// Whom it is for. Empty if it is for anyone.
    pub aud: Vec<String>,
    /// Who gave it.
    pub iss: Option<String>,
    /// How it is presented: `Bearer`.
    pub token_type: Option<String>,
    /// `access_token` or `refresh_token`; servers other than Hydra do not say.
    pub token_use: Option<String>,
    /// The name of a human.
    pub username: Option<String>,
    /// What the login or consent application added.
    pub ext: Option<Value>,
}

impl Introspection {
    /// Reads an introspection response. Members of a wrong type count as absent.
    ///
    /// ```
    /// use bindu_hydra::Introspection;
    /// use serde_json::json;
    ///
    /// let found = Introspection::from_json(&json!({
    ///     "active": true, "sub": "ann", "scope": "agent:read agent:write", "exp": 1_800_000_000,
    /// }));
    /// assert_eq!(found.scopes, ["agent:read", "agent:write"]);
    /// assert_eq!(Introspection::from_json(&json!({ "active": false })), Introspection::default());
    /// ```
    #[must_use]
    pub fn from_json(body: &Value) -> Self {
        if body.get("active") != Some(&Value::Bool(true)) {
            return Self::default();
        }
        let text = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let owned = |name| text(name).map(str::to_owned);
        Self {
            active: true,
            sub: owned("sub"),
            client_id: owned("client_id"),
            scopes: text("scope")
                .unwrap_or_default()
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            exp: seconds(body.get("exp")),
            iat: seconds(body.get("iat")),
            nbf: seconds(body.get("nbf")),
            aud: audience(body.get("aud")),
            iss: owned("iss"),
            token_type: owned("token_type"),
            token_use: owned("token_use"),
            username: owned("username"),
            ext: body.get("ext").filter(|ext| !ext.is_null()).cloned(),
        }
    }

    /// Whether the token may be used as a bearer token: it is active, and it is not said to
    /// be something else than an access token.
    #[must_use]
    pub fn is_access_token(&self) -> bool {
        self.active && self.token_use.as_deref().is_none_or(|kind| kind == "access_token")
    }

    /// Whether the token was given to the caller itself rather than on behalf of a human.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.client_id.is_some() && self.client_id == self.sub
    }

    /// Whether it carries any of these scopes.
    pub fn has_any_scope<S: AsRef<str>>(&self, scopes: &[S]) -> bool {
        scopes.iter().any(|wanted| self.scopes.iter().any(|scope| scope == wanted.as_ref()))
    }
}

/// Seconds; of a fraction the whole part. Out of range counts as absent.
fn seconds(value: Option<&Value>) -> Option<i64> {
    let value = value?;
    value.as_i64().or_else(|| {
        let whole = value.as_f64()?.floor();
        // Nearer to zero than 2^53, where every whole number is exact.
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        (whole.abs() < 9_007_199_254_740_992.0).then_some(whole as i64)
    })
}

/// One audience or several (RFC 7519, section 4.1.3).
fn audience(value: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match value {
        Some(Value::Array(all)) => all.iter().filter_map(text).collect(),
        Some(one) => text(one).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn members_of_a_wrong_type_count_as_absent() {
        let read = |name: &str, value: &Value| {
            Introspection::from_json(&json!({ "active": true, name: value }))
        };
        let bare = read("x", &Value::Null);
        for wrong in [json!(7), json!(""), json!(null), json!({}), json!([1])] {
            for name in ["sub", "client_id", "scope", "aud", "token_use", "username"] {
                assert_eq!(read(name, &wrong), bare, "{name}: {wrong}");
            }
        }
        for wrong in [json!("1800000000"), json!(1e300), json!(u64::MAX), json!(true)] {
            assert_eq!(read("exp", &wrong), bare, "{wrong}");
        }
        assert_eq!(read("exp", &json!(1_800_000_000.9)).exp, Some(1_800_000_000));
        assert_eq!(read("aud", &json!("one")).aud, ["one"]);
        assert_eq!(read("aud", &json!(["one", 2, "three"])).aud, ["one", "three"]);
    }

    #[test]
    fn only_an_active_access_token_is_one() {
        let read = |body: Value| Introspection::from_json(&body).is_access_token();
        assert!(read(json!({ "active": true })));
        assert!(read(json!({ "active": true, "token_use": "access_token" })));
        assert!(!read(json!({ "active": true, "token_use": "refresh_token" })));
        assert!(!read(json!({ "active": true, "token_use": "id_token" })));
        for inactive in [json!(false), json!("true"), json!(1), json!(null)] {
            assert!(!read(json!({ "active": inactive, "token_use": "access_token" })));
        }
    }

    #[test]
    fn a_machine_stands_for_itself() {
        let read = |body: Value| Introspection::from_json(&body).is_machine();
        assert!(read(json!({ "active": true, "client_id": "a", "sub": "a" })));
        assert!(!read(json!({ "active": true, "client_id": "a", "sub": "ann" })));
        assert!(!read(json!({ "active": true })));
    }

    proptest! {
        #[test]
        fn scopes_survive_the_way_they_are_written(
            scopes in prop::collection::vec("[!-~&&[^ ]]{1,12}", 0..6),
        ) {
            let body = json!({ "active": true, "scope": scopes.join(" ") });
            let found = Introspection::from_json(&body);
            prop_assert_eq!(&found.scopes, &scopes);
            prop_assert!(scopes.is_empty() || found.has_any_scope(&scopes[..1]));
            prop_assert!(!found.has_any_scope(&["not one of them"]));
        }
    }
}
