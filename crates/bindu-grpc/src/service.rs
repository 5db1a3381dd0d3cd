//! What a core serves over gRPC: `BinduService`, the health of the server, and reflection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Request as HttpRequest, Response as HttpResponse, header};
use serde_json::Value;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use crate::metrics::Metrics;
use crate::proto::bindu_service_server::{BinduService, BinduServiceServer};
use crate::proto::{
    FILE_DESCRIPTOR_SET, HeartbeatRequest, HeartbeatResponse, RegisterAgentRequest,
    RegisterAgentResponse, UnregisterAgentRequest, UnregisterAgentResponse,
};
use crate::registry::{Registrar, Registration, Registry};
use crate::skills;

/// Names one instance in the metadata of a call.
const CALLBACK: &str = "x-bindu-callback";

const GRPC_STATUS: &str = "grpc-status";

/// How [`ApiServer`] serves.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many registrations are worked on at once; more wait.
    pub concurrency: usize,
    /// The largest message, in bytes, that is taken or sent.
    pub max_message_bytes: usize,
    /// What SDKs have to show, in the metadata `authorization: Bearer …`, if anything.
    pub token: Option<Arc<str>>,
}

impl Default for Config {
    /// Ten registrations, 4 MiB, no token.
    fn default() -> Self {
        Self { concurrency: 10, max_message_bytes: 4 << 20, token: None }
    }
}

type Answer = HttpResponse<Body>;
type Boxed = BoxCloneSyncService<HttpRequest<Body>, Answer, Infallible>;

/// The gRPC side of a core, as a [`tower::Service`] for
/// [`bindu_http::server::Server`]: `bindu.grpc.BinduService`,
/// `grpc.health.v1.Health`, and server reflection, versions `v1` and `v1alpha`.
#[derive(Clone)]
pub struct ApiServer {
    bindu: Boxed,
    health: Boxed,
    reflection: Boxed,
    reflection_alpha: Boxed,
    metrics: Arc<Metrics>,
    token: Option<Arc<str>>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Serves a registry.
    ///
    /// # Errors
    ///
    /// The descriptors that reflection serves cannot be read, which a test rules out.
    pub async fn new<R: Registrar>(
        registry: Registry<R>,
        config: &Config,
        metrics: Arc<Metrics>,
    ) -> Result<Self, tonic_reflection::server::Error> {
        let api = Api { registry, turnstile: Arc::new(Semaphore::new(config.concurrency.max(1))) };
        let bindu = BinduServiceServer::new(api)
            .max_decoding_message_size(config.max_message_bytes)
            .max_encoding_message_size(config.max_message_bytes);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_serving::<BinduServiceServer<Api<R>>>().await;
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        Ok(Self {
            bindu: BoxCloneSyncService::new(bindu),
            health: BoxCloneSyncService::new(health),
            reflection: BoxCloneSyncService::new(describe().build_v1()?),
            reflection_alpha: BoxCloneSyncService::new(describe().build_v1alpha()?),
            metrics,
            token: config.token.clone(),
        })
    }

    async fn answer(self, request: HttpRequest<Body>) -> Answer {
        let path = request.uri().path();
        let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let Some((service, method)) = parts else {
            return Status::unimplemented("a path is /service/method").into_http();
        };
        match service {
            "bindu.grpc.BinduService" => {
                let method = known(method);
                let answer = if is_allowed(request.headers(), self.token.as_deref()) {
                    ask(self.bindu, request).await
                } else {
                    Status::unauthenticated(
                        "show the core's token in the metadata: authorization: Bearer <token>",
                    )
                    .into_http()
                };
                let answer = too_long(answer);
                self.metrics.served(method, code(answer.headers()));
                answer
            }
            "grpc.health.v1.Health" => ask(self.health, request).await,
            "grpc.reflection.v1.ServerReflection" => ask(self.reflection, request).await,
            "grpc.reflection.v1alpha.ServerReflection" => ask(self.reflection_alpha, request).await,
            _ => Status::unimplemented(format!("there is no service {service:?}")).into_http(),
        }
    }
}

async fn ask(service: Boxed, request: HttpRequest<Body>) -> Answer {
    match service.oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// The method as a label: a stranger does not choose it.
fn known(method: &str) -> &'static str {
    match method {
        "RegisterAgent" => "RegisterAgent",
        "Heartbeat" => "Heartbeat",
        "UnregisterAgent" => "UnregisterAgent",
        _ => "unknown",
    }
}

fn is_allowed(headers: &HeaderMap, token: Option<&str>) -> bool {
    let Some(token) = token else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| {
        let (scheme, given) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(given.trim())
    });
    given.is_some_and(|given| bindu_did::same_secret(given, token))
}

/// The status of an answer; one that has a body says it at the end, and is taken for good.
fn code(headers: &HeaderMap) -> Code {
    headers.get(GRPC_STATUS).map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}

/// A message over the limit is `RESOURCE_EXHAUSTED`, as in every other gRPC server. The library
/// calls it `OUT_OF_RANGE`, which nothing else here does.
fn too_long(mut answer: Answer) -> Answer {
    if code(answer.headers()) == Code::OutOfRange {
        let exhausted = HeaderValue::from(Code::ResourceExhausted as i32);
        answer.headers_mut().insert(GRPC_STATUS, exhausted);
    }
    answer
}

impl<B> Service<HttpRequest<B>> for ApiServer
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<bindu_http::BoxError>,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let (this, request) = (self.clone(), request.map(Body::new));
        Box::pin(async move { Ok(this.answer(request).await) })
    }
}

/// `BinduService` over a registry.
struct Api<R: Registrar> {
    registry: Registry<R>,
    /// Registrations that are worked on.
    turnstile: Arc<Semaphore>,
}

#[tonic::async_trait]
impl<R: Registrar> BinduService for Api<R> {
    async fn register_agent(
        &self,
        request: Request<RegisterAgentRequest>,
    ) -> Result<Response<RegisterAgentResponse>, Status> {
        // Whoever does not wait for its turn takes its request along.
        let turn = Arc::clone(&self.turnstile).acquire_owned().await;
        let registry = self.registry.clone();
        let request = request.into_inner();
        // A task of its own: an SDK that goes away does not leave half an agent.
        let registering = tokio::spawn(async move {
            let _turn = turn;
            register(&registry, request).await
        });
        let answer = registering.await.map_err(|error| {
            tracing::error!(%error, "a registration came to a bad end");
            Status::internal("the registration came to a bad end; the core's log says more")
        })?;
        Ok(Response::new(answer))
    }

    async fn heartbeat(
        &self,
        request: Request<HeartbeatRequest>,
    ) -> Result<Response<HeartbeatResponse>, Status> {
        let agent_id = request.into_inner().agent_id;
        let acknowledged = self.registry.heartbeat(&agent_id);
        if !acknowledged {
            tracing::warn!(
                agent = shown(&agent_id),
                "a heartbeat of an agent that is not registered"
            );
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let server_timestamp = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        Ok(Response::new(HeartbeatResponse { acknowledged, server_timestamp }))
    }

    async fn unregister_agent(
        &self,
        request: Request<UnregisterAgentRequest>,
    ) -> Result<Response<UnregisterAgentResponse>, Status> {
        let callback =
            match request.metadata().get(CALLBACK) {
                None => None,
                Some(value) => {
                    let text = value.to_str().map_err(|_| Status::invalid_argument(CALLBACK))?;
                    let callback = text.parse();
                    Some(callback.map_err(|error| {
                        Status::invalid_argument(format!("{CALLBACK}: {error}"))
                    })?)
                }
            };
        let registry = self.registry.clone();
        let agent_id = request.into_inner().agent_id;
        let ending =
            tokio::spawn(async move { registry.unregister(&agent_id, callback.as_ref()).await });
        let ended = ending.await.map_err(|error| Status::internal(error.to_string()))?;
        let answer = match ended {
            Ok(()) => UnregisterAgentResponse { success: true, error: String::new() },
            Err(error) => UnregisterAgentResponse { success: false, error },
        };
        Ok(Response::new(answer))
    }
}

async fn register<R: Registrar>(
    registry: &Registry<R>,
    request: RegisterAgentRequest,
) -> RegisterAgentResponse {
    let outcome = async {
        let RegisterAgentRequest { config_json, skills, grpc_callback_address } = request;
        let config: Value = serde_json::from_str(&config_json)
            .map_err(|error| format!("Invalid config_json: {error}"))?;
        let Value::Object(config) = config else {
            return Err(failed(&"config_json must be a JSON object"));
        };
        let skills = skills::read(skills).map_err(|error| failed(&error))?;
        let callback = grpc_callback_address
            .parse()
            .map_err(|error| failed(&format_args!("grpc_callback_address: {error}")))?;
        let registration = Registration { config, skills };
        registry.register(registration, callback).await.map_err(|error| failed(&error))
    };
    match outcome.await {
        Ok(registered) => RegisterAgentResponse {
            success: true,
            agent_id: registered.agent_id,
            did: registered.did,
            agent_url: registered.url,
            error: String::new(),
        },
        Err(error) => {
            tracing::warn!(error, "a registration was refused");
            RegisterAgentResponse { success: false, error, ..RegisterAgentResponse::default() }
        }
    }
}

fn failed(error: &dyn std::fmt::Display) -> String {
    format!("Registration failed: {error}")
}

/// The beginning of what somebody wrote, for a log.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
