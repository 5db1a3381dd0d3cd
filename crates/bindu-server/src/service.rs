//! The server put together: layers around routes.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bindu_agent::negotiation::{self, Negotiator};
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
use crate::negotiation::{Desk, Negotiation};
use crate::payment::{self, PaymentGate, PaymentRoute};
use crate::private::Private;
use crate::routes::{Route, Router};
use crate::{BuildError, Config, Profile, Workers, methods, openapi};

/// Everything that routes share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
    pub(crate) workers: Arc<dyn Workers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) methods: Methods,
    /// Who decides what a message costs; without it, nothing does.
    pub(crate) payments: Option<Arc<dyn PaymentGate>>,
    pub(crate) skills: SkillSet,
    pub(crate) private: Option<Private>,
    pub(crate) negotiation: Desk,
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
    /// What was written.
    pub(crate) source: Arc<AgentCard>,
}

impl Card {
    fn of(card: AgentCard) -> Result<Self, BuildError> {
        let json = serde_json::to_vec(&card).map_err(BuildError::Card)?;
        Ok(Self { tag: tag(&json), json: Bytes::from(json), source: Arc::new(card) })
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
    payments: Option<Arc<dyn PaymentGate>>,
    beside: Beside,
    access: Access,
}

/// What an agent may have beside its tasks.
#[derive(Debug, Default)]
struct Beside {
    private: Option<Private>,
    negotiation: Option<Negotiation>,
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
        let (payments, beside) = (None, Beside::default());
        Self { profile, tasks, workers, metrics, config, payments, beside, access: Undecided }
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
        let Self { profile, tasks, workers, metrics, config, payments, beside, access: Undecided } =
            self;
        Builder { profile, tasks, workers, metrics, config, payments, beside, access }
    }
}

impl<Access> Builder<Access> {
    /// Sets how the server behaves.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Shows some skills to some callers only. Without it, the private routes say that there is
    /// nothing.
    #[must_use]
    pub fn private(mut self, private: Option<Private>) -> Self {
        self.beside.private = private;
        self
    }

    /// Judges tasks that the agent is asked to bid for in this way. By default, by the words of the
    /// profile's skills, and for free.
    #[must_use]
    pub fn negotiation(mut self, negotiation: Negotiation) -> Self {
        self.beside.negotiation = Some(negotiation);
        self
    }

    /// Asks a gate what messages cost. Without one, they cost nothing, and the routes of payments
    /// are not there.
    #[must_use]
    pub fn payments(mut self, gate: Option<Arc<dyn PaymentGate>>) -> Self {
        self.payments = gate;
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
        let Self { mut profile, tasks, workers, metrics, config, payments, beside, access } = self;
        let Decided(authenticator) = access;
        let Beside { private, negotiation } = beside;
        if let Some(private) = &private
            && let Some(twice) = private.skills.iter().find(|skill| profile.skills.has(&skill.id))
        {
            return Err(BuildError::DuplicateSkill(twice.id.clone()));
        }
        let negotiation = negotiation.unwrap_or_else(|| {
            Negotiation::new(Negotiator::new(&profile.skills, negotiation::Config::default()))
        });
        let origins = origins(&config)?;
        let url = profile.card.url.trim_end_matches('/').to_owned();
        profile.card.skills = profile.skills.iter().map(|skill| skill.card(&url)).collect();
        profile.card.supports_authenticated_extended_card = Some(authenticator.is_some());
        let router = Arc::new(Router::new());
        let shared = Arc::new(Shared {
            is_locked: authenticator.is_some(),
            openapi: Bytes::from(openapi::document(&profile.card, payments.is_some()).to_string()),
            agent_id: profile.card.id.clone(),
            streaming: profile.card.capabilities.streaming,
            card: RwLock::new(Card::of(profile.card)?),
            private,
            negotiation: Desk::new(negotiation),
            skills: profile.skills,
            did: profile.did,
            url,
            methods: methods::table(),
            payments,
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
        let card = Card::of(card)?;
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

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The innermost service: finds the route and answers.
#[derive(Clone)]
struct Routes {
    shared: Arc<Shared>,
    router: Arc<Router>,
}

impl Service<Request<Inbound>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Inbound>) -> Self::Future {
        let payments = self.shared.payments.as_deref();
        let echo = payments.and_then(|gate| payment::activated(gate, request.headers()));
        let Some(echo) = echo else { return self.route(request) };
        let answering = self.route(request);
        Box::pin(async move {
            let mut response = answering.await?;
            response.headers_mut().insert("x-a2a-extensions", echo);
            Ok(response)
        })
    }
}

impl Routes {
    fn route(&self, request: Request<Inbound>) -> Answering {
        let shared = Arc::clone(&self.shared);
        let found = self.router.find(request.uri().path());
        // Routes of payments are not there where nothing is paid for.
        let found = found.filter(|found| shared.payments.is_some() || !found.entry.route.is_paid());
        let Some(found) = found else {
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
            Route::PrivateCard | Route::PrivateSkill | Route::PrivateSkillDocumentation => {
                self.private(route, segment, &request)
            }
            Route::Negotiation => self.negotiate(request).await,
            Route::StartPayment => self.payment(PaymentRoute::Start, request).await,
            Route::CapturePayment => self.payment(PaymentRoute::Capture, request).await,
            Route::PaymentStatus => self.payment(PaymentRoute::Status(segment), request).await,
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

    async fn payment(&self, route: PaymentRoute<'_>, request: Request<Inbound>) -> Response<Body> {
        let (head, _) = request.into_parts();
        match &self.payments {
            Some(gate) => gate.serve(route, &head).await,
            None => text(StatusCode::NOT_FOUND, "Not Found"),
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
