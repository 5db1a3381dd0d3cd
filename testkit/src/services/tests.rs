use std::fs;
use std::path::Path;

use super::{Given, Keep, Machine, Server, Services};

/// A machine with nothing on it.
fn bare(root: &Path, is_root: bool) -> Machine {
    Machine {
        path: root.join("bin").into_os_string(),
        postgres_versions: root.join("postgresql"),
        is_root,
        policy: root.join("policy-rc.d"),
    }
}

#[test]
fn where_nothing_may_be_installed_it_says_what_is_missing_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let machine = bare(root.path(), false);
    assert_eq!(
        Server::postgres(&machine).unwrap_err().to_string(),
        "Postgres is not installed, and only root on Debian may install it from here: install it \
         (`apt-get install postgresql`), or set DATABASE_URL to the address of a running one"
    );
    let given = Given { database_url: Some("postgres://there".into()), redis_url: None };
    assert_eq!(
        Services::start(&machine, given).unwrap_err().to_string(),
        "Redis is not installed, and only root on Debian may install it from here: install it \
         (`apt-get install redis-server`), or set REDIS_URL to the address of a running one"
    );
    // Root, but of no Debian.
    let refused = Server::redis(&bare(root.path(), true), Keep::Nothing).unwrap_err();
    assert!(refused.to_string().contains("set REDIS_URL"), "{refused}");
}

#[test]
fn what_is_given_is_used() {
    let root = tempfile::tempdir().unwrap();
    let given = Given {
        database_url: Some("postgres://there".into()),
        redis_url: Some("redis://there".into()),
    };
    let services = Services::start(&bare(root.path(), false), given).unwrap();
    assert_eq!(
        services.vars(),
        [
            ("DATABASE_URL".to_owned(), "postgres://there".to_owned()),
            ("REDIS_URL".to_owned(), "redis://there".to_owned()),
        ]
    );
    assert!(services.leave().is_empty(), "nothing of our own");
}

#[cfg(unix)]
mod unix {
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Keep, Server, bare, fs};
    use crate::services::Watcher;

    /// A machine whose `apt-get` is this script.
    fn with_apt(script: &str) -> (tempfile::TempDir, super::Machine) {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let apt = bin.join("apt-get");
        let head = format!("#!/bin/sh\nPATH=$PATH:/usr/bin:/bin; cd {}\n", root.path().display());
        fs::write(&apt, head + script).unwrap();
        fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).unwrap();
        let machine = bare(root.path(), true);
        (root, machine)
    }

    #[test]
    fn what_is_missing_is_installed_and_not_started() {
        let (root, machine) = with_apt(
            "echo \"$@\" >> calls; ./policy-rc.d; echo \"policy $?\" >> calls\n\
             [ -f updated ] || { [ $1 = update ] && touch updated; exit 1; }\n\
             touch bin/redis-server",
        );
        assert_eq!(machine.redis().unwrap(), root.path().join("bin/redis-server"));
        let install = "install --yes --quiet --no-install-recommends redis-server";
        let calls = fs::read_to_string(root.path().join("calls")).unwrap();
        assert_eq!(
            calls,
            format!("{install}\npolicy 101\nupdate --quiet\npolicy 101\n{install}\npolicy 101\n")
        );
        assert!(!machine.policy.exists(), "the rule went with the need for it");
    }

    /// Run by the next test in a process of its own, where it is killed; by itself it ends at once.
    #[test]
    fn start_a_family_and_wait_to_be_killed() {
        #[expect(clippy::disallowed_methods, reason = "how the next test speaks to this one")]
        let stays = std::env::var_os("WAIT_TO_BE_KILLED").is_some();
        let script = if stays { "sleep 600 & echo family $! $$; wait" } else { "echo family" };
        let (mut child, watcher) = Watcher::spawn(Command::new("sh").args(["-c", script])).unwrap();
        assert!(child.wait().unwrap().success());
        drop(watcher);
    }

    #[test]
    fn children_and_theirs_do_not_outlive_a_killed_owner() {
        let name = "services::tests::unix::start_a_family_and_wait_to_be_killed";
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("WAIT_TO_BE_KILLED", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.contains("family ")).unwrap();
        let (_, pids) = line.split_once("family ").unwrap();
        // One that is gone has no home; nor has one that nobody has buried yet.
        let run = || pids.split(' ').any(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok());
        assert!(run());

        owner.kill().unwrap();
        owner.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while run() {
            assert!(Instant::now() < deadline, "they outlived their owner");
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_rule_of_the_machine_stays_and_a_failed_installation_says_why() {
        let (_root, machine) = with_apt("echo no network >&2; exit 100");
        fs::write(&machine.policy, "exit 0").unwrap();
        let refused = Server::redis(&machine, Keep::Nothing).unwrap_err().to_string();
        assert!(refused.contains("no network") && refused.contains("REDIS_URL"), "{refused}");
        assert_eq!(fs::read_to_string(&machine.policy).unwrap(), "exit 0");
    }
}

/// These start servers of their own, so they need them installed, or to be root on Debian.
mod needs_services {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::server::Left;
    use super::{Given, Keep, Machine, Server, Services};

    #[test]
    fn a_postgres_comes_back_where_it_was() {
        let mut server = Server::postgres(&Machine::this()).unwrap();
        let (url, first) = (server.url().to_owned(), server.pid().unwrap());
        server.restart().unwrap();
        assert_ne!(server.pid(), Some(first));
        server.kill().unwrap();
        assert_eq!(server.pid(), None);
        server.start().unwrap();
        assert_eq!(server.url(), url);
        assert!(server.flush().is_err(), "it is no Redis");
    }

    #[test]
    fn a_redis_comes_back_where_it_was() {
        let mut server = Server::redis(&Machine::this(), Keep::Everything).unwrap();
        let url = server.url().to_owned();
        server.flush().unwrap();
        server.kill().unwrap();
        assert!(server.flush().is_err(), "it is gone");
        server.start().unwrap();
        server.flush().unwrap();
        assert_eq!(server.url(), url);
    }

    #[test]
    fn what_is_left_can_be_stopped_later() {
        let given = Given { database_url: Some("postgres://there".into()), redis_url: None };
        let services = Services::start(&Machine::this(), given).unwrap();
        let left = services.leave();
        let [(variable, redis)] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!(*variable, "REDIS_URL");
        assert!(redis.is_running());
        // Its number, at home elsewhere: another process by now.
        let elsewhere = tempfile::tempdir().unwrap();
        let stranger = Left { directory: elsewhere.path().to_owned(), ..redis.clone() };
        assert!(!stranger.is_running());
        stranger.stop().unwrap();
        assert!(redis.is_running(), "it was left alone");
        redis.stop().unwrap();
        assert!(!redis.is_running());
        assert!(!redis.directory.exists());
    }

    /// Run by the next test in a process of its own, where it is killed; by itself it ends at once.
    #[test]
    fn start_a_redis_and_wait_to_be_killed() {
        let server = Server::redis(&Machine::this(), Keep::Nothing).unwrap();
        #[expect(clippy::disallowed_methods, reason = "how the next test speaks to this one")]
        if std::env::var_os("WAIT_TO_BE_KILLED").is_some() {
            println!("\nredis {} {}", server.pid().unwrap(), server.directory().display());
            loop {
                thread::park();
            }
        }
    }

    #[test]
    fn a_server_does_not_outlive_a_killed_owner() {
        let name = "services::tests::needs_services::start_a_redis_and_wait_to_be_killed";
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("WAIT_TO_BE_KILLED", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.starts_with("redis ")).unwrap();
        let [_, pid, directory] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (server, url) = ("Redis".to_owned(), String::new());
        let redis = Left { server, pid: pid.parse().unwrap(), url, directory: directory.into() };
        assert!(redis.is_running());

        owner.kill().unwrap();
        owner.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while redis.is_running() || redis.directory.exists() {
            assert!(Instant::now() < deadline, "it outlived its owner");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
