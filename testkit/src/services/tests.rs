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
        cache: root.join("cache"),
    }
}

/// All of them, none of which is ours.
fn all_given() -> Given {
    Given {
        database_url: Some("postgres://there".into()),
        redis_url: Some("redis://there".into()),
        hydra_admin_url: Some("http://hydra:4445".into()),
        hydra_public_url: Some("http://hydra:4444".into()),
        ca_url: Some("https://ca".into()),
        ca_root_file: Some("/root.crt".into()),
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
    let refused = |given| Services::start(&machine, given).unwrap_err().to_string();
    assert_eq!(
        refused(Given { redis_url: None, ..all_given() }),
        "Redis is not installed, and only root on Debian may install it from here: install it \
         (`apt-get install redis-server`), or set REDIS_URL to the address of a running one"
    );
    assert_eq!(
        refused(Given { hydra_admin_url: None, hydra_public_url: None, ..all_given() }),
        "Hydra is built from its published Go module, and there is no Go here: install Go 1.25 or \
         later, or set HYDRA__ADMIN_URL and HYDRA__PUBLIC_URL to a running one"
    );
    assert_eq!(
        refused(Given { ca_url: None, ca_root_file: None, ..all_given() }),
        "step-ca is built from its published Go module, and there is no Go here: install Go 1.25 \
         or later, or set MTLS__CA_URL and MTLS__CA_ROOT_FILE to a running one"
    );
    assert_eq!(
        machine.chromium().unwrap_err().to_string(),
        "Chromium is not installed, and only root on Debian may install it from here: install it \
         (`apt-get install chromium-headless-shell fonts-dejavu-core`), or set CHROMIUM to the \
         program"
    );
    // Root, but of no Debian.
    let refused = Server::redis(&bare(root.path(), true), Keep::Nothing).unwrap_err();
    assert!(refused.to_string().contains("set REDIS_URL"), "{refused}");
}

#[test]
fn what_is_given_is_used() {
    let root = tempfile::tempdir().unwrap();
    let services = Services::start(&bare(root.path(), false), all_given()).unwrap();
    let expected = [
        ("DATABASE_URL", "postgres://there"),
        ("HYDRA__ADMIN_URL", "http://hydra:4445"),
        ("HYDRA__PUBLIC_URL", "http://hydra:4444"),
        ("MTLS__CA_ROOT_FILE", "/root.crt"),
        ("MTLS__CA_URL", "https://ca"),
        ("REDIS_URL", "redis://there"),
    ];
    assert_eq!(services.vars(), expected.map(|(name, url)| (name.to_owned(), url.to_owned())));
    assert!(services.leave().is_empty(), "nothing of our own");
}

#[test]
fn a_server_given_by_half_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let refused =
        |given| Services::start(&bare(root.path(), false), given).unwrap_err().to_string();
    assert_eq!(
        refused(Given { hydra_public_url: None, ..all_given() }),
        "HYDRA__ADMIN_URL is set, and HYDRA__PUBLIC_URL is not: both, or neither"
    );
    assert_eq!(
        refused(Given { ca_url: None, ..all_given() }),
        "MTLS__CA_ROOT_FILE is set, and MTLS__CA_URL is not: both, or neither"
    );
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
    use crate::services::go::Program;

    const HELLO: Program = Program {
        server: "Hello",
        name: "hello",
        version: "1.0.0",
        files: &[("go.mod", "module hello\n"), ("hello.go", "package main\n")],
        package: ".",
        variables: "HELLO_URL",
    };

    /// A machine with one program, which is this script.
    fn with(name: &str, script: &str) -> (tempfile::TempDir, super::Machine) {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        let program = bin.join(name);
        let head = "#!/bin/sh\nPATH=$PATH:/usr/bin:/bin\n";
        fs::write(&program, format!("{head}root={}\n{script}", root.path().display())).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let machine = bare(root.path(), true);
        (root, machine)
    }

    /// A machine whose `apt-get` is this script.
    fn with_apt(script: &str) -> (tempfile::TempDir, super::Machine) {
        with("apt-get", &format!("cd $root\n{script}"))
    }

    #[test]
    fn a_program_is_built_once_however_many_want_it() {
        let (root, machine) = with(
            "go",
            "echo $CGO_ENABLED $GOWORK >> $root/calls\n\
             cat go.mod *.go > program 2> /dev/null",
        );
        let files: Vec<_> = thread::scope(|scope| {
            let get = || scope.spawn(|| HELLO.get(&machine).unwrap());
            let builds = [get(), get(), get()];
            builds.map(|build| build.join().unwrap()).into()
        });
        assert_eq!(fs::read_to_string(root.path().join("calls")).unwrap(), "0 off\n");
        assert!(files.iter().all(|file| *file == files[0] && file.starts_with(&machine.cache)));
        assert_eq!(fs::read_to_string(&files[0]).unwrap(), "module hello\npackage main\n");
        let kept = fs::read_dir(&machine.cache).unwrap().map(|entry| entry.unwrap().file_name());
        let mut kept: Vec<_> = kept.map(|name| name.into_string().unwrap()).collect();
        kept.sort();
        let [program, lock] = kept.as_slice() else { panic!("{kept:?}") };
        assert!(program.starts_with("hello-1.0.0-") && lock == "hello.lock", "{kept:?}");

        // Other sources: another program.
        let sources = &[("go.mod", "module hello\n"), ("hello.go", "package other\n")];
        let changed = Program { files: sources, ..HELLO };
        assert_ne!(changed.get(&machine).unwrap(), files[0]);
    }

    #[test]
    fn a_failed_build_says_why_and_leaves_nothing() {
        let (_root, machine) = with("go", "echo no proxy >&2; exit 1");
        let refused = HELLO.get(&machine).unwrap_err().to_string();
        assert!(refused.starts_with("building Hello failed, and HELLO_URL name"), "{refused}");
        assert!(refused.ends_with("no proxy"), "{refused}");
        assert_eq!(fs::read_dir(&machine.cache).unwrap().count(), 1, "only the lock");
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

    #[test]
    fn a_chromium_comes_with_a_font_unless_there_is_one() {
        let (root, machine) = with_apt("echo \"$@\" >> calls; touch bin/chromium-headless-shell");
        let bin = root.path().join("bin");
        assert_eq!(machine.chromium().unwrap(), bin.join("chromium-headless-shell"));
        let calls = fs::read_to_string(root.path().join("calls")).unwrap();
        let packages = "chromium-headless-shell fonts-dejavu-core\n";
        assert!(calls.starts_with("install --yes") && calls.ends_with(packages), "{calls}");

        let (root, machine) = with_apt("echo \"$@\" >> calls");
        let refused = machine.chromium().unwrap_err().to_string();
        assert!(refused.contains("nobody set CHROMIUM to the program"), "{refused}");
        fs::write(root.path().join("bin/chromium"), "").unwrap();
        assert_eq!(machine.chromium().unwrap(), root.path().join("bin/chromium"));
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

/// These start servers of their own, so they need them installed, or to be root on Debian; and Go.
mod needs_services {
    mod locks;

    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::server::Left;
    use super::{Given, Keep, Machine, Server, Services, all_given};

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
        let given = Given { redis_url: None, ..all_given() };
        let services = Services::start(&Machine::this(), given).unwrap();
        let left = services.leave();
        let [redis] = left.as_slice() else { panic!("{left:?}") };
        assert_eq!(redis.vars, [("REDIS_URL", redis.url.clone())]);
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
        let (owner, redis) = owned("start_a_redis_and_wait_to_be_killed", "1");
        assert!(redis.is_running());
        gone_with(owner, &redis);
    }

    /// Starts the test of this name, which starts a server, in a process of its own.
    fn owned(test: &str, value: &str) -> (Child, Left) {
        let mut owner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("services::tests::needs_services::{test}"), "--nocapture"])
            .env("WAIT_TO_BE_KILLED", value)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
        let line = lines.map(Result::unwrap).find(|line| line.contains(" /")).unwrap();
        let [name, pid, directory] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (server, url, vars) = (name.to_owned(), String::new(), Vec::new());
        let (pid, directory) = (pid.parse().unwrap(), directory.into());
        (owner, Left { server, pid, url, directory, vars })
    }

    /// Kills the owner, and waits for its server to go, too.
    fn gone_with(mut owner: Child, server: &Left) {
        owner.kill().unwrap();
        owner.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while server.is_running() || server.directory.exists() {
            assert!(Instant::now() < deadline, "it outlived its owner");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
