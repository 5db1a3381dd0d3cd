//! Every route, by every method; and what is no route.

use bindu_server::{BuildError, Config};
use serde_json::Value;

use crate::served::{Result, Served};

/// Each route with the methods that it answers.
const ROUTES: [(&str, &[&str]); 15] = [
    ("/", &["GET", "HEAD", "POST"]),
    ("/.well-known/agent-card.json", &["GET", "HEAD", "OPTIONS"]),
    ("/.well-known/agent.json", &["GET", "HEAD", "OPTIONS"]),
    ("/did/resolve", &["GET", "HEAD", "POST"]),
    ("/agent/skills", &["GET", "HEAD"]),
    ("/agent/skills/naming", &["GET", "HEAD"]),
    ("/agent/skills/naming/documentation", &["GET", "HEAD"]),
    ("/agent/private.json", &["GET", "HEAD"]),
    ("/agent/private/skills/naming", &["GET", "HEAD"]),
    ("/agent/private/skills/naming/documentation", &["GET", "HEAD"]),
    ("/agent/negotiation", &["POST"]),
    ("/health", &["GET", "HEAD"]),
    ("/healthz", &["GET", "HEAD"]),
    ("/metrics", &["GET", "HEAD"]),
    ("/openapi.json", &["GET", "HEAD"]),
];

#[tokio::test]
async fn head_is_get_without_a_body() -> Result {
    let served = Served::start().await?;
    for (path, _) in ROUTES {
        let get = served.ask(&format!("GET {path}")).await?;
        let head = served.ask(&format!("HEAD {path}")).await?;
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert!(head.body.is_empty(), "{path}");
        assert!(get.headers.contains_key("date") && !get.headers.contains_key("server"));
    }
    Ok(())
}

#[tokio::test]
async fn another_method_is_told_what_there_is() -> Result {
    let served = Served::start().await?;
    for (path, methods) in ROUTES {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
            if methods.contains(&method) {
                continue;
            }
            let answer = served.ask(&format!("{method} {path}")).await?;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), methods.join(", "), "{method} {path}");
            assert_eq!(answer.text(), "Method Not Allowed");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_slash_too_many_leads_to_the_route() -> Result {
    let served = Served::start().await?;
    for (path, _) in &ROUTES[1..] {
        let answer = served.ask(&format!("GET {path}/?a=b%20c")).await?;
        assert_eq!(answer.status, 307, "{path}");
        assert!(answer.header("location").ends_with(&format!("{path}?a=b%20c")), "{path}");
    }
    let answer = served.post("POST /did/resolve/", b"{}").await?;
    assert_eq!(answer.status, 307);
    // Nobody is led away from here.
    for path in ["//evil.example/health/", "///", "//evil.example/%2e%2e/"] {
        let answer = served.ask(&format!("GET {path}")).await?;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_not_found() -> Result {
    let served = Served::start().await?;
    for path in ["/nope", "/docs", "/agent", "/agent/skills/a/b", "/.well-known", "/Health"] {
        for method in ["GET", "POST", "HEAD"] {
            let answer = served.ask(&format!("{method} {path}")).await?;
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        }
    }
    let answer = served.ask("GET /agent/skills/nothing").await?;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_i64()), (404, Some(-32030)));
    let answer = served.ask("GET /did/resolve?did=did:web:example.com").await?;
    assert_eq!(answer.status, 404);
    Ok(())
}

#[tokio::test]
async fn skills_are_found_by_id_and_by_name_in_either_spelling() -> Result {
    let served = Served::start().await?;
    for id in ["naming", "naming%20v1", "%6Eaming"] {
        let answer = served.ask(&format!("GET /agent/skills/{id}")).await?;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &Value::from("naming v1")), "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn the_root_leads_to_the_card() -> Result {
    let served = Served::start().await?;
    let answer = served.ask("GET /").await?;
    assert_eq!(answer.status, 302);
    let card = served.ask(&format!("GET {}", answer.header("location"))).await?;
    assert_eq!((card.status, &card.json()["name"]), (200, &Value::from("agent")));
    Ok(())
}

#[tokio::test]
async fn a_card_that_is_known_is_not_sent_again() -> Result {
    let served = Served::start().await?;
    let first = served.ask("GET /.well-known/agent-card.json").await?;
    let tag = first.header("etag").to_owned();
    assert!(first.header("cache-control").contains("max-age"));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let head = format!("GET /.well-known/agent-card.json\nIf-None-Match: {known}");
        let again = served.ask(&head).await?;
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), tag);
    }
    let other = served.ask("GET /.well-known/agent-card.json\nIf-None-Match: \"other\"").await?;
    assert_eq!((other.status, other.body), (200, first.body));
    Ok(())
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_method() -> Result {
    let served = Served::start().await?;
    let document = served.ask("GET /openapi.json").await?.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), ROUTES.len());
    for (path, methods) in ROUTES {
        let path = path.replace("naming", "{skill_id}");
        let operations = paths[&path].as_object().unwrap();
        for method in methods.iter().filter(|method| **method != "OPTIONS") {
            let operation = &operations[&method.to_ascii_lowercase()];
            assert!(operation["responses"].is_object(), "{method} {path}");
        }
    }
    let called: Vec<_> =
        document["components"]["schemas"]["Request"]["properties"]["method"]["enum"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
    for method in bindu_protocol::method::ALL {
        assert!(called.contains(method), "{method}");
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn readiness_ends_with_the_drain_and_liveness_does_not() -> Result {
    let served = Served::start().await?;
    for path in ["/health", "/healthz"] {
        let answer = served.ask(&format!("GET {path}")).await?;
        assert_eq!((answer.status, &answer.json()["ready"]), (200, &Value::Bool(true)), "{path}");
    }
    served.tasks.close();
    let ready = served.ask("GET /healthz").await?;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &Value::from("degraded")));
    let alive = served.ask("GET /health").await?;
    assert_eq!((alive.status, &alive.json()["ready"]), (200, &Value::Bool(false)));
    assert_eq!(served.ask("GET /metrics").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn pages_of_named_origins_may_call_and_others_may_not() -> Result {
    let origin = "https://app.example.com";
    let config = Config { cors_origins: vec![origin.to_owned()], ..Config::default() };
    let served = Served::with(config, bindu_tasks::Config::default(), "agent").await?;
    let asks = |origin: &str| {
        format!(
            "OPTIONS /\nOrigin: {origin}\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: content-type"
        )
    };
    let allowed = served.ask(&asks(origin)).await?;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), origin);
    assert_eq!(allowed.header("access-control-allow-credentials"), "true");
    assert_eq!(allowed.header("access-control-allow-headers"), "content-type");
    assert!(allowed.header("access-control-allow-methods").contains("POST"));
    for other in ["https://evil.example.com", "null", "https://app.example.com.evil", "*"] {
        let refused = served.ask(&asks(other)).await?;
        assert_eq!(refused.status, 400, "{other}");
        assert!(!refused.headers.contains_key("access-control-allow-origin"), "{other}");
        let answer = served.ask(&format!("GET /health\nOrigin: {other}")).await?;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{other}");
        assert_eq!(answer.header("vary"), "Origin");
    }
    let answer = served.ask(&format!("GET /health\nOrigin: {origin}")).await?;
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    // Without an origin nothing is said of it.
    let answer = served.ask("GET /health").await?;
    assert!(!answer.headers.keys().any(|name| name.starts_with("access-control")));
    Ok(())
}

#[tokio::test]
async fn origins_that_would_let_everybody_in_are_refused() -> Result {
    for origin in ["*", "null", "https://*", "example.com", "https://", "https://a/b", "file://"] {
        let config = Config { cors_origins: vec![origin.to_owned()], ..Config::default() };
        let built = Served::with(config, bindu_tasks::Config::default(), "agent").await;
        let Err(error) = built else { panic!("{origin} was taken") };
        assert!(error.downcast_ref::<BuildError>().is_some(), "{origin}: {error}");
    }
    Ok(())
}
