use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use bindu_did::key_dir::{self, Config};
use bindu_did::{Did, DidDocument, PublicKey, agent_id};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an identity: a key and a DID. Nothing that is there is overwritten.
    New {
        /// Who stands behind the agent; usually an e-mail address.
        #[arg(long, default_value = "anonymous")]
        author: String,
        /// The agent's name.
        #[arg(long, default_value = "agent")]
        name: String,
        /// Where to keep it.
        #[arg(long, default_value = ".bindu")]
        dir: PathBuf,
    },
    /// Show the identities in a directory; never the private key.
    Show {
        /// Where they are kept.
        #[arg(long, default_value = ".bindu")]
        dir: PathBuf,
    },
}

/// What is read of `did.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    public_key_base58: Option<String>,
    #[serde(default)]
    created: String,
    /// DIDs by agent id.
    #[serde(default)]
    identities: BTreeMap<String, Did>,
}

impl Record {
    /// `None` if the directory has none.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("did.json");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let record = serde_json::from_str(&text);
        record.map(Some).with_context(|| format!("understanding {}", path.display()))
    }

    /// The DIDs of all agents of the directory.
    pub(super) fn into_dids(self) -> Vec<Did> {
        self.identities.into_values().collect()
    }
}

impl Command {
    pub(crate) fn run(self, output: &mut Output) -> Result<Exit> {
        match self {
            Self::New { author, name, dir } => new(author, name, dir, output)?,
            Self::Show { dir } => show(&dir, output)?,
        }
        Ok(Exit::Done)
    }
}

fn new(author: String, name: String, dir: PathBuf, output: &mut Output) -> Result<()> {
    let id = agent_id(&author, &name).to_string();
    if let Some(did) = Record::read(&dir)?.and_then(|record| record.identities.get(&id).cloned()) {
        bail!("{} holds this agent's identity already: {did}", dir.display());
    }
    let config = Config { dir, author, name, ..Config::default() };
    let identity = key_dir::open(&config, SystemTime::now())?;
    let public = identity.key().public_key();
    let agent = identity.agent_id().to_string();
    if output.is_json() {
        let mut shown = entry(&agent, identity.document());
        shown["publicKeyBase58"] = public.to_base58().into();
        shown["dir"] = config.dir.display().to_string().into();
        return output.json(&shown);
    }
    print(&agent, identity.document(), &public, output)?;
    let key = config.dir.join(&config.private_key_file);
    output.note(&format!("the private key is in {}; keep it safe", key.display()));
    Ok(())
}

fn show(dir: &Path, output: &mut Output) -> Result<()> {
    let record = match Record::read(dir)? {
        Some(record) => record,
        None if dir.join("private.pem").exists() => bail!(
            "{} holds a key but names no agent; name it with: bindu did new --author A --name N \
             --dir DIR, which keeps the key",
            dir.display()
        ),
        None => bail!("{} holds no identity; make one with: bindu did new", dir.display()),
    };
    let Some(public) = record.public_key_base58 else {
        bail!("{} holds no finished identity; finish it with: bindu did new", dir.display());
    };
    let public: PublicKey = public.parse().context("reading the public key in did.json")?;
    let documents: Vec<_> = record
        .identities
        .iter()
        .map(|(id, did)| (id, DidDocument::with_created(did, &public, record.created.clone())))
        .collect();
    if output.is_json() {
        let identities: Vec<_> =
            documents.iter().map(|(id, document)| entry(id, document)).collect();
        return output
            .json(&json!({ "publicKeyBase58": public.to_base58(), "identities": identities }));
    }
    documents.iter().try_for_each(|(id, document)| print(id, document, &public, output))
}

fn entry(agent_id: &str, document: &DidDocument) -> Value {
    json!({ "did": document.id, "agentId": agent_id, "document": document })
}

fn print(
    agent_id: &str,
    document: &DidDocument,
    public: &PublicKey,
    output: &mut Output,
) -> Result<()> {
    output.line(&format!("did         {}", document.id))?;
    output.line(&format!("agent id    {agent_id}"))?;
    output.line(&format!("public key  {}", public.to_base58()))?;
    output.line(&serde_json::to_string_pretty(document)?)
}
