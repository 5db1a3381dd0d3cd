//! What a core serves, over a registry whose agents only say that they are there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bindu_agent::AnyHandler;
use bindu_grpc::calls::{Callback, Secure};
use bindu_grpc::content::Transcriber;
use bindu_grpc::documents::{self, Documents};
use bindu_grpc::metrics::Metrics;
use bindu_grpc::registry::{self, Emptiness, Farewell, Hosted, Registrar, Registration, Registry};
use bindu_grpc::service::{self, ApiServer};
use bindu_http::server::{Config, Server, Shutdown};
use bindu_testkit::sdk::{Connection, Core};
use futures_util::StreamExt as _;
use prost::Message as _;
use serde_json::json;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha;

use crate::support::{Sdk, until};

/// Makes agents of nothing.
#[derive(Debug, Default)]
struct Names;

#[derive(Debug)]
struct Name(String);

impl Registrar for Names {
    type Agent = Name;

    fn agent_id(&self, registration: &Registration) -> Result<String, String> {
        let name = registration.config.get("name").and_then(|name| name.as_str());
        name.map(str::to_owned).ok_or_else(|| "a name is missing".to_owned())
    }

    fn check_callback(&self, _: &Callback) -> Result<(), String> {
        Ok(())
    }

    async fn start(
        &self,
        registration: Registration,
        _: AnyHandler,
        _: Option<&Name>,
    ) -> Result<Name, String> {
        if registration.config.contains_key("broken") {
            return Err("it does not start".to_owned());
        }
        self.agent_id(&registration).map(Name)
    }
}

impl Hosted for Name {
    fn did(&self) -> String {
        format!("did:bindu:ann:{}:1", self.0)
    }

    fn url(&self) -> String {
        "http://127.0.0.1:1".to_owned()
    }

    fn secure(&self) -> Option<Arc<dyn Secure>> {
        None
    }

    async fn stop(self, _: Duration, _: Farewell) {}
}

struct Ground {
    registry: Registry<Names>,
    core: Core,
    address: std::net::SocketAddr,
    _serving: tokio::task::JoinHandle<()>,
}

async fn ground() -> Ground {
    let metrics = Metrics::new();
    let content = Transcriber::new(Documents::new(documents::Config::default()));
    let registry = Registry::new(Names, registry::Config::default(), content, Arc::clone(&metrics));
    let config = service::Config::default();
    let api = ApiServer::new(registry.clone(), &config, metrics).await.unwrap();
    let server = Server::bind(Config::default(), "127.0.0.1:0").await.unwrap();
    let address = server.local_addr();
    let serving = tokio::spawn(async move {
        server.serve(api, Shutdown::new()).await;
    });
    Ground { registry, core: Core::at(address).await.unwrap(), address, _serving: serving }
}

#[tokio::test]
async fn reflection_tells_what_there_is_to_call() {
    let ground = ground().await;
    let mut client = ServerReflectionClient::new(Connection::open(ground.address).await.unwrap());
    let mut ask = async |question: MessageRequest| {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(question) };
        let asked = tokio_stream::once(request);
        let mut answers = client.server_reflection_info(asked).await.unwrap().into_inner();
        answers.next().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let names: Vec<_> = listed.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["bindu.grpc.BinduService", "bindu.grpc.AgentHandler", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // With what it describes, a call can be made without knowing the contract.
    let symbol = MessageRequest::FileContainingSymbol("bindu.grpc.BinduService".to_owned());
    let MessageResponse::FileDescriptorResponse(files) = ask(symbol).await else {
        panic!("no description");
    };
    let mut pool = prost_reflect::DescriptorPool::new();
    for file in &files.file_descriptor_proto {
        let file =
            prost_reflect::prost_types::FileDescriptorProto::decode(file.as_slice()).unwrap();
        pool.add_file_descriptor_proto(file).unwrap();
    }
    let service = pool.get_service_by_name("bindu.grpc.BinduService").unwrap();
    let methods: Vec<_> = service.methods().map(|method| method.name().to_owned()).collect();
    assert_eq!(methods, ["RegisterAgent", "Heartbeat", "UnregisterAgent"]);

    let connection = Connection::open(ground.address).await.unwrap();
    let mut old = v1alpha::server_reflection_client::ServerReflectionClient::new(connection);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = old.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    assert!(answers.into_inner().next().await.unwrap().is_ok());
}

#[tokio::test]
async fn the_standard_health_service_says_that_it_serves() {
    let ground = ground().await;
    let mut client = HealthClient::new(Connection::open(ground.address).await.unwrap());
    for service in ["", "bindu.grpc.BinduService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = client.check(Request::new(request)).await.unwrap().into_inner();
        assert_eq!(answer.status, 1, "{service:?}");
    }
    let unknown = HealthCheckRequest { service: "nobody".to_owned() };
    assert_eq!(client.check(Request::new(unknown)).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn bytes_that_are_no_message_and_methods_that_are_none_have_their_status() {
    use http_body_util::{BodyExt as _, Full};
    let ground = ground().await;
    let mut connection = Connection::open(ground.address).await.unwrap();
    let mut call = async |path: &str, body: &'static [u8]| {
        let request = http::Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(Full::new(bytes::Bytes::from_static(body))))
            .unwrap();
        let answer = tower::Service::call(&mut connection, request).await.unwrap();
        let (head, body) = answer.into_parts();
        let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
        let status = head.headers.get("grpc-status").or_else(|| trailers.get("grpc-status"));
        let status = status.cloned().unwrap();
        Code::from_bytes(status.as_bytes())
    };
    let noise = b"\0\0\0\0\x04\xff\xff\xff\xff";
    assert_eq!(call("/bindu.grpc.BinduService/RegisterAgent", noise).await, Code::Internal);
    let empty = b"\0\0\0\0\0";
    for path in ["/bindu.grpc.BinduService/Nothing", "/some.Thing/Else", "/", "/x"] {
        assert_eq!(call(path, empty).await, Code::Unimplemented, "{path}");
    }
    // 64 MiB are announced and never sent.
    let long = b"\0\x04\0\0\0";
    assert_eq!(call("/bindu.grpc.BinduService/RegisterAgent", long).await, Code::ResourceExhausted);
}

#[tokio::test]
async fn a_registry_says_whether_it_has_agents() {
    let ground = ground().await;
    let mut emptiness = ground.registry.emptiness();
    assert_eq!(*emptiness.borrow_and_update(), Emptiness::Idle);
    let sdk = Sdk::start().await;
    let callback = sdk.address().to_string();
    let broken = json!({ "name": "a", "broken": true });
    let refused = ground.core.register(&broken, &callback).await.unwrap();
    assert_eq!(refused.error, "Registration failed: it does not start");
    assert!(!ground.core.heartbeat("a").await.unwrap().acknowledged);
    assert!(!emptiness.has_changed().unwrap());

    let good = ground.core.register(&json!({ "name": "a" }), &callback).await.unwrap();
    assert!(good.success && good.agent_id == "a", "{good:?}");
    assert_eq!(*emptiness.borrow_and_update(), Emptiness::Serving);
    // A configuration that does not start leaves the one before.
    assert!(!ground.core.register(&broken, &callback).await.unwrap().success);
    assert!(ground.core.heartbeat("a").await.unwrap().acknowledged);
    until("it is asked what it can do", || sdk.capabilities() == 1).await;

    assert!(ground.core.unregister("a", None).await.unwrap().success);
    assert_eq!(*emptiness.borrow_and_update(), Emptiness::Deserted);
    assert!(!ground.core.unregister("a", None).await.unwrap().success);
}

#[tokio::test]
async fn callbacks_that_are_no_addresses_are_named() {
    let ground = ground().await;
    let told: HashMap<_, _> =
        [("", "grpc_callback_address"), ("nowhere", "nowhere"), ("a:0", "a:0")]
            .into_iter()
            .collect();
    for (callback, word) in told {
        let answer = ground.core.register(&json!({ "name": "a" }), callback).await.unwrap();
        assert!(!answer.success && answer.error.contains(word), "{answer:?}");
    }
}
