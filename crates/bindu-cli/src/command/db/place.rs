//! Which database, and which agent's.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bindu::settings::{Secret, Settings, StorageBackend};
use bindu_did::Did;

use super::Database;
use crate::command::did::Record;

/// How URLs of PostgreSQL begin.
const POSTGRES: [&str; 3] = ["postgresql://", "postgres://", "postgresql+asyncpg://"];

/// Which database, and which agent's tables in it.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// The database: `postgresql://user@host/name` or `sqlite:path`. Otherwise `DATABASE_URL` says, in
    /// the environment or in `.env`, where a password is better kept than on a command line.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The agent whose tasks are meant.
    #[arg(long, value_name = "DID", conflicts_with_all = ["identity", "schema"])]
    did: Option<Did>,
    /// The directory of that agent's keys, if it holds only one identity. By default `.bindu`, or
    /// what `DID__PKI_DIR` says.
    #[arg(long, value_name = "DIR", conflicts_with = "schema")]
    identity: Option<PathBuf>,
    /// The schema that its tables are in; whose they are is read there. PostgreSQL only.
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

/// Which tables of a PostgreSQL database.
#[derive(Debug, PartialEq, Eq)]
enum Tables {
    Of(Did),
    In(String),
}

/// What the arguments come to.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Postgres {
        url: Secret,
        tables: Tables,
    },
    /// Without an agent it is the one that the file names.
    Sqlite {
        url: Secret,
        agent: Option<Did>,
    },
}

/// What the default directory says of the agent.
enum Sole {
    None,
    One(Did),
    Several(Vec<Did>),
}

impl Place {
    /// The database that is meant.
    pub(in crate::command) fn database(&self, settings: &Settings) -> Result<Box<dyn Database>> {
        match self.find(settings)? {
            #[cfg(feature = "postgres")]
            Found::Postgres { url, tables } => {
                let (did, schema) = match tables {
                    Tables::Of(did) => (Some(did), None),
                    Tables::In(schema) => (None, Some(schema)),
                };
                Ok(Box::new(super::postgres::Postgres::new(&url, did, schema, settings)))
            }
            #[cfg(feature = "sqlite")]
            Found::Sqlite { url, agent } => Ok(Box::new(super::sqlite::Sqlite::new(&url, agent)?)),
            #[cfg(not(all(feature = "postgres", feature = "sqlite")))]
            _ => bail!(
                "this build of bindu has nothing for such a database; build it with the features \
                 postgres and sqlite"
            ),
        }
    }

    fn find(&self, settings: &Settings) -> Result<Found> {
        let url = self.url(settings)?;
        if url.reveal().starts_with("sqlite:") {
            if self.schema.is_some() {
                bail!("--schema is for PostgreSQL; an SQLite file is one agent's");
            }
            let agent = match (&self.did, &self.identity) {
                (Some(did), _) => Some(did.clone()),
                (None, Some(dir)) => Some(named(dir)?),
                (None, None) => match sole(&settings.did.pki_dir)? {
                    Sole::One(did) => Some(did),
                    Sole::None | Sole::Several(_) => None,
                },
            };
            return Ok(Found::Sqlite { url, agent });
        }
        let tables = match (&self.did, &self.identity, &self.schema) {
            (Some(did), ..) => Tables::Of(did.clone()),
            (None, Some(dir), _) => Tables::Of(named(dir)?),
            (None, None, Some(schema)) => Tables::In(schema.clone()),
            (None, None, None) => {
                let dir = &settings.did.pki_dir;
                Tables::Of(named(dir).context(
                    "whose tasks? name the agent with --did DID, --identity DIR or --schema NAME",
                )?)
            }
        };
        Ok(Found::Postgres { url, tables })
    }

    /// The URL of a kind that is known.
    fn url(&self, settings: &Settings) -> Result<Secret> {
        let backend = settings.storage.backend;
        let (url, from) = match (&self.url, &settings.storage.url) {
            (Some(url), _) => (Secret::from(url.as_str()), "--url"),
            (None, Some(url)) => (url.clone(), "DATABASE_URL"),
            (None, None) => bail!(
                "which database? DATABASE_URL is not set (STORAGE_TYPE is {}); set it, or give \
                 --url postgresql://user@host/name or --url sqlite:path",
                backend.as_str()
            ),
        };
        let is_sqlite = url.reveal().starts_with("sqlite:");
        let is_postgres = POSTGRES.iter().any(|scheme| url.reveal().starts_with(scheme));
        if !is_sqlite && !is_postgres {
            // Not repeated: wherever its password is, it is not shown.
            bail!("{from} must begin with postgresql://, postgres:// or sqlite:");
        }
        if self.url.is_none() {
            let fits = match backend {
                StorageBackend::Sqlite => is_sqlite,
                StorageBackend::Postgres => is_postgres,
                // Nobody need say so for an agent that is not running.
                _ => true,
            };
            if !fits {
                bail!(
                    "STORAGE_TYPE is {}, but DATABASE_URL names a database of another kind; \
                     change one of them, or give --url",
                    backend.as_str()
                );
            }
        }
        Ok(url)
    }
}

/// The one identity in a directory.
fn named(dir: &Path) -> Result<Did> {
    match sole(dir)? {
        Sole::One(did) => Ok(did),
        Sole::None => bail!("{} holds no identity with a DID", dir.display()),
        Sole::Several(dids) => {
            let dids: Vec<_> = dids.iter().map(Did::as_str).collect();
            bail!(
                "{} holds several identities; choose with --did: {}",
                dir.display(),
                dids.join(", ")
            )
        }
    }
}

fn sole(dir: &Path) -> Result<Sole> {
    let Some(record) = Record::read(dir)? else { return Ok(Sole::None) };
    let mut dids: Vec<Did> = record.into_dids();
    Ok(match (dids.pop(), dids.is_empty()) {
        (None, _) => Sole::None,
        (Some(did), true) => Sole::One(did),
        (Some(last), false) => {
            dids.push(last);
            Sole::Several(dids)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "did:bindu:ann:echo:1";
    const BOB: &str = "did:bindu:bob:echo:2";

    /// Settings, and a directory of keys that holds these identities.
    fn settings(variables: &[(&str, &str)], dids: &[&str]) -> (Settings, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let identities: serde_json::Map<_, _> =
            dids.iter().enumerate().map(|(n, did)| (n.to_string(), (*did).into())).collect();
        if !dids.is_empty() {
            let record = serde_json::json!({ "identities": identities }).to_string();
            std::fs::write(dir.path().join("did.json"), record).unwrap();
        }
        let keys = dir.path().to_str().unwrap();
        let variables = variables.iter().copied().chain([("DID__PKI_DIR", keys)]);
        (Settings::from_vars(variables).unwrap(), dir)
    }

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    fn refusal(place: &Place, settings: &Settings) -> String {
        format!("{:#}", place.find(settings).unwrap_err())
    }

    #[test]
    fn the_environment_names_the_database_and_the_keys_name_the_agent() {
        let (settings, _dir) = settings(&[("DATABASE_URL", "postgres://ann@db/agents")], &[ANN]);
        let found = Place::default().find(&settings).unwrap();
        let tables = Tables::Of(did(ANN));
        assert_eq!(found, Found::Postgres { url: "postgres://ann@db/agents".into(), tables });
    }

    #[test]
    fn arguments_win() {
        let (settings, _dir) = settings(
            &[("DATABASE_URL", "postgres://db/agents"), ("STORAGE_TYPE", "postgres")],
            &[ANN],
        );
        let url = Some("sqlite:tasks.db".to_owned());
        let place = Place { url, did: Some(did(BOB)), ..Place::default() };
        let found = place.find(&settings).unwrap();
        let agent = Some(did(BOB));
        assert_eq!(found, Found::Sqlite { url: "sqlite:tasks.db".into(), agent });

        let place = Place { schema: Some("public".to_owned()), ..Place::default() };
        let found = place.find(&settings).unwrap();
        let tables = Tables::In("public".to_owned());
        assert_eq!(found, Found::Postgres { url: "postgres://db/agents".into(), tables });
    }

    #[test]
    fn several_identities_are_not_chosen_from() {
        let (settings, dir) = settings(&[("DATABASE_URL", "postgres://db/agents")], &[ANN, BOB]);
        let why = refusal(&Place::default(), &settings);
        assert!(why.contains("--schema NAME") && why.contains(ANN) && why.contains(BOB), "{why}");
        let place = Place { identity: Some(dir.path().to_owned()), ..Place::default() };
        let why = refusal(&place, &settings);
        assert!(why.contains("choose with --did"), "{why}");
        // A file says itself whose it is.
        let place = Place { url: Some("sqlite:tasks.db".to_owned()), ..Place::default() };
        assert!(matches!(place.find(&settings).unwrap(), Found::Sqlite { agent: None, .. }));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (nothing, _dir) = settings(&[], &[]);
        let why = refusal(&Place::default(), &nothing);
        assert!(why.contains("DATABASE_URL") && why.contains("--url sqlite:path"), "{why}");

        let (anyone, _dir) = settings(&[("DATABASE_URL", "postgres://db/agents")], &[]);
        let why = refusal(&Place::default(), &anyone);
        assert!(why.contains("holds no identity") && why.contains("--did DID"), "{why}");

        let (other, _dir) =
            settings(&[("DATABASE_URL", "postgres://db/a"), ("STORAGE_TYPE", "sqlite")], &[ANN]);
        let why = refusal(&Place::default(), &other);
        assert!(why.contains("STORAGE_TYPE is sqlite"), "{why}");

        let url = Some("sqlite:tasks.db".to_owned());
        let place = Place { url, schema: Some("public".to_owned()), ..Place::default() };
        assert!(refusal(&place, &nothing).contains("one agent's"));
    }

    #[test]
    fn a_url_of_another_kind_is_not_repeated() {
        let (settings, _dir) = settings(&[("DATABASE_URL", "mysql://root:hunter2@db/x")], &[ANN]);
        let why = refusal(&Place::default(), &settings);
        assert!(why.contains("postgresql://") && !why.contains("hunter2"), "{why}");
    }
}
