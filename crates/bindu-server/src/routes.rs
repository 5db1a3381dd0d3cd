//! Every route, once: for the router, for the labels of metrics and for the OpenAPI document.

use http::Method;

/// A route of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Root,
    Card,
    ReferenceCard,
    ResolveDid,
    Skills,
    Skill,
    SkillDocumentation,
    PrivateCard,
    PrivateSkill,
    PrivateSkillDocumentation,
    Negotiation,
    StartPayment,
    CapturePayment,
    PaymentStatus,
    Health,
    Ready,
    Metrics,
    OpenApi,
}

impl Route {
    /// Whether the route is there only where something is paid for.
    pub(crate) const fn is_paid(self) -> bool {
        matches!(self, Self::StartPayment | Self::CapturePayment | Self::PaymentStatus)
    }
}

/// What there is to know of a route.
pub(crate) struct Entry {
    pub(crate) route: Route,
    /// The path, with `{name}` where a segment varies.
    pub(crate) path: &'static str,
    /// What it answers; HEAD wherever GET is.
    pub(crate) methods: &'static [Method],
    /// `Allow`, for other methods.
    pub(crate) allow: &'static str,
    /// For the OpenAPI document.
    pub(crate) summary: &'static str,
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const GET_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
const CARD: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];

pub(crate) const ROUTES: &[Entry] = &[
    Entry {
        route: Route::Root,
        path: "/",
        methods: GET_POST,
        allow: "GET, HEAD, POST",
        summary: "A2A over JSON-RPC; GET leads to the card",
    },
    Entry {
        route: Route::Card,
        path: bindu_protocol::CARD_PATH,
        methods: CARD,
        allow: "GET, HEAD, OPTIONS",
        summary: "The agent's card",
    },
    Entry {
        route: Route::ReferenceCard,
        path: bindu_protocol::REFERENCE_CARD_PATH,
        methods: CARD,
        allow: "GET, HEAD, OPTIONS",
        summary: "The agent's card, at its older address",
    },
    Entry {
        route: Route::ResolveDid,
        path: "/did/resolve",
        methods: GET_POST,
        allow: "GET, HEAD, POST",
        summary: "The document of the agent's DID",
    },
    Entry {
        route: Route::Skills,
        path: "/agent/skills",
        methods: GET,
        allow: "GET, HEAD",
        summary: "The agent's skills in short",
    },
    Entry {
        route: Route::Skill,
        path: "/agent/skills/{skill_id}",
        methods: GET,
        allow: "GET, HEAD",
        summary: "All about one skill",
    },
    Entry {
        route: Route::SkillDocumentation,
        path: "/agent/skills/{skill_id}/documentation",
        methods: GET,
        allow: "GET, HEAD",
        summary: "The text of a skill's documentation",
    },
    Entry {
        route: Route::PrivateCard,
        path: "/agent/private.json",
        methods: GET,
        allow: "GET, HEAD",
        summary: "The agent's card with its private skills, for callers who may see them",
    },
    Entry {
        route: Route::PrivateSkill,
        path: "/agent/private/skills/{skill_id}",
        methods: GET,
        allow: "GET, HEAD",
        summary: "All about one private skill",
    },
    Entry {
        route: Route::PrivateSkillDocumentation,
        path: "/agent/private/skills/{skill_id}/documentation",
        methods: GET,
        allow: "GET, HEAD",
        summary: "The text of a private skill's documentation",
    },
    Entry {
        route: Route::Negotiation,
        path: "/agent/negotiation",
        methods: POST,
        allow: "POST",
        summary: "Whether the agent takes a task on, and how well it suits",
    },
    Entry {
        route: Route::StartPayment,
        path: "/api/start-payment-session",
        methods: POST,
        allow: "POST",
        summary: "Begins a payment in a browser",
    },
    Entry {
        route: Route::CapturePayment,
        path: "/payment-capture",
        methods: GET,
        allow: "GET, HEAD",
        summary: "The page on which a browser pays",
    },
    Entry {
        route: Route::PaymentStatus,
        path: "/api/payment-status/{session_id}",
        methods: GET,
        allow: "GET, HEAD",
        summary: "Where a payment in a browser stands",
    },
    Entry {
        route: Route::Health,
        path: "/health",
        methods: GET,
        allow: "GET, HEAD",
        summary: "Whether the process serves",
    },
    Entry {
        route: Route::Ready,
        path: "/healthz",
        methods: GET,
        allow: "GET, HEAD",
        summary: "Whether the agent can take work",
    },
    Entry {
        route: Route::Metrics,
        path: "/metrics",
        methods: GET,
        allow: "GET, HEAD",
        summary: "Counters in the Prometheus text format",
    },
    Entry {
        route: Route::OpenApi,
        path: "/openapi.json",
        methods: GET,
        allow: "GET, HEAD",
        summary: "This document",
    },
];

/// What metrics call a path that is no route.
pub(crate) const UNMATCHED: &str = "/:unmatched";

/// Finds routes by path.
#[derive(Clone, Debug)]
pub(crate) struct Router(matchit::Router<usize>);

/// A route that was found, and the varying segment as it was sent.
pub(crate) struct Found<'p> {
    pub(crate) entry: &'static Entry,
    pub(crate) index: usize,
    pub(crate) segment: Option<&'p str>,
}

impl Router {
    pub(crate) fn new() -> Self {
        let mut router = matchit::Router::new();
        for (index, entry) in ROUTES.iter().enumerate() {
            router.insert(entry.path, index).expect("the paths above are patterns and differ");
        }
        Self(router)
    }

    pub(crate) fn find<'p>(&self, path: &'p str) -> Option<Found<'p>> {
        // The busiest route by far needs no tree.
        if path == "/" {
            return Some(Found { entry: &ROUTES[0], index: 0, segment: None });
        }
        let found = self.0.at(path).ok()?;
        let segment = found.params.iter().next().map(|(_, segment)| segment);
        Some(Found { entry: &ROUTES[*found.value], index: *found.value, segment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_is_found_by_its_path() {
        let router = Router::new();
        for entry in ROUTES {
            let path = entry.path.replace("{skill_id}", "a%20b").replace("{session_id}", "s");
            let found = router.find(&path).unwrap();
            assert_eq!(found.entry.route, entry.route, "{path}");
            let allow: Vec<_> = entry.methods.iter().map(Method::as_str).collect();
            assert_eq!(entry.allow, allow.join(", "));
        }
        assert!(router.find("/nope").is_none());
        assert!(router.find("/agent/skills/a/b").is_none());
    }
}
