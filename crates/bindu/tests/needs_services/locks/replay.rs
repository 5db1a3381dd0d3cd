//! Replicas accept a signature once between them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindu_did::request;
use bindu_http::client::Client as Http;
use bindu_hydra::{Config, CredentialsFile, Hydra};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::super::{given, identity, replica};
use super::{Ground, Home, echo};
use crate::caller::{Result, message};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_accepted_another_refuses() -> Result {
    let ground = Ground::shared();
    let (database, redis) = (given("DATABASE_URL"), given("REDIS_URL"));
    let caller = Home::new("caller")?;
    let calling = caller.start(&ground.settings()).await?;
    let who = calling.identity();
    let file = CredentialsFile::at(caller.keys().join("oauth_credentials.json"));
    let credentials = file.load(who.did().as_str())?.ok_or("the caller is registered")?;
    let hydra =
        Hydra::new(&Config::new(ground.admin.parse()?, ground.public.parse()?), Http::default())?;
    let scopes = ["agent:read", "agent:write"];
    let token =
        hydra.token(&credentials.client_id, &credentials.client_secret, &scopes, None).await?;
    let bearer = format!("Bearer {}", token.access_token.reveal());

    for queue in ["postgres", "redis"] {
        let shared = identity("replica")?;
        let mut settings = ground.settings();
        settings.extend([
            ("STORAGE_TYPE", "postgres"),
            ("DATABASE_URL", database.as_str()),
            ("SCHEDULER_TYPE", queue),
            ("REDIS_URL", redis.as_str()),
            // Two of them would take turns at the one client.
            ("HYDRA__AUTO_REGISTER_AGENTS", "false"),
        ]);
        let replicas =
            [replica(&shared, &settings, echo).await?, replica(&shared, &settings, echo).await?];
        let http = Http::default();
        let send = async |at: usize, body: &Value, now: i64| -> Result<StatusCode> {
            let body = body.to_string();
            let signed = request::sign(who.key(), who.did(), body.as_bytes(), now)?;
            let mut request = Request::post(replicas[at].url()).header("Authorization", &bearer);
            for (name, value) in signed.headers() {
                request = request.header(name, value);
            }
            Ok(http.send(request.body(Bytes::from(body))?).await?.status())
        };
        let call = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().cast_signed();

        let hello = call("message/send", message("once"));
        assert_eq!(send(0, &hello, now).await?, StatusCode::OK, "{queue}");
        for at in [0, 1] {
            assert_eq!(send(at, &hello, now).await?, StatusCode::FORBIDDEN, "{queue} {at}");
        }
        // A poll may repeat its bytes, and a new signature makes a new request.
        let poll = call("tasks/list", json!({}));
        for at in [0, 1, 0] {
            assert_eq!(send(at, &poll, now).await?, StatusCode::OK, "{queue} {at}");
        }
        assert_eq!(send(1, &hello, now - 1).await?, StatusCode::OK, "{queue}");
        for replica in replicas {
            replica.stop(Duration::ZERO).await;
        }
    }
    calling.stop(Duration::ZERO).await;
    Ok(())
}
