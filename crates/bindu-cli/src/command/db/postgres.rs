//! Tasks in a schema of a PostgreSQL database.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bindu::settings::{Secret, Settings};
use bindu_did::Did;
use bindu_postgres::{
    LAYOUT_VERSION, LayoutReport, OwnerCounts, PostgresConfig, PostgresStore, backfill_owner,
    check, migrate, ownerless,
};
use bindu_storage::{BoxFuture, Ledger, Storage};

use super::{BATCH, Database, Given, Look};

#[derive(Debug)]
pub(super) struct Postgres {
    config: PostgresConfig,
    shown: String,
}

impl Postgres {
    pub(super) fn new(
        url: &Secret,
        did: Option<Did>,
        schema: Option<String>,
        settings: &Settings,
    ) -> Self {
        let storage = &settings.storage;
        let config = PostgresConfig {
            did: did.map(|did| did.as_str().to_owned()),
            schema,
            pool_max: 2,
            pool_timeout: storage.pool_timeout,
            statement_timeout: Duration::from_millis(storage.statement_timeout_ms),
            ..PostgresConfig::new(url.reveal())
        };
        Self { config, shown: without_secrets(url.reveal()) }
    }

    async fn report(&self) -> Result<LayoutReport> {
        check(&self.config).await.with_context(|| self.reaching())
    }

    fn reaching(&self) -> String {
        format!("looking into {} (DATABASE_URL, or --url)", self.shown)
    }

    fn judge(&self, report: LayoutReport) -> Look {
        let is_current = report.is_current();
        let mut look = Look {
            storage: "postgres",
            url: self.shown.clone(),
            schema: Some(report.schema),
            layout: report.version,
            stray_tasks: Some(report.stray_tasks),
            ..Look::default()
        };
        let other = report.did.as_ref().zip(self.config.did.as_ref());
        if let Some((theirs, ours)) = other.filter(|(theirs, ours)| theirs != ours) {
            look.problems = vec![format!("the schema belongs to {theirs}, not to {ours}")];
            look.advice =
                Some("name its own agent with --did, or give this one another database".to_owned());
        } else if !report.exists {
            look.problems = vec!["it has no tables of tasks".to_owned()];
            look.advice = Some(if self.config.did.is_some() {
                "`bindu db migrate` makes them, and so does the agent when it starts".to_owned()
            } else {
                "is the name right? The agent itself is named by --did or --identity".to_owned()
            });
        } else if !is_current {
            look.problems = report.problems;
            if look.problems.is_empty() {
                let layout = report.version.map_or_else(|| "none".to_owned(), |it| it.to_string());
                look.problems
                    .push(format!("its layout is {layout}, and should be {LAYOUT_VERSION}"));
            }
            look.advice = Some(
                "`bindu db migrate` adds what is missing; what is of another kind it leaves, and \
                 says so"
                    .to_owned(),
            );
        }
        look.did = report.did;
        look
    }

    async fn bring_up_to_date(&self) -> Result<Vec<String>> {
        let before = self.report().await?;
        let mut config = self.config.clone();
        if config.did.is_none() {
            if !before.exists {
                bail!(
                    "schema {} has no tables of tasks; to make them name their agent, with --did \
                     or --identity",
                    before.schema
                );
            }
            config.did.clone_from(&before.did);
        }
        let after = migrate(&config).await.with_context(|| format!("migrating {}", self.shown))?;
        Ok(difference(&before, &after))
    }

    async fn store(&self) -> Result<PostgresStore> {
        let mut config = self.config.clone();
        // Opened without its agent, nothing is written that is not there.
        config.schema = Some(config.schema_name());
        config.did = None;
        PostgresStore::open(config).await.with_context(|| self.reaching())
    }

    async fn give(&self, owner: &Did, dry_run: bool) -> Result<Given> {
        self.judge(self.report().await?).refuse()?;
        let given = if dry_run {
            ownerless(&self.config).await
        } else {
            backfill_owner(&self.config, owner.as_str(), BATCH).await
        };
        let OwnerCounts { contexts, tasks, .. } =
            given.context("rows that were given stay given; the command may be run again")?;
        Ok(Given { contexts, tasks })
    }
}

/// What a migration did.
fn difference(before: &LayoutReport, after: &LayoutReport) -> Vec<String> {
    let mut done = Vec::new();
    let mended = before.problems.iter().filter(|problem| !after.problems.contains(problem));
    // A problem begins with the table and the column.
    let tables: BTreeSet<_> =
        mended.filter_map(|problem| problem.split_once('.')).map(|(table, _)| table).collect();
    let tables: Vec<_> = tables.into_iter().collect();
    if !before.exists {
        done.push(format!("made the tables in schema {}", after.schema));
    } else if !tables.is_empty() {
        done.push(format!("added what was missing of the tables {}", tables.join(", ")));
    }
    if let Some(version) = after.version.filter(|_| after.version != before.version) {
        done.push(format!("noted layout {version}"));
    }
    if let Some(did) = after.did.as_ref().filter(|_| before.did.is_none()) {
        done.push(format!("noted that they belong to {did}"));
    }
    done
}

impl Database for Postgres {
    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async { Ok(self.judge(self.report().await?)) })
    }

    fn migrate(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(self.bring_up_to_date())
    }

    fn open<'a>(&'a self, _: &'a Look) -> BoxFuture<'a, Result<Arc<dyn Storage>>> {
        Box::pin(async { Ok(Arc::new(self.store().await?) as Arc<dyn Storage>) })
    }

    fn ledger<'a>(&'a self, _: &'a Look) -> BoxFuture<'a, Result<Arc<dyn Ledger>>> {
        Box::pin(async { Ok(Arc::new(self.store().await?) as Arc<dyn Ledger>) })
    }

    fn backfill<'a>(&'a self, owner: &'a Did, dry_run: bool) -> BoxFuture<'a, Result<Given>> {
        Box::pin(self.give(owner, dry_run))
    }
}

/// A URL without its password and its parameters, to be shown.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (user, address) = match rest.rsplit_once('@') {
        // A password with a question mark, or a parameter with an at sign: nobody can tell.
        Some((before, _)) if before.contains('?') => return format!("{scheme}://..."),
        Some((user, address)) => (user.split(':').next().unwrap_or_default(), address),
        None => ("", rest),
    };
    let address = address.split(['?', '#']).next().unwrap_or_default();
    if user.is_empty() {
        format!("{scheme}://{address}")
    } else {
        format!("{scheme}://{user}@{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_urls_have_no_password() {
        for (url, shown) in [
            ("postgres://ann:s3cret@db:5433/agents?ssl=off", "postgres://ann@db:5433/agents"),
            ("postgres://ann:s3@cr/et@db/agents", "postgres://ann@db/agents"),
            ("postgres://ann:s3?cret@db/agents", "postgres://..."),
            ("postgres://db/agents?user=ann&password=s3cret", "postgres://db/agents"),
            ("postgres://db/agents?password=s3@cret", "postgres://..."),
            ("postgres://:s3cret@db/agents", "postgres://db/agents"),
            ("sqlite:tasks.db", "sqlite:tasks.db"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
