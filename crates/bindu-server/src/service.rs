//! The server put together: layers around routes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bindu_agent::skills::SkillSet;
use bindu_did::DidDocument;
use bindu_http::Body;
use bindu_protocol::AgentCard;
use bindu_tasks::Tasks;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jsonrpsee::core::server::Methods;
use tokio_util::sync::CancellationToken;
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{Service, ServiceBuilder};

use crate::access::Authenticator;
use crate::config::origins;
use crate::error_response::text;
use crate::health::Checks;
use crate::inbound::Inbound;
use crate::layers::access::AccessLayer;
use crate::layers::cors::CorsLayer;
use crate::layers::meter::MeterLayer;
use crate::metrics::Metrics;
use crate::routes::{Route, Router};
use crate::{BuildError, Config, Profile, Workers, methods, openapi};

/// Everything that routes share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) methods: Methods,
    pub(crate) skills: SkillSet,
    pub(crate) did: Option<DidDocument>,
    pub(crate) agent_id: Option<String>,
    /// The advertised address, for links.
    pub(crate) url: String,
    pub(crate) streaming: bool,
    pub(crate) card: RwLock<Card>,
    /// Whether callers sign in, and so may read the extended card.
    pub(crate) is_locked: bool,
    pub(crate) openapi: Bytes,
    pub(crate) checks: Checks,
    pub(crate) started: Instant,
    pub(crate) closing: CancellationToken,
}

/// The card as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub(crate) json: Bytes,
    pub(crate) tag: HeaderValue,
}

impl Card {
    fn of(card: &AgentCard) -> Result<Self, BuildError> {
        let json = serde_json::to_vec(card).map_err(BuildError::Card)?;
        Ok(Self { tag: tag(&json), json: Bytes::from(json) })
    }
}

/// Nobody has said yet who may call.
#[derive(Clone, Copy, Debug)]
pub struct Undecided;

/// It is decided who may call.
#[derive(Clone, Debug)]
pub struct Decided(Option<Arc<dyn Authenticator>>);

/// Puts a server together. It cannot be built before it is decided who may call.
#[derive(Debug)]
pub struct Builder<Access = Undecided> {
    profile: Profile,
    tasks: Tasks,
    workers: Arc<dyn Workers>,
    metrics: Arc<Metrics>,
    config: Config,
    access: Access,
}

impl Builder {
    /// Begins a server of an agent over its engine.
    #[must_use]
    pub fn new(
        profile: Profile,
        tasks: Tasks,
        workers: Arc<dyn Workers>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let config = Config::default();
        Self { profile, tasks, workers, metrics, config, access: Undecided }
    }

    /// Lets everybody call: every caller is anonymous, and anonymous callers share their tasks.
    #[must_use]
    pub fn dangerously_open(self) -> Builder<Decided> {
        self.decided(Decided(None))
    }

    /// Lets in whom an authenticator lets in.
    #[must_use]
    pub fn auth(self, authenticator: Arc<dyn Authenticator>) -> Builder<Decided> {
        self.decided(Decided(Some(authenticator)))
    }

    fn decided(self, access: Decided) -> Builder<Decided> {
        let Self { profile, tasks, workers, metrics, config, access: Undecided } = self;
        Builder { profile, tasks, workers, metrics, config, access }
    }
}

impl<Access> Builder<Access> {
    /// Sets how the server behaves.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }
}

impl Builder<Decided> {
    /// The server.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if the configuration or the card makes no sense.
    pub fn build(self) -> Result<AgentServer, BuildError> {
        let Self { mut profile, tasks, workers, metrics, config, access: Decided(authenticator) } =
            self;
        let origins = origins(&config)?;
        let url = profile.card.url.trim_end_matches('/').to_owned();
        profile.card.skills = profile.skills.iter().map(|skill| skill.card(&url)).collect();
        profile.card.supports_authenticated_extended_card = Some(authenticator.is_some());
        let router = Arc::new(Router::new());
        let shared = Arc::new(Shared {
            card: RwLock::new(Card::of(&profile.card)?),
            is_locked: authenticator.is_some(),
            openapi: Bytes::from(openapi::document(&profile.card).to_string()),
            agent_id: profile.card.id.clone(),
            streaming: profile.card.capabilities.streaming,
            skills: profile.skills,
            did: profile.did,
            url,
            methods: methods::table(),
            checks: Checks::default(),
            started: Instant::now(),
            closing: CancellationToken::new(),
            metrics: Arc::clone(&metrics),
            workers,
            tasks,
            config,
        });
        let innermost = Routes { shared: Arc::clone(&shared), router: Arc::clone(&router) };
        // Outermost first; see `layers` for what each does.
        let cors = (!origins.is_empty()).then(|| CorsLayer(origins.into()));
        let max_body = shared.config.max_body_bytes;
        let access = AccessLayer { authenticator, metrics: Arc::clone(&metrics), max_body };
        let service = ServiceBuilder::new()
            .layer(option_layer(cors))
            .layer(MeterLayer { metrics, router })
            .layer(access)
            .service(innermost);
        Ok(AgentServer { service: BoxCloneSyncService::new(service), shared })
    }
}

/// An entity tag of some bytes: the same for the same bytes.
fn tag(bytes: &[u8]) -> HeaderValue {
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, bytes);
    HeaderValue::try_from(format!("\"{}\"", id.simple())).expect("hex digits are visible text")
}

/// An agent as a service: requests in, responses out. Serve it with
/// [`bindu_http::server::Server`].
#[derive(Clone)]
pub struct AgentServer {
    service: BoxCloneSyncService<Request<Incoming>, Response<Body>, Infallible>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for AgentServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentServer").field("url", &self.shared.url).finish_non_exhaustive()
    }
}

impl AgentServer {
    /// Shows another card from now on, such as one with the fingerprint of a renewed certificate.
    /// Its skills and what it says of the extended card are those of the server.
    ///
    /// # Errors
    ///
    /// [`BuildError::Card`] if it cannot be written; the old one stays.
    pub fn set_card(&self, mut card: AgentCard) -> Result<(), BuildError> {
        let skills = self.shared.skills.iter();
        card.skills = skills.map(|skill| skill.card(&self.shared.url)).collect();
        card.supports_authenticated_extended_card = Some(self.shared.is_locked);
        let card = Card::of(&card)?;
        *self.shared.card.write().unwrap_or_else(PoisonError::into_inner) = card;
        Ok(())
    }

    /// Ends every stream with the present state of its task, as at the end of a drain.
    pub fn close_streams(&self) {
        self.shared.closing.cancel();
    }
}

impl Service<Request<Incoming>> for AgentServer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        self.service.call(request)
    }
}

/// The innermost service: finds the route and answers.
#[derive(Clone)]
struct Routes {
    shared: Arc<Shared>,
    router: Arc<Router>,
}

impl Service<Request<Inbound>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Inbound>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        let Some(found) = self.router.find(request.uri().path()) else {
            let response = self.unmatched(&request);
            return Box::pin(std::future::ready(Ok(response)));
        };
        if !found.entry.methods.contains(request.method()) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            let allow = HeaderValue::from_static(found.entry.allow);
            response.headers_mut().insert(header::ALLOW, allow);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let route = found.entry.route;
        if route == Route::Root && request.method() == Method::POST {
            return Box::pin(async move { Ok(shared.call(request).await) });
        }
        let segment = found.segment.map(str::to_owned);
        Box::pin(async move { Ok(shared.answer(route, segment.as_deref(), request).await) })
    }
}

impl Routes {
    /// A path that is no route: without its last slash it may be one.
    fn unmatched(&self, request: &Request<Inbound>) -> Response<Body> {
        let path = request.uri().path();
        let shorter = path.trim_end_matches('/');
        if path.ends_with('/') && !shorter.is_empty() && self.router.find(shorter).is_some() {
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            if let Ok(location) = HeaderValue::try_from(format!("{shorter}{query}")) {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
                response.headers_mut().insert(header::LOCATION, location);
                return response;
            }
        }
        text(StatusCode::NOT_FOUND, "Not Found")
    }
}

impl Shared {
    /// Answers every route but `POST /`.
    async fn answer(
        &self,
        route: Route,
        segment: Option<&str>,
        request: Request<Inbound>,
    ) -> Response<Body> {
        let segment = segment.unwrap_or_default();
        match route {
            Route::Root => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::FOUND;
                let card = HeaderValue::from_static(bindu_protocol::REFERENCE_CARD_PATH);
                response.headers_mut().insert(header::LOCATION, card);
                response
            }
            Route::Card | Route::ReferenceCard => self.card(request.headers()),
            Route::ResolveDid => self.resolve_did(request).await,
            Route::Skills => self.list_skills(),
            Route::Skill => self.skill(segment),
            Route::SkillDocumentation => self.skill_documentation(segment),
            Route::Health => self.health().await,
            Route::Ready => self.ready().await,
            Route::Metrics => self.show_metrics().await,
            Route::OpenApi => crate::error_response::bytes(
                StatusCode::OK,
                "application/json",
                self.openapi.clone(),
            ),
        }
    }

    async fn show_metrics(&self) -> Response<Body> {
        let shown = self.metrics.render(&self.tasks, &*self.workers).await;
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        let mut response = crate::error_response::bytes(StatusCode::OK, kind, Bytes::from(shown));
        let headers = response.headers_mut();
        let fresh = HeaderValue::from_static("no-cache, no-store, must-revalidate");
        headers.insert(header::CACHE_CONTROL, fresh);
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
        response
    }
}
