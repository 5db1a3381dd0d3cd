//! Cases about DIDs, keys and documents.

use serde_json::Value;

use super::{Outcome, flag, hex, key, member, same, text, unexpected};
use crate::{
    DidDocument, PublicKey, SigningKey, agent_id,
    did::{Did, sanitize, validate_format},
    document::{normalize_keys, validate_document},
};

/// The URL that the recorded agent was configured with.
const SERVICE_URL: &str = "http://localhost:3773";

pub(super) fn bindu(case: &Value) -> Outcome {
    let (author, name) = (text(case, "author")?, text(case, "name")?);
    let key = key(case)?;
    let public = key.public_key();
    let id = agent_id(author, name);
    same("agent id", id.to_string(), text(case, "agent_id")?)?;
    same("author segment", sanitize(author), text(case, "sanitized_author")?)?;
    same("name segment", sanitize(name), text(case, "sanitized_name")?)?;
    same("public key", public.as_bytes().to_vec(), hex(case, "public_key_hex")?)?;
    same("public key", public.to_base58(), text(case, "public_key_base58")?)?;

    let private_pem = text(case, "private_pem")?;
    same("private key file", key.to_pkcs8_pem().as_str(), private_pem)?;
    let read = SigningKey::from_pem(private_pem, None).map_err(unexpected)?;
    same("key in the private key file", read.public_key(), public)?;
    let public_pem = text(case, "public_pem")?;
    same("public key file", public.to_pem(), public_pem)?;
    let read = PublicKey::from_pem(public_pem).map_err(unexpected)?;
    same("key in the public key file", read, public)?;

    let expected = member(case, "did_document")?;
    let errors: Vec<Value> =
        validate_document(expected, SERVICE_URL).into_iter().map(Value::from).collect();
    same("document errors", &Value::from(errors), member(case, "integrity_errors")?)?;
    match Did::for_known_agent(author, name, id) {
        Ok(did) if flag(case, "integrity_ok")? => {
            same("DID", did.as_str(), text(case, "did")?)?;
            document_of(&did, &public, case)
        }
        Ok(did) => Err(format!("{did} was made, but must be refused")),
        Err(error) if flag(case, "integrity_ok")? => Err(error.to_string()),
        Err(_) => Ok(()),
    }
}

pub(super) fn key_fallback(case: &Value) -> Outcome {
    let public = key(case)?.public_key();
    same("public key", public.as_bytes().to_vec(), hex(case, "public_key_hex")?)?;
    let did = Did::from_key(&public);
    same("DID", did.as_str(), text(case, "did")?)?;
    document_of(&did, &public, case)
}

fn document_of(did: &Did, public: &PublicKey, case: &Value) -> Outcome {
    let created = text(case, "created")?.to_owned();
    let document = DidDocument::with_created(did, public, created);
    let written = serde_json::to_value(&document).map_err(unexpected)?;
    same("document", &written, member(case, "did_document")?)?;
    let read: DidDocument = serde_json::from_value(written).map_err(unexpected)?;
    same("document read back", read, document)
}

pub(super) fn caller(case: &Value) -> Outcome {
    let key = key(case)?;
    let public = key.public_key();
    let from_base64 =
        SigningKey::from_seed_base64(text(case, "seed_base64")?).map_err(unexpected)?;
    same("key of the base64 seed", from_base64.public_key(), public)?;
    same("public key", public.as_bytes().to_vec(), hex(case, "public_key_hex")?)?;
    same("public key", public.to_base58(), text(case, "public_key_base58")?)?;
    same("key id", public.id().to_string(), text(case, "agent_id")?)?;
    same("client secret", key.client_secret().as_str(), text(case, "hydra_client_secret")?)?;
    let did =
        Did::for_caller(text(case, "author")?, text(case, "name")?, &public).map_err(unexpected)?;
    same("DID", did.as_str(), text(case, "did_gateway")?)?;
    same("self-certified", did.is_self_certified(&public), true)
}

pub(super) fn format(case: &Value) -> Outcome {
    let did = text(case, "did")?;
    let found = validate_format(did);
    // Other implementations let some control characters pass; we let none.
    if flag(case, "valid")? && did.contains(char::is_control) {
        return same("valid", found.is_ok(), false);
    }
    same("valid", found.is_ok(), flag(case, "valid")?)?;
    let message = found.err().map(|error| error.to_string());
    same("error", message.as_deref(), member(case, "error")?.as_str())
}

pub(super) fn document(case: &Value) -> Outcome {
    let errors = validate_document(member(case, "document")?, SERVICE_URL);
    same("valid", errors.is_empty(), flag(case, "valid")?)?;
    let errors: Vec<Value> = errors.into_iter().map(Value::from).collect();
    same("errors", &Value::from(errors), member(case, "errors")?)
}

pub(super) fn keys(case: &Value) -> Outcome {
    let found = normalize_keys(member(case, "input")?.clone());
    same("output", &found, member(case, "output")?)
}

pub(super) fn encrypted_pem(case: &Value) -> Outcome {
    let pem = text(case, "private_pem")?;
    let read = SigningKey::from_pem(pem, Some(text(case, "password")?)).map_err(unexpected)?;
    same("public key", read.public_key(), key(case)?.public_key())?;
    same("readable with a wrong password", SigningKey::from_pem(pem, Some("no")).is_ok(), false)?;
    same("readable without password", SigningKey::from_pem(pem, None).is_ok(), false)
}
