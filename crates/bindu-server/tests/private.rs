//! What only some callers may see.

use std::sync::Arc;

use bindu_agent::skills::{Documentation, DocumentationFormat, Skill, SkillSet};
use bindu_protocol::{AgentCard, Caller, Denied};
use bindu_server::{Authenticator, BuildError, Claim, Grant, Private};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use serde_json::{Value, json};

use crate::served::{Result, Served};

const ANN: &str = "did:bindu:ann:a:1";

/// Believes the header field `x-caller`; without it, nobody calls, and everything is open.
#[derive(Debug)]
struct Credulous;

#[derive(Debug)]
struct Named(Caller);

impl Authenticator for Credulous {
    fn identify<'a>(
        &'a self,
        head: &'a Parts,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Claim>>, Denied>> {
        let name = head.headers.get("x-caller").and_then(|name| name.to_str().ok());
        let claim = name.map(|name| Box::new(Named(Caller::named(name))) as Box<dyn Claim>);
        Box::pin(std::future::ready(Ok(claim)))
    }
}

impl Claim for Named {
    fn max_body(&self) -> Option<usize> {
        None
    }

    fn verify(self: Box<Self>, _: Bytes) -> BoxFuture<'static, Result<Arc<dyn Grant>, Denied>> {
        Box::pin(std::future::ready(Ok(Arc::new(*self) as Arc<dyn Grant>)))
    }
}

impl Grant for Named {
    fn caller(&self) -> &Caller {
        &self.0
    }

    fn permit<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Denied>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

fn skill(id: &str) -> Result<Skill> {
    let mut skill =
        Skill::from_value(json!({"id": id, "name": "notes", "description": "Secret."}))?;
    skill.source = Some(Documentation {
        format: DocumentationFormat::Markdown,
        content: "# Notes".to_owned(),
    });
    Ok(skill)
}

fn private(id: &str) -> Result<Private> {
    Ok(Private { skills: SkillSet::new(vec![skill(id)?])?, allowed: [ANN.to_owned()].into() })
}

async fn locked(private: Option<Private>) -> Result<Served> {
    Served::built(bindu_tasks::Config::default(), "agent", |builder| {
        builder.auth(Arc::new(Credulous)).private(private)
    })
    .await
}

const PATHS: [&str; 3] = [
    "/agent/private.json",
    "/agent/private/skills/notes%20v1",
    "/agent/private/skills/notes/documentation",
];

#[tokio::test]
async fn whoever_is_not_listed_is_told_so_and_nothing_else() -> Result {
    let served = locked(Some(private("notes v1")?)).await?;
    let almost = [ANN.to_uppercase(), format!("{ANN}0"), ANN[..ANN.len() - 1].to_owned()];
    for path in PATHS {
        let stranger = served.ask(&format!("GET {path}")).await?;
        assert_eq!(
            (stranger.status, stranger.json()),
            (401, json!({"error": "Authentication required for private agent card"})),
        );
        for name in &almost {
            let other = served.ask(&format!("GET {path}\nX-Caller: {name}")).await?;
            assert_eq!(
                (other.status, other.json()),
                (403, json!({"error": "DID not authorized for this agent's private skills"})),
            );
            assert_eq!(other.header("cache-control"), "no-store");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_private_card_is_the_public_one_and_more() -> Result {
    let served = locked(Some(private("notes v1")?)).await?;
    let public = served.ask("GET /.well-known/agent.json").await?.json();
    let answer = served.ask(&format!("GET /agent/private.json\nX-Caller: {ANN}")).await?;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    let mut card = answer.json();
    let skills = card["skills"].as_array_mut().ok_or("skills")?;
    let secret = skills.pop().ok_or("two skills")?;
    assert_eq!(card, public);
    assert_eq!(secret["id"], "notes v1");
    let link = secret["documentationPath"].as_str().ok_or("a link")?;
    let path = link.strip_prefix(&format!("http://{}", served.address)).ok_or("our address")?;
    assert_eq!(path, "/agent/private/skills/notes%20v1");

    let detail = served.ask(&format!("GET {path}\nX-Caller: {ANN}")).await?;
    assert_eq!((detail.status, detail.header("cache-control")), (200, "no-store"));
    let detail = detail.json();
    assert_eq!(detail["documentation_path"], format!("{link}/documentation"));
    let text = served.ask(&format!("GET {path}/documentation\nX-Caller: {ANN}")).await?;
    assert_eq!((text.status, text.text()), (200, "# Notes"));
    assert_eq!(text.header("content-type"), "text/markdown; charset=utf-8");

    let none = served.ask(&format!("GET /agent/private/skills/x\nX-Caller: {ANN}")).await?;
    assert_eq!((none.status, &none.json()["error"]["code"]), (404, &json!(-32030)));
    Ok(())
}

#[tokio::test]
async fn nothing_private_is_shown_elsewhere() -> Result {
    let served = locked(Some(private("notes v1")?)).await?;
    for path in ["/.well-known/agent.json", "/agent/skills", "/openapi.json"] {
        let answer = served.ask(&format!("GET {path}\nX-Caller: {ANN}")).await?;
        assert!(!answer.text().contains("notes"), "{path}: {}", answer.text());
    }
    for path in ["/agent/skills/notes", "/agent/skills/notes%20v1/documentation"] {
        assert_eq!(served.ask(&format!("GET {path}\nX-Caller: {ANN}")).await?.status, 404);
    }
    let asked = json!({"task_summary": "notes"}).to_string();
    let answer = served.post("POST /agent/negotiation", asked.as_bytes()).await?.json();
    assert_eq!(answer["accepted"], false);
    assert_eq!(answer["skill_matches"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn the_private_card_follows_the_public_one() -> Result {
    let served = locked(Some(private("notes v1")?)).await?;
    let head = format!("GET /agent/private.json\nX-Caller: {ANN}");
    let ask = || served.ask(&head);
    let mut card: AgentCard = serde_json::from_slice(&ask().await?.body)?;
    card.description = "Another".to_owned();
    served.service.set_card(card)?;
    let card = ask().await?.json();
    assert_eq!(
        (&card["description"], card["skills"].as_array().map(Vec::len)),
        (&json!("Another"), Some(2))
    );
    Ok(())
}

#[tokio::test]
async fn an_agent_with_nothing_private_says_so() -> Result {
    let served = locked(None).await?;
    for path in PATHS {
        let answer = served.ask(&format!("GET {path}\nX-Caller: {ANN}")).await?;
        assert_eq!(
            (answer.status, answer.json()),
            (404, json!({"error": "Private skills not configured for this agent"})),
        );
    }
    Ok(())
}

#[tokio::test]
async fn on_an_open_agent_nobody_is_somebody() -> Result {
    let private = private("notes v1")?;
    let served = Served::built(bindu_tasks::Config::default(), "agent", |builder| {
        builder.private(Some(private)).dangerously_open()
    })
    .await?;
    let answer = served.ask(&format!("GET /agent/private.json\nX-Caller: {ANN}")).await?;
    assert_eq!(answer.status, 401);
    Ok(())
}

#[tokio::test]
async fn an_id_is_public_or_private() -> Result {
    let refused = locked(Some(private("naming v1")?)).await.err().ok_or("a refusal")?;
    let refused = refused.downcast::<BuildError>()?;
    assert!(matches!(*refused, BuildError::DuplicateSkill(id) if id == "naming v1"));
    Ok(())
}
