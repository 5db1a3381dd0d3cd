//! A Hydra and a step-ca that trusts it, both real.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use bindu_http::client::{Client, Tls};
use bytes::Bytes;
use http::{Request, StatusCode};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::{Machine, Server, gone_with, owned};

const DID: &str = "did:bindu:dev_at_example_com:my-agent:53cbcb43-82ef-8a50-ba7c-f79217d463de";

/// Both servers, and what speaks to them.
struct Locks {
    hydra: Server,
    step_ca: Server,
    http: Client,
    // They go before it does.
    postgres: Server,
}

impl Locks {
    fn start() -> Self {
        let machine = Machine::this();
        let postgres = Server::postgres(&machine).unwrap();
        let hydra = Server::hydra(&machine, postgres.url()).unwrap();
        let step_ca = Server::step_ca(&machine, &hydra.public_url().unwrap()).unwrap();
        let root = fs::read(step_ca.root_file().unwrap()).unwrap();
        let tls = Tls::with_roots(&root, false).unwrap();
        let http = Client::builder().connector(Arc::new(tls)).build();
        Self { hydra, step_ca, http, postgres }
    }

    /// Registers a client that may have certificates.
    async fn register(&self) {
        let url = format!("{}/admin/clients", self.hydra.url());
        let client = json!({
            "client_id": DID,
            "client_secret": "a-secret",
            "grant_types": ["client_credentials"],
            "scope": "openid",
            "token_endpoint_auth_method": "client_secret_post",
            "audience": ["step-ca"],
            "access_token_strategy": "jwt",
        });
        let (status, answer) = self.post(url, "application/json", client.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
    }

    /// A token of that client, for step-ca.
    async fn token(&self) -> String {
        let url = format!("{}/oauth2/token", self.hydra.public_url().unwrap());
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret=a-secret&scope=openid\
             &audience=step-ca",
            DID.replace(':', "%3A")
        );
        let (status, answer) = self.post(url, "application/x-www-form-urlencoded", form).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks for a certificate that is valid for this long.
    async fn sign(&self, token: &str, valid: &str) -> (StatusCode, Value) {
        let request = CertificateParams::default();
        let request = request.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let url = format!("{}/1.0/sign", self.step_ca.url());
        let body = json!({ "csr": request.pem().unwrap(), "ott": token, "notAfter": valid });
        self.post(url, "application/json", body.to_string()).await
    }

    async fn post(&self, url: String, kind: &str, body: String) -> (StatusCode, Value) {
        let request = Request::post(url).header("content-type", kind);
        let answer = self.http.send(request.body(Bytes::from(body)).unwrap()).await.unwrap();
        (answer.status(), serde_json::from_slice(answer.body()).unwrap_or_default())
    }
}

#[tokio::test]
async fn step_ca_gives_certificates_for_tokens_of_its_hydra_and_both_come_back() {
    let mut locks = Locks::start();
    locks.register().await;
    // Of seconds, but of a day at most; and a token is good for one.
    let (status, answer) = locks.sign(&locks.token().await, "25h").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    let token = locks.token().await;
    let (status, answer) = locks.sign(&token, "10s").await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["certChain"].as_array().map(Vec::len), Some(2), "{answer}");
    let (status, answer) = locks.sign(&token, "24h").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");

    // The client is still known afterwards, the root still good, and both trust each other.
    let vars = (locks.hydra.vars(), locks.step_ca.vars());
    locks.hydra.kill().unwrap();
    locks.hydra.start().unwrap();
    locks.step_ca.restart().unwrap();
    // Those were connections to the processes before.
    locks.http.close_idle();
    assert_eq!((locks.hydra.vars(), locks.step_ca.vars()), vars);
    let (status, answer) = locks.sign(&locks.token().await, "24h").await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let names: Vec<_> = vars.0.iter().chain(&vars.1).map(|(name, _)| *name).collect();
    let expected = ["HYDRA__ADMIN_URL", "HYDRA__PUBLIC_URL", "MTLS__CA_URL", "MTLS__CA_ROOT_FILE"];
    assert_eq!(names, expected);
    assert_eq!((locks.postgres.public_url(), locks.postgres.root_file()), (None, None));
}

/// The command that makes a database of the name that a Hydra has; fails while there is one.
struct Make(Command);

impl Make {
    fn like(hydra: &std::path::Path, postgres: &Server) -> Self {
        let end = fs::read_to_string(hydra.join("end")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &end.replace("drop-database", "create-database")]);
        command.env("SERVER", postgres.url());
        Self(command)
    }

    fn succeeds(&mut self) -> bool {
        self.0.output().unwrap().status.success()
    }
}

#[test]
fn the_database_of_a_hydra_goes_with_it_and_not_before() {
    let machine = Machine::this();
    let postgres = Server::postgres(&machine).unwrap();
    let mut hydra = Server::hydra(&machine, postgres.url()).unwrap();
    let mut make = Make::like(hydra.directory(), &postgres);
    hydra.stop().unwrap();
    assert!(!make.succeeds(), "it is there while the server is to come back");
    drop(hydra);
    assert!(make.succeeds(), "it is gone");

    let hydra = Server::hydra(&machine, postgres.url()).unwrap();
    let mut make = Make::like(hydra.directory(), &postgres);
    let left = hydra.leave();
    assert!(left.is_running() && !make.succeeds());
    left.stop().unwrap();
    assert!(make.succeeds());

    let owner = "locks::start_a_hydra_and_wait_to_be_killed";
    let (owner, left) = owned(owner, postgres.url());
    let mut make = Make::like(&left.directory, &postgres);
    assert!(left.is_running() && !make.succeeds());
    gone_with(owner, &left);
    assert!(make.succeeds());
}

/// Run by the test above in a process of its own, where it is killed; by itself it ends at once.
#[test]
fn start_a_hydra_and_wait_to_be_killed() {
    #[expect(clippy::disallowed_methods, reason = "how the test above speaks to this one")]
    if let Ok(postgres) = std::env::var("WAIT_TO_BE_KILLED") {
        let hydra = Server::hydra(&Machine::this(), &postgres).unwrap();
        println!("\nhydra {} {}", hydra.pid().unwrap(), hydra.directory().display());
        loop {
            thread::park();
        }
    }
}

#[test]
fn a_postgres_that_is_not_there_is_no_place_for_a_hydra() {
    // Port 9 of a machine throws away what it gets, if anything.
    let nowhere = "postgres://postgres@127.0.0.1:9/postgres";
    let refused = Server::hydra(&Machine::this(), nowhere).unwrap_err().to_string();
    assert!(refused.starts_with("Hydra did not start"), "{refused}");
    let refused = Server::hydra(&Machine::this(), "no address").unwrap_err().to_string();
    assert!(refused.contains("reading the address of a Postgres"), "{refused}");
}
