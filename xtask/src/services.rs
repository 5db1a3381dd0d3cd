//! `cargo xtask services`: a private Postgres and Redis, left running until they are told to go.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bindu_testkit::services::{DATABASE_URL, Given, Left, Machine, REDIS_URL, Services};
use serde::{Deserialize, Serialize};

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Command {
    /// Start what `DATABASE_URL` and `REDIS_URL` do not name; install it first if root on Debian.
    Up,
    /// Stop what `up` started, and remove its data.
    Down,
    /// Say what runs; fails unless both do.
    Status,
    /// Print what points at them: eval "$(cargo xtask services env)".
    Env,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let folder = workspace.metadata()?.target_directory.into_std_path_buf().join("services");
    let text = run_in(&folder, args.command, &Machine::this(), &Given::from_env())?;
    print!("{text}");
    Ok(())
}

/// Starts a set of our own for as long as the value lives, with the variables that point at it.
pub(crate) fn start() -> anyhow::Result<Services> {
    Ok(Services::start(&Machine::this(), Given::from_env())?)
}

/// Does it; gives what there is to print.
fn run_in(
    folder: &Path,
    command: Command,
    machine: &Machine,
    given: &Given,
) -> anyhow::Result<String> {
    let file = folder.join("state.json");
    let state = State::read(&file)?;
    match command {
        Command::Up => {
            if let Some(state) = state {
                if state.ours.iter().all(|server| server.to_left().is_running()) {
                    return Ok(state.status());
                }
                // Half of it is gone: the rest goes too, and all of it comes anew.
                state.stop()?;
            }
            let services = Services::start(machine, given.clone())?;
            let (database_url, redis_url) = (services.database_url(), services.redis_url());
            let (database_url, redis_url) = (database_url.to_owned(), redis_url.to_owned());
            let ours = services.leave();
            let ours = ours.into_iter().map(|(variable, left)| Ours::new(variable, left)).collect();
            let state = State { database_url, redis_url, ours };
            if let Err(error) = state.write(&file) {
                // Nobody could find them again.
                state.stop()?;
                return Err(error);
            }
            Ok(state.status())
        }
        Command::Down => {
            let Some(state) = state else { return Ok("nothing was up\n".to_owned()) };
            state.stop()?;
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            Ok("down\n".to_owned())
        }
        Command::Status => {
            let state = state.context("nothing is up: cargo xtask services up")?;
            for server in &state.ours {
                ensure!(server.to_left().is_running(), "{}: gone", server.name);
            }
            Ok(state.status())
        }
        Command::Env => Ok(state.context("nothing is up: cargo xtask services up")?.export_lines()),
    }
}

/// What `up` wrote down for the others.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    database_url: String,
    redis_url: String,
    /// The servers that we started, and have to stop.
    ours: Vec<Ours>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ours {
    name: String,
    variable: String,
    pid: u32,
    url: String,
    directory: PathBuf,
}

impl Ours {
    fn new(variable: &str, left: Left) -> Self {
        let Left { server, pid, url, directory } = left;
        Self { name: server, variable: variable.to_owned(), pid, url, directory }
    }

    fn to_left(&self) -> Left {
        Left {
            server: self.name.clone(),
            pid: self.pid,
            url: self.url.clone(),
            directory: self.directory.clone(),
        }
    }
}

impl State {
    fn read(file: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {}", file.display()))?,
        };
        let state = serde_json::from_str(&text);
        state.map(Some).with_context(|| format!("{} is not what `up` wrote", file.display()))
    }

    fn write(&self, file: &Path) -> anyhow::Result<()> {
        let write = || {
            fs::create_dir_all(file.parent().unwrap_or(file))?;
            fs::write(file, serde_json::to_string_pretty(self)?)
        };
        write().with_context(|| format!("writing {}", file.display()))
    }

    fn stop(&self) -> anyhow::Result<()> {
        for server in &self.ours {
            server.to_left().stop().with_context(|| format!("stopping {}", server.name))?;
        }
        Ok(())
    }

    fn vars(&self) -> [(&'static str, &str); 2] {
        [(DATABASE_URL, &self.database_url), (REDIS_URL, &self.redis_url)]
    }

    fn status(&self) -> String {
        let line = |(variable, url)| match self.ours.iter().find(|one| one.variable == variable) {
            Some(ours) => {
                let (pid, at) = (ours.pid, ours.directory.display());
                format!("{variable}={url}  # process {pid}, data in {at}\n")
            }
            None => format!("{variable}={url}  # not ours\n"),
        };
        self.vars().map(line).concat()
    }

    /// Lines for a shell, whatever the addresses hold.
    fn export_lines(&self) -> String {
        let line =
            |(name, url): (_, &str)| format!("export {name}='{}'\n", url.replace('\'', r"'\''"));
        self.vars().map(line).concat()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bindu_testkit::services::{Given, Machine};

    use super::{Command, run_in};

    /// A machine that has no servers and may not install any.
    fn bare(root: &Path) -> Machine {
        Machine {
            path: root.as_os_str().to_owned(),
            postgres_versions: root.to_owned(),
            is_root: false,
            policy: root.join("policy"),
        }
    }

    #[test]
    fn given_servers_are_used_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let given = Given {
            database_url: Some("postgres://it's-there".to_owned()),
            redis_url: Some("redis://there".to_owned()),
        };
        let run = |command| run_in(root.path(), command, &bare(root.path()), &given);
        let status = "DATABASE_URL=postgres://it's-there  # not ours\n\
                      REDIS_URL=redis://there  # not ours\n";
        assert_eq!(run(Command::Up).unwrap(), status);
        assert_eq!(run(Command::Status).unwrap(), status);
        assert_eq!(
            run(Command::Env).unwrap(),
            "export DATABASE_URL='postgres://it'\\''s-there'\nexport REDIS_URL='redis://there'\n"
        );
        assert_eq!(run(Command::Down).unwrap(), "down\n");
        assert_eq!(run(Command::Down).unwrap(), "nothing was up\n");
        assert!(run(Command::Env).unwrap_err().to_string().contains("services up"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let given = Given::default();
        let refused = run_in(root.path(), Command::Up, &bare(root.path()), &given).unwrap_err();
        assert!(refused.to_string().starts_with("Postgres is not installed"), "{refused}");
        assert!(!root.path().join("state.json").exists());
    }

    mod needs_services {
        use bindu_testkit::services::Left;

        use super::{Command, Given, Machine, run_in};
        use crate::services::{Ours, State};

        #[test]
        fn up_stays_up_until_down() {
            let root = tempfile::tempdir().unwrap();
            let given = Given::default();
            let run = |command| run_in(root.path(), command, &Machine::this(), &given);
            let up = run(Command::Up).unwrap();
            assert_eq!(run(Command::Up).unwrap(), up, "a second one changes nothing");
            assert_eq!(run(Command::Status).unwrap(), up);

            let state = State::read(&root.path().join("state.json")).unwrap().unwrap();
            let servers: Vec<_> = state.ours.iter().map(Ours::to_left).collect();
            assert_eq!(servers.len(), 2);
            assert!(servers.iter().all(Left::is_running));
            // One goes: that is noticed, and `up` mends it.
            servers[1].stop().unwrap();
            assert_eq!(run(Command::Status).unwrap_err().to_string(), "Redis: gone");
            assert_ne!(run(Command::Up).unwrap(), up);
            assert!(servers.iter().all(|server| !server.directory.exists()));

            let state = State::read(&root.path().join("state.json")).unwrap().unwrap();
            assert_eq!(run(Command::Down).unwrap(), "down\n");
            for server in &state.ours {
                assert!(!server.to_left().is_running() && !server.directory.exists());
            }
        }
    }
}
