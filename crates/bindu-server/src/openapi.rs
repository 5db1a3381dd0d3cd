//! The OpenAPI document, made from the table of routes and the table of methods.

use bindu_protocol::{AgentCard, Code, method};
use http::Method;
use serde_json::{Map, Value, json};

use crate::routes::{ROUTES, Route};

/// The document of an agent, OpenAPI 3.1; with the routes of payments, if there are any.
pub(crate) fn document(card: &AgentCard, is_paid: bool) -> Value {
    let mut paths = Map::new();
    for entry in ROUTES.iter().filter(|entry| is_paid || !entry.route.is_paid()) {
        let mut operations = Map::new();
        for verb in entry.methods.iter().filter(|verb| **verb != Method::OPTIONS) {
            let mut operation = operation(entry.route, verb);
            operation["summary"] = entry.summary.into();
            if entry.path.contains("{skill_id}") {
                operation["parameters"] = json!([{
                    "name": "skill_id", "in": "path", "required": true,
                    "description": "A skill's id or name",
                    "schema": { "type": "string" },
                }]);
            }
            operations.insert(verb.as_str().to_ascii_lowercase(), operation);
        }
        paths.insert(entry.path.to_owned(), Value::Object(operations));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": card.name,
            "description": card.description,
            "version": card.version,
        },
        "servers": [{ "url": card.url }],
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn content(kind: &str, schema: &Value) -> Value {
    json!({ kind: { "schema": schema } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn operation(route: Route, verb: &Method) -> Value {
    let object = json!({ "type": "object" });
    let ok = |kind: &str, schema: &Value| json!({ "200": { "description": "OK", "content": content(kind, schema) } });
    let mut operation = match (route, verb) {
        (Route::Root, &Method::POST) => json!({
            "requestBody": { "required": true, "content": content("application/json", &reference("Request")) },
            "responses": {
                "200": { "description": "The result, an error of the method, or a stream of events", "content": {
                    "application/json": { "schema": reference("Response") },
                    "text/event-stream": { "schema": reference("StreamEvent") },
                } },
                "400": { "description": "No JSON; in the reference's dialect also no request, or parameters that do not fit" },
                "404": { "description": "No such method, in the reference's dialect" },
                "413": { "description": "The body is too large" },
                "503": { "description": "Busy or shutting down; try again after Retry-After" },
            },
        }),
        (Route::Root, _) => json!({ "responses": { "302": { "description": "The card" } } }),
        (Route::Card | Route::ReferenceCard, _) => json!({ "responses": {
            "200": { "description": "OK", "content": content("application/json", &reference("AgentCard")) },
            "304": { "description": "The caller has it" },
        } }),
        (Route::ResolveDid, &Method::POST) => json!({
            "requestBody": { "required": true, "content": content("application/json", &json!({
                "type": "object", "required": ["did"], "properties": { "did": { "type": "string" } },
            })) },
            "responses": ok("application/json", &reference("DidDocument")),
        }),
        (Route::ResolveDid, _) => json!({
            "parameters": [{ "name": "did", "in": "query", "required": true, "schema": { "type": "string" } }],
            "responses": ok("application/json", &reference("DidDocument")),
        }),
        (Route::SkillDocumentation, _) => {
            json!({ "responses": { "200": { "description": "OK", "content": {
            "application/yaml": { "schema": { "type": "string" } },
            "text/markdown": { "schema": { "type": "string" } },
        } } } })
        }
        (Route::Negotiation, _) => json!({
            "requestBody": { "required": true, "content": content("application/json", &reference("NegotiationRequest")) },
            "responses": {
                "200": { "description": "OK", "content": content("application/json", &reference("NegotiationAnswer")) },
                "400": { "description": "No such question; the member is named" },
                "413": { "description": "The body is too large" },
            },
        }),
        (Route::Metrics, _) => {
            json!({ "responses": ok("text/plain", &json!({ "type": "string" })) })
        }
        (Route::Ready | Route::Health, _) => json!({ "responses": {
            "200": { "description": "Yes", "content": content("application/json", &object) },
            "503": { "description": "No", "content": content("application/json", &object) },
        } }),
        _ => json!({ "responses": ok("application/json", &object) }),
    };
    if matches!(route, Route::ResolveDid) {
        operation["responses"]["404"] = json!({ "description": "Not this agent's DID" });
    }
    if matches!(route, Route::Skill | Route::SkillDocumentation) {
        operation["responses"]["404"] = json!({ "description": "No such skill" });
    }
    if matches!(route, Route::PrivateCard | Route::PrivateSkill | Route::PrivateSkillDocumentation)
    {
        let mut say = |status: &str, what: &str| {
            operation["responses"][status] = json!({ "description": what });
        };
        say("401", "Nobody is signed in");
        say("403", "The caller is not one of those who may see it");
        say("404", "There is nothing private, or no such skill");
    }
    operation
}

/// The objects of the protocol, in A2A 0.3's spelling; the reference's is the same in `snake_case`.
fn schemas() -> Value {
    let codes: Vec<Value> = Code::ALL
        .iter()
        .map(|code| json!({ "const": code.0, "description": code.message() }))
        .collect();
    let text = json!({ "type": "string" });
    let number = json!({ "type": "number" });
    let texts = json!({ "type": "array", "items": text });
    let map = json!({ "type": "object", "additionalProperties": true });
    let parts = json!({ "type": "array", "items": reference("Part") });
    json!({
        "Request": { "type": "object", "required": ["jsonrpc", "id", "method"], "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": ["string", "number", "null"] },
            "method": { "enum": method::ALL },
            "params": map,
        } },
        "Response": { "type": "object", "required": ["jsonrpc", "id"], "properties": {
            "jsonrpc": { "const": "2.0" },
            "id": { "type": ["string", "number", "null"] },
            "result": {},
            "error": reference("Error"),
        } },
        "Error": { "type": "object", "required": ["code", "message"], "properties": {
            "code": { "oneOf": codes }, "message": text, "data": {},
        } },
        "Part": { "type": "object", "required": ["kind"], "properties": {
            "kind": { "enum": ["text", "file", "data"] },
            "text": text,
            "file": { "type": "object", "properties": {
                "bytes": { "type": "string", "contentEncoding": "base64" },
                "uri": text, "mimeType": text, "name": text,
            } },
            "data": map, "metadata": map,
        } },
        "Message": { "type": "object", "required": ["messageId", "role", "parts"], "properties": {
            "kind": { "const": "message" }, "messageId": text, "taskId": text, "contextId": text,
            "referenceTaskIds": { "type": "array", "items": text },
            "role": { "enum": ["user", "agent"] }, "parts": parts, "metadata": map,
        } },
        "Artifact": { "type": "object", "required": ["artifactId", "parts"], "properties": {
            "artifactId": text, "name": text, "description": text, "parts": parts, "metadata": map,
        } },
        "TaskStatus": { "type": "object", "required": ["state"], "properties": {
            "state": { "enum": bindu_protocol::TaskState::ALL },
            "timestamp": { "type": "string", "format": "date-time" },
            "message": reference("Message"),
        } },
        "Task": { "type": "object", "required": ["id", "contextId", "kind", "status"], "properties": {
            "kind": { "const": "task" }, "id": text, "contextId": text,
            "status": reference("TaskStatus"),
            "history": { "type": "array", "items": reference("Message") },
            "artifacts": { "type": "array", "items": reference("Artifact") },
            "metadata": map,
        } },
        "TaskStatusUpdateEvent": { "type": "object", "properties": {
            "kind": { "const": "status-update" }, "taskId": text, "contextId": text,
            "status": reference("TaskStatus"), "final": { "type": "boolean" },
        } },
        "TaskArtifactUpdateEvent": { "type": "object", "properties": {
            "kind": { "const": "artifact-update" }, "taskId": text, "contextId": text,
            "artifact": reference("Artifact"),
            "append": { "type": "boolean" }, "lastChunk": { "type": "boolean" },
        } },
        "StreamEvent": { "oneOf": [
            reference("Task"), reference("Message"),
            reference("TaskStatusUpdateEvent"), reference("TaskArtifactUpdateEvent"),
        ] },
        "AgentCard": { "type": "object", "required": ["name", "url", "capabilities", "skills"] },
        "NegotiationRequest": { "type": "object", "required": ["task_summary"], "properties": {
            "task_summary": { "type": "string", "minLength": 1, "maxLength": bindu_protocol::MAX_SUMMARY_CHARS },
            "task_details": text, "input_mime_types": texts, "output_mime_types": texts,
            "max_latency_ms": { "type": "number", "minimum": 0 },
            "max_cost_amount": { "type": ["number", "string"] },
            "required_tools": texts, "forbidden_tools": texts, "min_score": number,
            "weights": { "type": "object", "properties": {
                "skill_match": number, "io_compatibility": number, "performance": number,
                "load": number, "cost": number,
            } },
        } },
        "NegotiationAnswer": { "type": "object", "required": ["accepted", "score", "confidence"], "properties": {
            "accepted": { "type": "boolean" }, "score": number, "confidence": number,
            "rejection_reason": text,
            "skill_matches": { "type": "array", "items": { "type": "object", "properties": {
                "skill_id": text, "skill_name": text, "score": number, "reasons": texts,
            } } },
            "matched_tags": texts, "matched_capabilities": texts,
            "latency_estimate_ms": number, "queue_depth": { "type": "integer" },
            "subscores": { "type": "object", "properties": {
                "skill_match": number, "io_compatibility": number, "load": number, "cost": number,
                "performance": number,
            } },
        } },
        "DidDocument": { "type": "object", "required": ["@context", "id", "authentication"] },
    })
}
