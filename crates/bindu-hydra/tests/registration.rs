//! Registering, coming back, and mending what differs.

use std::time::{Duration, SystemTime};

use bindu_did::SigningKey;
use bindu_hydra::{CredentialsFile, HydraError, Outcome, Registered, Registration, register};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{FakeHydra, Fault};

const DID: &str = "did:bindu:ann_at_example_com:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de";
const AGENT: &str = "53cbcb43-82ef-8a50-ba7c-f79217d463de";

struct Stage {
    fake: FakeHydra,
    dir: TempDir,
    what: Registration,
}

impl Stage {
    async fn set() -> Self {
        let key = SigningKey::from_seed(&[7; 32]).public_key();
        let did = DID.parse().expect("a DID");
        let agent_id = AGENT.parse().expect("a UUID");
        let what = Registration {
            url: Some("https://echo.example.com".to_owned()),
            ..Registration::new(did, agent_id, "echo", key)
        };
        let dir = tempfile::tempdir().expect("a directory");
        Self { fake: FakeHydra::start().await, dir, what }
    }

    fn file(&self) -> CredentialsFile {
        CredentialsFile::at(self.dir.path().join("oauth_credentials.json"))
    }

    async fn register(&self) -> Result<Registered, HydraError> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        register(&self.fake.hydra(), &self.what, &self.file(), now).await
    }

    fn client(&self) -> Value {
        self.fake.client(DID).expect("a client")
    }

    fn puts(&self) -> usize {
        self.fake.count(&Method::PUT, "/admin/clients/")
    }
}

fn mended(fields: &[&'static str]) -> Outcome {
    Outcome::Mended { fields: fields.to_vec() }
}

#[tokio::test]
async fn a_new_agent_is_registered_and_its_secret_kept() {
    let stage = Stage::set().await;
    let registered = stage.register().await.unwrap();
    assert_eq!((&registered.outcome, registered.verified), (&Outcome::Created, true));
    assert_eq!(stage.file().load(DID).unwrap(), Some(registered.credentials.clone()));
    assert_eq!(registered.credentials.created_at, "2026-01-02T03:04:05+00:00");

    let mut client = stage.client();
    assert_eq!(client["client_secret"], registered.credentials.client_secret.reveal());
    client["client_secret"] = json!("[secret]");
    insta::assert_json_snapshot!(client, @r#"
    {
      "client_id": "did:bindu:ann_at_example_com:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de",
      "client_name": "echo",
      "client_secret": "[secret]",
      "grant_types": [
        "client_credentials",
        "authorization_code",
        "refresh_token"
      ],
      "metadata": {
        "agent_id": "53cbcb43-82ef-8a50-ba7c-f79217d463de",
        "agent_url": "https://echo.example.com",
        "did": "did:bindu:ann_at_example_com:echo:53cbcb43-82ef-8a50-ba7c-f79217d463de",
        "hybrid_auth": true,
        "key_type": "Ed25519",
        "public_key": "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB",
        "registered_at": "2026-01-02T03:04:05+00:00",
        "verification_method": "Ed25519VerificationKey2020"
      },
      "response_types": [
        "code",
        "token"
      ],
      "scope": "openid offline agent:read agent:write",
      "token_endpoint_auth_method": "client_secret_post"
    }
    "#);
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let stage = Stage::set().await;
    let first = stage.register().await.unwrap();
    let before = stage.client();
    let again = stage.register().await.unwrap();
    assert_eq!((again.outcome, again.verified), (Outcome::Unchanged, true));
    assert_eq!(again.credentials, first.credentials);
    assert_eq!(stage.client(), before);
    assert_eq!(stage.puts(), 0);
}

#[tokio::test]
async fn turning_certificates_on_adds_audience_and_token_strategy() {
    let mut stage = Stage::set().await;
    let first = stage.register().await.unwrap();
    let mut client = stage.client();
    client["audience"] = json!(["theirs"]);
    client["contacts"] = json!(["ann@example.com"]);
    stage.fake.know_client(client);

    stage.what.audience = Some("step-ca".to_owned());
    stage.what.jwt_tokens = true;
    stage.what.url = Some("https://moved.example.com".to_owned());
    let again = stage.register().await.unwrap();
    let fields = ["audience", "access_token_strategy", "metadata.agent_url"];
    assert_eq!((again.outcome, again.verified), (mended(&fields), true));
    let client = stage.client();
    assert_eq!(client["audience"], json!(["theirs", "step-ca"]));
    assert_eq!(client["access_token_strategy"], "jwt");
    assert_eq!(client["metadata"]["agent_url"], "https://moved.example.com");
    assert_eq!(client["contacts"], json!(["ann@example.com"]));
    assert_eq!(client["client_secret"], first.credentials.client_secret.reveal());
    assert_eq!(stage.register().await.unwrap().outcome, Outcome::Unchanged);
}

#[tokio::test]
async fn a_lost_file_gives_the_client_a_new_secret() {
    let stage = Stage::set().await;
    let first = stage.register().await.unwrap();
    std::fs::remove_file(stage.file().path()).unwrap();
    let again = stage.register().await.unwrap();
    assert_eq!((again.outcome, again.verified), (mended(&["client_secret"]), true));
    assert_ne!(again.credentials.client_secret, first.credentials.client_secret);
    assert_eq!(stage.file().load(DID).unwrap(), Some(again.credentials));
}

#[tokio::test]
async fn a_secret_that_hydra_does_not_know_is_sent_again() {
    let stage = Stage::set().await;
    let first = stage.register().await.unwrap();
    let mut client = stage.client();
    client["client_secret"] = json!("rotated by an old version");
    stage.fake.know_client(client);
    let again = stage.register().await.unwrap();
    assert_eq!((again.outcome, again.verified), (mended(&["client_secret"]), true));
    assert_eq!(again.credentials, first.credentials);
}

#[tokio::test]
async fn a_hydra_that_lost_everything_gets_the_client_with_a_new_secret() {
    let stage = Stage::set().await;
    let first = stage.register().await.unwrap();
    stage.fake.forget_client(DID);
    let again = stage.register().await.unwrap();
    assert_eq!((&again.outcome, again.verified), (&Outcome::Created, true));
    assert_ne!(again.credentials.client_secret, first.credentials.client_secret);
}

#[tokio::test]
async fn another_key_is_refused_and_nothing_is_touched() {
    let mut stage = Stage::set().await;
    stage.register().await.unwrap();
    let before = (stage.client(), std::fs::read(stage.file().path()).unwrap());
    let ours = SigningKey::from_seed(&[8; 32]).public_key();
    stage.what.public_key = ours;
    let error = stage.register().await.unwrap_err();
    let HydraError::ForeignKey { ours: said, .. } = &error else { panic!("{error}") };
    assert_eq!(**said, *ours.to_base58());
    assert_eq!((stage.client(), std::fs::read(stage.file().path()).unwrap()), before);

    // Nor does it help to have no credentials.
    std::fs::remove_file(stage.file().path()).unwrap();
    assert!(matches!(stage.register().await, Err(HydraError::ForeignKey { .. })));
    assert_eq!(stage.client(), before.0);
    assert!(!stage.file().path().exists());

    stage.what.allow_key_change = true;
    let again = stage.register().await.unwrap();
    assert_eq!(again.outcome, mended(&["metadata.public_key", "client_secret"]));
    assert_eq!(stage.client()["metadata"]["public_key"], ours.to_base58());
}

#[tokio::test]
async fn a_did_that_another_takes_over_meanwhile_is_not_taken_back() {
    let stage = Stage::set().await;
    stage.register().await.unwrap();
    let mut client = stage.client();
    client["client_secret"] = json!("theirs");
    client["metadata"]["public_key"] = json!("theirs");

    let before = stage.fake.calls().len();
    stage.fake.hold();
    let (hydra, what, file) = (stage.fake.hydra(), stage.what.clone(), stage.file());
    let registering =
        tokio::spawn(async move { register(&hydra, &what, &file, SystemTime::now()).await });
    stage.fake.wait_for_calls(before + 1).await;
    stage.fake.let_out(1);
    stage.fake.wait_for_calls(before + 2).await;
    stage.fake.know_client(client.clone());
    stage.fake.let_out(1000);
    let error = registering.await.unwrap().unwrap_err();
    assert!(matches!(error, HydraError::ForeignKey { .. }), "{error}");
    assert_eq!(stage.client(), client);
}

#[tokio::test]
async fn a_registration_that_was_not_heard_of_is_found_again() {
    let stage = Stage::set().await;
    stage.fake.spoil("/admin/clients/", Fault::Status(500));
    // The client is made, the answer is lost; the second attempt meets it: 409.
    stage.fake.spoil("/admin/clients", Fault::Unheard);
    let registered = stage.register().await.unwrap();
    assert_eq!((registered.outcome, registered.verified), (Outcome::Created, true));
    assert_eq!(stage.client()["client_secret"], registered.credentials.client_secret.reveal());
}

#[tokio::test]
async fn a_crash_after_any_request_is_made_good_by_the_next_start() {
    // Without a crash there are three: look up, create, verify.
    for crash_at in 0..3 {
        let stage = Stage::set().await;
        stage.fake.hold();
        stage.fake.let_out(crash_at);
        let (hydra, what, file) = (stage.fake.hydra(), stage.what.clone(), stage.file());
        let crashing =
            tokio::spawn(async move { register(&hydra, &what, &file, SystemTime::now()).await });
        stage.fake.wait_for_calls(crash_at + 1).await;
        crashing.abort();
        assert!(crashing.await.unwrap_err().is_cancelled());
        stage.fake.let_out(1000);
        let registered = stage.register().await.unwrap();
        assert!(registered.verified, "{crash_at}");
        let secret = registered.credentials.client_secret.reveal().to_owned();
        assert_eq!(stage.client()["client_secret"], secret, "{crash_at}");
        assert_eq!(stage.file().load(DID).unwrap(), Some(registered.credentials), "{crash_at}");
    }
}

#[tokio::test]
async fn agents_that_share_a_file_end_with_one_secret() {
    let stage = Stage::set().await;
    let all = futures_util::future::join_all((0..8).map(|_| stage.register())).await;
    let mut created = 0;
    for registered in all {
        let registered = registered.unwrap();
        assert!(registered.verified);
        assert_eq!(stage.client()["client_secret"], registered.credentials.client_secret.reveal());
        created += usize::from(registered.outcome == Outcome::Created);
    }
    assert_eq!(created, 1);
}

#[tokio::test]
async fn a_secret_from_elsewhere_is_used_if_none_is_stored() {
    let mut stage = Stage::set().await;
    stage.what.client_secret = Some("derived from a seed".into());
    let first = stage.register().await.unwrap();
    assert_eq!(first.credentials.client_secret.reveal(), "derived from a seed");
    std::fs::remove_file(stage.file().path()).unwrap();
    let again = stage.register().await.unwrap();
    assert_eq!((&again.outcome, again.verified), (&Outcome::Unchanged, true));
    assert_eq!(stage.file().load(DID).unwrap(), Some(again.credentials));
}

#[tokio::test]
async fn if_only_the_public_api_is_away_the_agent_is_registered_unverified() {
    let stage = Stage::set().await;
    stage.fake.spoil_all("/oauth2/token", Fault::Status(503));
    let registered = stage.register().await.unwrap();
    assert_eq!((registered.outcome, registered.verified), (Outcome::Created, false));
}

#[tokio::test]
async fn if_hydra_is_away_nothing_is_written() {
    let stage = Stage::set().await;
    stage.fake.spoil_all("/", Fault::Status(503));
    assert!(stage.register().await.unwrap_err().is_unavailable());
    assert!(!stage.file().path().exists());
}

#[tokio::test]
async fn a_refused_registration_is_told_without_the_secret() {
    let stage = Stage::set().await;
    stage.fake.spoil("/admin/clients/", Fault::Status(404));
    stage.fake.spoil("/admin/clients", Fault::Status(400));
    let error = stage.register().await.unwrap_err();
    assert!(matches!(error, HydraError::Refused { status: 400, .. }), "{error}");
}
