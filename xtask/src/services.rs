//! `cargo xtask services`: a private Postgres, Redis, Hydra and step-ca, left running until they are
//! told to go.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use bindu_testkit::services::{Given, Left, Machine, Services};
use serde::{Deserialize, Serialize};

use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Command {
    /// Start what no variable names (`DATABASE_URL`, `REDIS_URL`; `HYDRA__ADMIN_URL` with
    /// `HYDRA__PUBLIC_URL`; `MTLS__CA_URL` with `MTLS__CA_ROOT_FILE`). Installs Postgres and Redis
    /// first if root on Debian, and builds Hydra and step-ca with Go.
    Up,
    /// Stop what `up` started, and remove its data.
    Down,
    /// Say what runs; fails unless all do.
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
                if state.is_whole() {
                    return Ok(state.status());
                }
                // Part of it is gone: the rest goes too, and all of it comes anew.
                state.stop()?;
            }
            let services = Services::start(machine, given.clone())?;
            let vars = services.vars();
            let ours = services.leave().into_iter().map(Ours::new).collect();
            let state = State { vars, ours };
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
    /// What points at all of them. An older `up` wrote none.
    #[serde(default)]
    vars: Vec<(String, String)>,
    /// The servers that we started, in the order in which to stop them.
    ours: Vec<Ours>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ours {
    name: String,
    #[serde(default)]
    variables: Vec<String>,
    pid: u32,
    url: String,
    directory: PathBuf,
}

impl Ours {
    fn new(left: Left) -> Self {
        let Left { server, pid, url, directory, vars } = left;
        let variables = vars.into_iter().map(|(name, _)| name.to_owned()).collect();
        Self { name: server, variables, pid, url, directory }
    }

    fn to_left(&self) -> Left {
        Left {
            server: self.name.clone(),
            pid: self.pid,
            url: self.url.clone(),
            directory: self.directory.clone(),
            vars: Vec::new(),
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

    /// Whether there is all that `up` starts, and it runs.
    fn is_whole(&self) -> bool {
        !self.vars.is_empty() && self.ours.iter().all(|server| server.to_left().is_running())
    }

    fn status(&self) -> String {
        let line = |(variable, value): &(String, String)| match self
            .ours
            .iter()
            .find(|one| one.variables.contains(variable))
        {
            Some(ours) => {
                let (name, pid, at) = (&ours.name, ours.pid, ours.directory.display());
                format!("{variable}={value}  # {name}, process {pid}, data in {at}\n")
            }
            None => format!("{variable}={value}  # not ours\n"),
        };
        self.vars.iter().map(line).collect()
    }

    /// Lines for a shell, whatever the addresses hold.
    fn export_lines(&self) -> String {
        let line = |(name, value): &(String, String)| {
            format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
        };
        self.vars.iter().map(line).collect()
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
            cache: root.join("cache"),
        }
    }

    #[test]
    fn given_servers_are_used_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let given = Given {
            database_url: Some("postgres://it's-there".to_owned()),
            redis_url: Some("redis://there".to_owned()),
            hydra_admin_url: Some("http://hydra:4445".to_owned()),
            hydra_public_url: Some("http://hydra:4444".to_owned()),
            ca_url: Some("https://ca".to_owned()),
            ca_root_file: Some("/root.crt".to_owned()),
        };
        let run = |command| run_in(root.path(), command, &bare(root.path()), &given);
        let status = "DATABASE_URL=postgres://it's-there  # not ours\n\
                      HYDRA__ADMIN_URL=http://hydra:4445  # not ours\n\
                      HYDRA__PUBLIC_URL=http://hydra:4444  # not ours\n\
                      MTLS__CA_ROOT_FILE=/root.crt  # not ours\n\
                      MTLS__CA_URL=https://ca  # not ours\n\
                      REDIS_URL=redis://there  # not ours\n";
        assert_eq!(run(Command::Up).unwrap(), status);
        assert_eq!(run(Command::Status).unwrap(), status);
        assert_eq!(
            run(Command::Env).unwrap(),
            "export DATABASE_URL='postgres://it'\\''s-there'\n\
             export HYDRA__ADMIN_URL='http://hydra:4445'\n\
             export HYDRA__PUBLIC_URL='http://hydra:4444'\n\
             export MTLS__CA_ROOT_FILE='/root.crt'\n\
             export MTLS__CA_URL='https://ca'\n\
             export REDIS_URL='redis://there'\n"
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
            let names: Vec<_> = servers.iter().map(|one| one.server.as_str()).collect();
            assert_eq!(names, ["step-ca", "Hydra", "Redis", "Postgres"]);
            assert!(servers.iter().all(Left::is_running));
            // One goes: that is noticed, and `up` mends it.
            servers[2].stop().unwrap();
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
