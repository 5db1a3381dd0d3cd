//! The rules by which an identity is made, kept and refused.

use std::{
    error::Error,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use bindu_did::{
    Did, PublicKey, SigningKey, agent_id,
    key_dir::{self, Config, DidSuffix, Identity, KeyDirError},
};
use tempfile::TempDir;
use uuid::Uuid;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn config(parent: &TempDir) -> Config {
    Config {
        dir: parent.path().join("a/.bindu"),
        author: "ann@example.com".to_owned(),
        name: "echo".to_owned(),
        ..Config::default()
    }
}

fn open(config: &Config) -> Identity {
    key_dir::open(config, NOW).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn refused(config: &Config) -> KeyDirError {
    key_dir::open(config, NOW).expect_err("the identity must be refused")
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += ": ";
        text += &error.to_string();
        source = error.source();
    }
    text
}

/// What the Python reference leaves behind: a key, and no `did.json`.
fn made_by_the_reference(config: &Config) -> SigningKey {
    let key = SigningKey::from_seed(&[5; 32]);
    fs::create_dir_all(&config.dir).expect("a directory");
    plant(&config.dir.join("private.pem"), &key.to_pkcs8_pem(), 0o600);
    plant(&config.dir.join("public.pem"), &key.public_key().to_pem(), 0o644);
    key
}

fn plant(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("a file");
    chmod(path, mode);
}

#[cfg(unix)]
fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[cfg(not(unix))]
fn chmod(_: &Path, _: u32) {}

fn by_key(identity: &Identity) -> bool {
    identity.did().is_self_certified(&identity.key().public_key())
}

fn by_agent_id(identity: &Identity) -> bool {
    identity.did().suffix() == Some(identity.agent_id())
}

#[test]
fn a_new_identity_is_a_fingerprint_of_its_key_and_stays() {
    let parent = temporary();
    let config = config(&parent);
    let first = open(&config);
    assert!(by_key(&first));
    assert_eq!(first.agent_id(), agent_id("ann@example.com", "echo"));
    assert_eq!(first.document().created, "1970-01-01T00:00:00+00:00");
    assert!(first.replaced().is_none());

    let second = key_dir::open(&config, NOW + Duration::from_secs(99)).unwrap();
    assert_eq!(second.document(), first.document());
    assert!(second.replaced().is_none());

    let did_json = fs::read_to_string(config.dir.join("did.json")).unwrap();
    assert!(did_json.contains(first.did().as_str()), "{did_json}");
}

#[cfg(unix)]
#[test]
fn files_get_their_modes_and_nothing_else_is_left() {
    use std::os::unix::fs::PermissionsExt;

    let parent = temporary();
    let config = config(&parent);
    open(&config);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&config.dir), 0o700);
    assert_eq!(mode(&config.dir.join("private.pem")), 0o600);
    let mut names: Vec<_> =
        fs::read_dir(&config.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".lock", "did.json", "private.pem", "public.pem"]);
}

#[test]
fn a_directory_of_the_reference_keeps_its_did() {
    let parent = temporary();
    let mut config = config(&parent);
    // A name that a new identity could not have.
    config.name = "Agent #7".to_owned();
    let key = made_by_the_reference(&config);
    let before = fs::read(config.dir.join("private.pem")).unwrap();

    let identity = open(&config);
    assert_eq!(identity.key().public_key(), key.public_key());
    assert!(by_agent_id(&identity));
    assert_eq!(identity.did().name(), Some("agent_#7"));
    assert_ne!(identity.document().created, "1970-01-01T00:00:00+00:00", "the file's time");
    assert_eq!(open(&config).document(), identity.document());
    assert_eq!(fs::read(config.dir.join("private.pem")).unwrap(), before);

    // A second agent of that directory was one of the reference's, too.
    config.name = "other".to_owned();
    assert!(by_agent_id(&open(&config)));
}

#[test]
fn credentials_that_name_the_agent_keep_its_did() {
    let parent = temporary();
    let config = config(&parent);
    fs::create_dir_all(&config.dir).unwrap();
    let id = agent_id("ann@example.com", "echo");
    let credentials = format!(
        r#"{{"did:bindu:x:y:1": {{"agent_id": "{}"}},
            "did:bindu:ann:old-name:{id}": {{"agent_id": "{id}", "client_secret": "s"}}}}"#,
        Uuid::nil()
    );
    plant(&config.dir.join("oauth_credentials.json"), &credentials, 0o600);
    let identity = open(&config);
    assert_eq!(identity.did().as_str(), format!("did:bindu:ann:old-name:{id}"));

    fs::remove_file(config.dir.join("oauth_credentials.json")).unwrap();
    assert_eq!(open(&config).did(), identity.did());
}

#[test]
fn a_did_known_elsewhere_is_kept() {
    let parent = temporary();
    let mut config = config(&parent);
    let known: Did = "did:bindu:ann:echo:from-the-database".parse().unwrap();
    config.known_did = Some(known.clone());
    assert_eq!(open(&config).did(), &known);
}

#[test]
fn a_rule_can_be_forced_and_the_change_is_reported() {
    let parent = temporary();
    let mut config = config(&parent);
    let first = open(&config);

    config.suffix = "agent-id".parse().unwrap();
    let second = open(&config);
    assert!(by_agent_id(&second));
    assert_eq!(second.replaced(), Some(first.did()));
    assert!(open(&config).replaced().is_none());

    config.suffix = DidSuffix::Auto;
    assert_eq!(open(&config).did(), second.did());
    config.suffix = DidSuffix::Key;
    assert_eq!(open(&config).did(), first.did());
}

#[test]
fn two_agents_of_one_directory_share_the_key_and_not_the_did() {
    let parent = temporary();
    let mut config = config(&parent);
    let echo = open(&config);
    config.name = "shout".to_owned();
    let shout = open(&config);
    assert_eq!(echo.key().public_key(), shout.key().public_key());
    assert_eq!((echo.did().name(), shout.did().name()), (Some("echo"), Some("shout")));
    config.name = "echo".to_owned();
    assert_eq!(open(&config).document(), echo.document());
}

#[test]
fn a_lost_or_wrong_public_key_is_derived_again() {
    let parent = temporary();
    let config = config(&parent);
    let identity = open(&config);
    let public_pem = config.dir.join("public.pem");
    let other = SigningKey::from_seed(&[1; 32]).public_key().to_pem();
    for damage in [None, Some(other.as_str()), Some("rubbish")] {
        match damage {
            None => fs::remove_file(&public_pem).unwrap(),
            Some(text) => fs::write(&public_pem, text).unwrap(),
        }
        assert_eq!(open(&config).document(), identity.document());
        let text = fs::read_to_string(&public_pem).unwrap();
        assert_eq!(PublicKey::from_pem(&text).unwrap(), identity.key().public_key());
    }
}

#[cfg(unix)]
#[test]
fn a_private_key_open_to_others_is_refused_with_the_command_that_mends_it() {
    let parent = temporary();
    let mut config = config(&parent);
    config.dir = parent.path().join("Ann's agents");
    made_by_the_reference(&config);
    let path = config.dir.join("private.pem");
    for mode in [0o640, 0o604, 0o644, 0o660] {
        chmod(&path, mode);
        let error = refused(&config);
        assert!(matches!(error, KeyDirError::LaxPermissions { mode: found, .. } if found == mode));
        let message = error.to_string();
        assert!(message.contains("chmod 600 '"), "{message}");
        assert!(message.contains(r"Ann'\''s agents/private.pem'"), "{message}");
    }
    config.allow_lax_permissions = true;
    open(&config);
    config.allow_lax_permissions = false;
    chmod(&path, 0o400);
    open(&config);
}

#[test]
fn a_lost_private_key_is_not_replaced_behind_its_dids_back() {
    let parent = temporary();
    let mut config = config(&parent);
    let first = open(&config);
    fs::remove_file(config.dir.join("private.pem")).unwrap();
    assert!(matches!(refused(&config), KeyDirError::KeyLost { .. }));
    assert!(!config.dir.join("private.pem").exists());

    config.recreate_keys = true;
    let second = open(&config);
    assert!(by_key(&second));
    assert_eq!(second.replaced(), Some(first.did()));
}

#[test]
fn a_swapped_private_key_is_refused_unless_the_did_does_not_depend_on_it() {
    let parent = temporary();
    let mut config = config(&parent);
    open(&config);
    let other = SigningKey::from_seed(&[1; 32]);
    plant(&config.dir.join("private.pem"), &other.to_pkcs8_pem(), 0o600);
    assert!(matches!(refused(&config), KeyDirError::OtherKey { .. }));

    let parent = temporary();
    config.dir = parent.path().join(".bindu");
    config.suffix = DidSuffix::AgentId;
    let before = open(&config);
    plant(&config.dir.join("private.pem"), &other.to_pkcs8_pem(), 0o600);
    let after = open(&config);
    assert_eq!(after.did(), before.did());
    assert_eq!(after.key().public_key(), other.public_key());
    assert_eq!(after.document().public_key().unwrap(), other.public_key());
}

#[test]
fn keys_are_made_anew_at_every_start_if_asked() {
    let parent = temporary();
    let mut config = config(&parent);
    config.recreate_keys = true;
    let first = open(&config);
    let second = open(&config);
    assert_ne!(first.key().public_key(), second.key().public_key());
    assert!(by_key(&second));

    config.recreate_keys = false;
    assert_eq!(open(&config).document(), second.document());
}

#[test]
fn a_start_cut_off_between_two_files_is_taken_up_again() {
    let parent = temporary();
    let config = config(&parent);
    // The directory is claimed, and the key is not there yet.
    fs::create_dir_all(&config.dir).unwrap();
    fs::write(config.dir.join("did.json"), r#"{"newIdentities": "key"}"#).unwrap();
    assert!(by_key(&open(&config)));

    // The key is there, and nothing is known about it yet.
    fs::write(config.dir.join("did.json"), r#"{"newIdentities": "key"}"#).unwrap();
    assert!(by_key(&open(&config)));
}

#[test]
fn bad_names_are_refused_before_anything_is_written() {
    for (author, name) in [("ann:b", "echo"), ("ann", "a/b"), ("", "echo"), ("ann", "x\ny")] {
        let parent = temporary();
        let config = Config { author: author.into(), name: name.into(), ..config(&parent) };
        let error = refused(&config);
        assert!(matches!(error, KeyDirError::Name { .. }), "{}", chain(&error));
        assert!(!config.dir.join("private.pem").exists());
        assert!(!config.dir.join("did.json").exists());
    }
}

#[test]
fn damaged_files_are_errors_that_name_the_file() {
    for (file, text) in [
        ("did.json", "{"),
        ("did.json", r#"{"identities": {"00000000-0000-0000-0000-000000000000": "nonsense"}}"#),
        ("oauth_credentials.json", "[]"),
    ] {
        let parent = temporary();
        let config = config(&parent);
        fs::create_dir_all(&config.dir).unwrap();
        fs::write(config.dir.join(file), text).unwrap();
        let message = refused(&config).to_string();
        assert!(message.contains(file), "{message}");
    }
    let parent = temporary();
    let config = config(&parent);
    made_by_the_reference(&config);
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAQID\n-----END RSA PRIVATE KEY-----\n";
    plant(&config.dir.join("private.pem"), rsa, 0o600);
    let message = chain(&refused(&config));
    assert!(message.ends_with("private key is not an Ed25519 key"), "{message}");
}

#[test]
fn starts_at_the_same_time_agree_on_one_identity() {
    let parent = temporary();
    let config = config(&parent);
    let dids: Vec<Did> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..16).map(|_| scope.spawn(|| open(&config).did().clone())).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(dids.iter().all(|did| *did == dids[0]), "{dids:?}");
    assert_eq!(open(&config).did(), &dids[0]);
}

#[test]
fn a_configured_id_takes_the_place_of_the_agent_id() {
    let parent = temporary();
    let mut config = config(&parent);
    config.agent_id = Some(Uuid::from_u128(7));
    config.suffix = DidSuffix::AgentId;
    let identity = open(&config);
    assert_eq!(identity.agent_id(), Uuid::from_u128(7));
    assert_eq!(identity.did().suffix(), Some(Uuid::from_u128(7)));
}

#[test]
fn a_password_for_a_key_in_the_open_is_refused() {
    let parent = temporary();
    let mut config = config(&parent);
    open(&config);
    config.password = Some("correct horse".to_owned().into());
    assert!(matches!(refused(&config), KeyDirError::NotEncrypted { .. }));
}

#[cfg(feature = "encryption")]
#[test]
fn a_new_key_is_written_under_the_password() {
    let parent = temporary();
    let mut config = config(&parent);
    config.password = Some("correct horse".to_owned().into());
    assert!(!format!("{config:?}").contains("horse"));
    let identity = open(&config);
    let text = fs::read_to_string(config.dir.join("private.pem")).unwrap();
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(open(&config).document(), identity.document());
}

/// As the reference writes it: 2048 rounds, password `hunter2`.
#[cfg(feature = "encryption")]
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqGSIb3DQEFDDAkBBARxhx/bil5wexT22+y
xiR0AgIIADAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQM131NrpDNrCyjeKy
JqNVDgRABQPm9u5h7sJpIjZ7ECjEq7H9cXSl2xi1ijpvWYLGOY0UrQUcWtVqX1gd
6h/PiLUqHdOc4CcjDszJ5LtgwNXq9Q==
-----END ENCRYPTED PRIVATE KEY-----
";

#[cfg(feature = "encryption")]
#[test]
fn a_key_under_a_password_opens_with_it_alone_and_stays_encrypted() {
    let parent = temporary();
    let mut config = config(&parent);
    fs::create_dir_all(&config.dir).unwrap();
    let path = config.dir.join("private.pem");
    plant(&path, ENCRYPTED, 0o600);

    config.password = Some("hunter2".to_owned().into());
    open(&config);
    assert_eq!(fs::read_to_string(&path).unwrap(), ENCRYPTED);

    config.password = Some("wrong".to_owned().into());
    let message = chain(&refused(&config));
    assert!(message.ends_with("private key cannot be decrypted with this password"), "{message}");
    config.password = None;
    let message = chain(&refused(&config));
    assert!(message.contains("private key is encrypted but no password was provided"), "{message}");
}

#[cfg(not(feature = "encryption"))]
#[test]
fn without_the_feature_a_password_is_refused_and_not_ignored() {
    let parent = temporary();
    let mut config = config(&parent);
    config.password = Some("correct horse".to_owned().into());
    let message = chain(&refused(&config));
    assert!(message.contains("feature `encryption`"), "{message}");
    assert!(!config.dir.join("private.pem").exists());
}

#[test]
fn reading_finds_the_identity_and_writes_nothing() {
    let parent = temporary();
    let made = open(&config(&parent));
    let files = || {
        let listed = fs::read_dir(parent.path().join("a/.bindu")).expect("a directory");
        listed.map(|entry| entry.expect("an entry").file_name()).collect::<Vec<_>>()
    };
    let before = files();
    let alone = Config { dir: config(&parent).dir, ..Config::default() };
    let found = key_dir::read(&alone).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!((found.document(), found.agent_id()), (made.document(), made.agent_id()));
    assert_eq!(files(), before);
}

#[test]
fn reading_makes_no_identity() {
    let parent = temporary();
    let error = key_dir::read(&config(&parent)).unwrap_err();
    assert!(matches!(error, KeyDirError::NoIdentity { .. }), "{error}");
    assert!(!config(&parent).dir.exists());

    // A key alone has no name.
    made_by_the_reference(&config(&parent));
    let error = key_dir::read(&config(&parent)).unwrap_err();
    assert!(matches!(error, KeyDirError::NoIdentity { .. }), "{error}");
}

#[test]
fn reading_asks_which_of_several_identities_is_meant() {
    let parent = temporary();
    let echo = open(&config(&parent));
    let other = Config { name: "other".to_owned(), ..config(&parent) };
    let other_did = open(&other).did().clone();

    let dir = config(&parent).dir;
    let alone = Config { dir, ..Config::default() };
    let error = key_dir::read(&alone).unwrap_err().to_string();
    assert!(error.contains(echo.did().as_str()) && error.contains(other_did.as_str()), "{error}");

    let by = |wanted: Config| key_dir::read(&wanted).map(|found| found.did().clone());
    assert_eq!(by(other).unwrap(), other_did);
    let named = Config { known_did: Some(other_did.clone()), ..alone.clone() };
    assert_eq!(by(named).unwrap(), other_did);
    let unknown = Config { known_did: "did:bindu:a:b:c".parse().ok(), ..alone };
    assert!(matches!(by(unknown), Err(KeyDirError::WhichIdentity { .. })));
}

#[test]
fn reading_takes_the_did_from_credentials_where_the_reference_left_it() {
    let parent = temporary();
    let config = config(&parent);
    made_by_the_reference(&config);
    let id = agent_id(&config.author, &config.name);
    let did = Did::for_known_agent(&config.author, &config.name, id).expect("a DID");
    let credentials = format!(r#"{{"{did}": {{"agent_id": "{id}", "client_id": "{did}"}}}}"#);
    plant(&config.dir.join("oauth_credentials.json"), &credentials, 0o600);
    let alone = Config { dir: config.dir.clone(), ..Config::default() };
    assert_eq!(key_dir::read(&alone).unwrap().did(), &did);
    assert!(!config.dir.join("did.json").exists());
}

#[test]
#[cfg(unix)]
fn reading_refuses_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;

    let parent = temporary();
    open(&config(&parent));
    let key = config(&parent).dir.join("private.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a mode");
    let error = key_dir::read(&config(&parent)).unwrap_err();
    assert!(matches!(error, KeyDirError::LaxPermissions { .. }), "{error}");
}
