//! What only some callers may see: the private card, and the skills that stand on it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::PoisonError;

use bindu_agent::skills::{Catalog, SkillSet};
use bindu_http::Body;
use bindu_http::server::RemoteAddr;
use bindu_protocol::{AgentCard, Caller};
use http::{HeaderValue, Request, Response, StatusCode, header};

use crate::error_response::{complaint, json};
use crate::rest::{skill, skill_documentation};
use crate::routes::Route;
use crate::service::Shared;

/// What an agent shows to some callers only.
#[derive(Clone, Debug, Default)]
pub struct Private {
    /// Skills that stand on the private card, after those of the public one.
    pub skills: SkillSet,
    /// Who may see them: names of callers, which for agents are DIDs. They are compared byte by
    /// byte.
    pub allowed: HashSet<String>,
}

impl Shared {
    /// Answers a private route.
    pub(crate) fn private<B>(
        &self,
        route: Route,
        segment: &str,
        request: &Request<B>,
    ) -> Response<Body> {
        let caller = request.extensions().get::<Caller>();
        let caller = caller.and_then(|caller| caller.name.as_deref());
        let remote = request.extensions().get::<RemoteAddr>().map(|remote| remote.0.ip());
        let mut response = match self.admit(caller) {
            Ok(private) => {
                log(caller, remote, request.uri().path(), "allowed", "listed");
                match route {
                    Route::PrivateSkill => {
                        skill(&private.skills, Catalog::Private, &self.url, segment)
                    }
                    Route::PrivateSkillDocumentation => {
                        skill_documentation(&private.skills, segment)
                    }
                    _ => json(StatusCode::OK, &self.private_card(private)),
                }
            }
            Err(refused) => {
                log(caller, remote, request.uri().path(), "refused", refused.reason);
                complaint(refused.status, refused.message)
            }
        };
        // It is one caller's, and no cache on the way knows that.
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(header::CACHE_CONTROL, no_store);
        response
    }

    fn admit(&self, caller: Option<&str>) -> Result<&Private, Refused> {
        let private = self.private.as_ref().ok_or(NOT_THERE)?;
        let caller = caller.ok_or(NOBODY)?;
        if private.allowed.contains(caller) { Ok(private) } else { Err(NOT_LISTED) }
    }

    /// Made from the card as it is now, which changes with the certificate.
    fn private_card(&self, private: &Private) -> AgentCard {
        let public = self.card.read().unwrap_or_else(PoisonError::into_inner).source.clone();
        let mut card = AgentCard::clone(&public);
        let skills = private.skills.iter();
        card.skills.extend(skills.map(|skill| skill.card_in(Catalog::Private, &self.url)));
        card
    }
}

/// Why a caller sees nothing.
struct Refused {
    status: StatusCode,
    message: &'static str,
    /// For the log.
    reason: &'static str,
}

const NOT_THERE: Refused = Refused {
    status: StatusCode::NOT_FOUND,
    message: "Private skills not configured for this agent",
    reason: "not_configured",
};

const NOBODY: Refused = Refused {
    status: StatusCode::UNAUTHORIZED,
    message: "Authentication required for private agent card",
    reason: "not_authenticated",
};

const NOT_LISTED: Refused = Refused {
    status: StatusCode::FORBIDDEN,
    message: "DID not authorized for this agent's private skills",
    reason: "not_listed",
};

/// Every look at what is private is told to the operator.
fn log(
    caller: Option<&str>,
    remote: Option<IpAddr>,
    path: &str,
    result: &'static str,
    reason: &'static str,
) {
    tracing::info!(
        caller = caller.unwrap_or("nobody"),
        ip = remote.map(tracing::field::display),
        path,
        result,
        reason,
        "private catalog access"
    );
}
