//! The routes beside JSON-RPC: card, DID document, skills.

use std::sync::PoisonError;

use bindu_agent::skills::{Catalog, SkillSet};
use bindu_http::Body;
use bindu_protocol::{Code, RequestId, Response as RpcResponse, RpcError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::error_response::{bytes, json, unread};
use crate::inbound::Inbound;
use crate::service::Shared;

/// How long a card may be kept by whoever read it.
const CARD_CACHE: &str = "public, max-age=60";

impl Shared {
    /// The card, or 304 if the caller has it.
    pub(crate) fn card(&self, headers: &HeaderMap) -> Response<Body> {
        let card = self.card.read().unwrap_or_else(PoisonError::into_inner).clone();
        let has_it = headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| {
            let tags = tags.as_bytes();
            tags == b"*"
                || tags.split(|byte| *byte == b',').any(|tag| {
                    let tag = tag.trim_ascii();
                    tag.strip_prefix(b"W/").unwrap_or(tag) == card.tag.as_bytes()
                })
        });
        let mut response = if has_it {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            bytes(StatusCode::OK, "application/json", card.json)
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, card.tag);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(CARD_CACHE));
        response
    }

    /// `/did/resolve`, by query or by body.
    pub(crate) async fn resolve_did(&self, request: Request<Inbound>) -> Response<Body> {
        let asked = if request.method() == Method::POST {
            match request.into_body().read(self.config.max_rest_body_bytes).await {
                Ok(body) => match did_of(&body) {
                    Ok(did) => did,
                    Err((code, data)) => return refuse(StatusCode::BAD_REQUEST, code, data),
                },
                Err(error) => return unread(&error),
            }
        } else {
            query(request.uri(), "did")
        };
        let Some(asked) = asked.filter(|did| !did.is_empty()) else {
            let data = "Missing 'did' parameter";
            return refuse(StatusCode::BAD_REQUEST, Code::INVALID_PARAMS, data);
        };
        let document = self.did.as_ref().and_then(|document| document.resolve(&asked));
        document.map_or_else(
            || {
                let data = "this agent answers for its own DID only";
                refuse(StatusCode::NOT_FOUND, Code::INTERNAL, data)
            },
            |document| json(StatusCode::OK, document),
        )
    }

    pub(crate) fn list_skills(&self) -> Response<Body> {
        json(StatusCode::OK, &self.skills.listing(&self.url))
    }

    pub(crate) fn skill(&self, segment: &str) -> Response<Body> {
        skill(&self.skills, Catalog::Public, &self.url, segment)
    }

    pub(crate) fn skill_documentation(&self, segment: &str) -> Response<Body> {
        skill_documentation(&self.skills, segment)
    }
}

/// All about one skill of a catalogue, by its id or name as it stands in the path.
pub(crate) fn skill(
    skills: &SkillSet,
    catalog: Catalog,
    url: &str,
    segment: &str,
) -> Response<Body> {
    let id = percent_decode_str(segment).decode_utf8_lossy();
    match skills.find(&id) {
        Some(skill) => json(StatusCode::OK, &skill.detail_in(catalog, url)),
        None => no_skill(&format!("Skill not found: {id}")),
    }
}

/// The text of a skill's documentation.
pub(crate) fn skill_documentation(skills: &SkillSet, segment: &str) -> Response<Body> {
    let id = percent_decode_str(segment).decode_utf8_lossy();
    let Some(skill) = skills.find(&id) else {
        return no_skill(&format!("Skill not found: {id}"));
    };
    let Some(documentation) = &skill.source else {
        return no_skill(&format!("No documentation available for skill: {id}"));
    };
    let kind = documentation.format.media_type();
    bytes(StatusCode::OK, kind, Bytes::copy_from_slice(documentation.content.as_bytes()))
}

fn did_of(body: &[u8]) -> Result<Option<String>, (Code, &'static str)> {
    #[derive(Deserialize)]
    struct Asked {
        did: Option<String>,
    }
    serde_json::from_slice::<Asked>(body).map(|asked| asked.did).map_err(|error| {
        if error.is_data() {
            (Code::INVALID_PARAMS, "the body must be an object with a string member 'did'")
        } else {
            (Code::PARSE, "the body is not valid JSON")
        }
    })
}

/// One value of a query string, decoded.
pub(crate) fn query(uri: &Uri, name: &str) -> Option<String> {
    let value = uri.query()?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn refuse(status: StatusCode, code: Code, data: &str) -> Response<Body> {
    let error = RpcError::new(code).with_data(data);
    json(status, &RpcResponse::<()> { id: &RequestId::NULL, outcome: Err(&error) })
}

fn no_skill(message: &str) -> Response<Body> {
    let error = RpcError::new(Code::SKILL_NOT_FOUND).with_message(message.to_owned());
    let body = RpcResponse::<()> { id: &RequestId::NULL, outcome: Err(&error) };
    json(StatusCode::NOT_FOUND, &body)
}
