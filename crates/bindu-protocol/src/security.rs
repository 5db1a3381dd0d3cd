//! How callers prove who they are.

use serde::{Deserialize, Deserializer, Serialize};

use crate::JsonObject;
use crate::spelling::two_spellings;
use crate::wire::{missing, wire};

/// How a caller proves who it is; the wire's `type` tells which.
///
/// ```
/// # use bindu_protocol::SecurityScheme;
/// let scheme: SecurityScheme =
///     serde_json::from_str(r#"{"type": "http", "scheme": "bearer", "bearer_format": "JWT"}"#)?;
/// assert_eq!(
///     serde_json::to_string(&scheme)?,
///     r#"{"type":"http","scheme":"bearer","bearerFormat":"JWT"}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum SecurityScheme {
    /// An HTTP authentication scheme.
    #[serde(rename = "http")]
    Http {
        /// Such as `bearer`.
        scheme: String,
        /// Such as `JWT`.
        #[serde(skip_serializing_if = "Option::is_none")]
        bearer_format: Option<String>,
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A key that the agent gave out.
    #[serde(rename = "apiKey")]
    ApiKey {
        /// The parameter's or header's name.
        name: String,
        /// Where it goes. Written as `in`, A2A's spelling; the reference's is `in_`.
        #[serde(rename = "in")]
        location: ApiKeyLocation,
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// OAuth 2.0.
    #[serde(rename = "oauth2")]
    OAuth2 {
        /// The flows, by name; free-form.
        flows: JsonObject,
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// `OpenID` Connect.
    #[serde(rename = "openIdConnect")]
    OpenIdConnect {
        /// Where its configuration is.
        open_id_connect_url: String,
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A client certificate.
    #[serde(rename = "mutualTLS")]
    MutualTls {
        /// For people.
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
}

/// Where an API key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyLocation {
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In a cookie.
    Cookie,
}

/// How a webhook wants to be signed in to, in A2A's form.
///
/// What a [`PushConfig`](crate::PushConfig) holds is free-form; this and [`SecurityScheme`] are the
/// two forms it is known to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "camelCase")]
pub struct PushAuthentication {
    /// Names of HTTP authentication schemes, such as `Bearer`.
    pub schemes: Vec<String>,
    /// What to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

two_spellings!(PushAuthentication);

#[derive(Deserialize)]
pub(crate) enum Type {
    #[serde(rename = "http")]
    Http,
    #[serde(rename = "apiKey")]
    ApiKey,
    #[serde(rename = "oauth2")]
    OAuth2,
    #[serde(rename = "openIdConnect")]
    OpenIdConnect,
    #[serde(rename = "mutualTLS")]
    MutualTls,
}

wire! {
    SchemeWire {
        kind: Type = "type";
        scheme: String = "scheme";
        bearer_format: String = "bearerFormat" | "bearer_format";
        name: String = "name";
        location: ApiKeyLocation = "in" | "in_";
        flows: JsonObject = "flows";
        open_id_connect_url: String = "openIdConnectUrl" | "open_id_connect_url";
        description: String = "description";
    }
}

impl<'de> Deserialize<'de> for SecurityScheme {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = SchemeWire::deserialize(deserializer)?;
        let description = wire.description;
        Ok(match wire.kind.ok_or_else(|| missing("type"))? {
            Type::Http => Self::Http {
                scheme: wire.scheme.ok_or_else(|| missing("scheme"))?,
                bearer_format: wire.bearer_format,
                description,
            },
            Type::ApiKey => Self::ApiKey {
                name: wire.name.ok_or_else(|| missing("name"))?,
                location: wire.location.ok_or_else(|| missing("in"))?,
                description,
            },
            Type::OAuth2 => {
                Self::OAuth2 { flows: wire.flows.ok_or_else(|| missing("flows"))?, description }
            }
            Type::OpenIdConnect => Self::OpenIdConnect {
                open_id_connect_url: wire
                    .open_id_connect_url
                    .ok_or_else(|| missing("openIdConnectUrl"))?,
                description,
            },
            Type::MutualTls => Self::MutualTls { description },
        })
    }
}
