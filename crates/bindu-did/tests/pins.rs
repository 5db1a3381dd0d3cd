//! Keys of peers, remembered.

use std::{error::Error, fs, path::PathBuf};

use bindu_did::pins::{Config, PinError, Pins, Trust};
use bindu_did::{Did, PublicKey, SigningKey, agent_id};
use proptest::prelude::*;

fn key(seed: u8) -> PublicKey {
    SigningKey::from_seed(&[seed; 32]).public_key()
}

/// A DID that says nothing of its key.
fn asserted(name: &str) -> Did {
    Did::for_agent("ann", name, agent_id("ann", name)).expect("a DID")
}

fn certified(seed: u8) -> Did {
    Did::for_agent("ann", "echo", key(seed).id()).expect("a DID")
}

fn kept_in(file: PathBuf) -> Result<Pins, PinError> {
    Pins::open(Config { file: Some(file), ..Config::default() })
}

#[test]
fn another_key_is_refused_with_both_keys_named() -> Result<(), Box<dyn Error>> {
    let pins = Pins::in_memory();
    let did = asserted("echo");
    assert_eq!(pins.check(&did, &key(1))?, Trust::FirstUse);
    let told = pins.check(&did, &key(2)).unwrap_err().to_string();
    for part in [did.to_string(), key(1).to_string(), key(2).to_string()] {
        assert!(told.contains(&part), "{told}");
    }
    // The old one is still good, until someone says that it is not.
    assert_eq!(pins.check(&did, &key(1))?, Trust::Pinned);
    assert!(pins.forget(&did)?);
    assert!(!pins.forget(&did)?);
    assert_eq!(pins.check(&did, &key(2))?, Trust::FirstUse);
    Ok(())
}

#[test]
fn a_did_that_proved_its_key_cannot_be_presented_with_a_lesser_one() -> Result<(), Box<dyn Error>> {
    let pins = Pins::in_memory();
    assert_eq!(pins.check(&certified(1), &key(1))?, Trust::SelfCertified);
    assert!(matches!(pins.check(&certified(1), &key(2)), Err(PinError::OtherKey { .. })));
    Ok(())
}

#[test]
fn proof_is_worth_more_than_a_first_meeting() -> Result<(), Box<dyn Error>> {
    let pins = Pins::in_memory();
    // Someone came first and pretended.
    assert_eq!(pins.check(&certified(1), &key(2))?, Trust::FirstUse);
    assert_eq!(pins.check(&certified(1), &key(1))?, Trust::SelfCertified);
    assert!(pins.check(&certified(1), &key(2)).is_err());
    Ok(())
}

#[test]
fn only_dids_that_prove_their_key_are_taken_if_so_configured() -> Result<(), Box<dyn Error>> {
    let pins = Pins::open(Config { require_self_certified: true, ..Config::default() })?;
    let refused = pins.check(&asserted("echo"), &key(1));
    assert!(matches!(refused, Err(PinError::NotSelfCertified { .. })));
    assert!(matches!(pins.check(&certified(1), &key(2)), Err(PinError::NotSelfCertified { .. })));
    assert_eq!(pins.check(&certified(1), &key(1))?, Trust::SelfCertified);
    Ok(())
}

#[test]
fn what_is_pinned_is_never_dropped_to_make_room() -> Result<(), Box<dyn Error>> {
    let pins = Pins::open(Config { max: 2, ..Config::default() })?;
    pins.check(&asserted("a"), &key(1))?;
    pins.check(&asserted("b"), &key(2))?;
    let refused = pins.check(&asserted("c"), &key(3));
    assert!(matches!(refused, Err(PinError::Full { max: 2, .. })), "{refused:?}");
    // Who proves its key needs no room.
    assert_eq!(pins.check(&certified(4), &key(4))?, Trust::SelfCertified);
    assert_eq!(pins.check(&asserted("a"), &key(1))?, Trust::Pinned);
    assert!(pins.check(&asserted("a"), &key(3)).is_err());
    assert_eq!(pins.len(), 2);
    Ok(())
}

#[test]
fn pins_outlive_the_process_in_a_file_for_the_owner_alone() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("peers.json");
    kept_in(file.clone())?.check(&asserted("echo"), &key(1))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    }
    let again = kept_in(file)?;
    assert_eq!(again.check(&asserted("echo"), &key(1))?, Trust::Pinned);
    assert!(matches!(again.check(&asserted("echo"), &key(2)), Err(PinError::OtherKey { .. })));
    Ok(())
}

#[test]
fn processes_that_share_a_file_agree() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("peers.json");
    let (one, other) = (kept_in(file.clone())?, kept_in(file.clone())?);
    assert_eq!(one.check(&asserted("a"), &key(1))?, Trust::FirstUse);
    // The other has read the file before, and looks again.
    assert!(matches!(other.check(&asserted("a"), &key(2)), Err(PinError::OtherKey { .. })));
    assert_eq!(other.check(&asserted("a"), &key(1))?, Trust::Pinned);
    assert_eq!(other.check(&asserted("b"), &key(2))?, Trust::FirstUse);
    let both = kept_in(file.clone())?;
    assert_eq!((both.get(&asserted("a")), both.get(&asserted("b"))), (Some(key(1)), Some(key(2))));
    assert!(one.forget(&asserted("b"))?, "also what the other wrote");
    assert_eq!(kept_in(file)?.len(), 1);
    Ok(())
}

#[test]
fn a_file_that_is_not_understood_is_an_error_and_stays() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("peers.json");
    for text in ["", "[]", r#"{"pins":{"ann":"x"}}"#, r#"{"pins":{"did:bindu:a:b":"x"}}"#] {
        fs::write(&file, text)?;
        let error = kept_in(file.clone()).unwrap_err();
        assert!(error.to_string().contains("peers.json cannot be understood"), "{text}: {error}");
        assert_eq!(fs::read_to_string(&file)?, text);
    }
    fs::write(&file, [0xff])?;
    assert!(kept_in(file).is_err(), "bytes that are no text are not no file");
    Ok(())
}

proptest! {
    /// Whatever is tried, a DID that is met has one key from then on, unless it proves another.
    #[test]
    fn a_did_has_one_key(tries in proptest::collection::vec((0_u8..3, 0_u8..3), 1..40)) {
        let pins = Pins::in_memory();
        let mut model = std::collections::BTreeMap::new();
        for (name, seed) in tries {
            let did = asserted(&name.to_string());
            let first = *model.entry(name).or_insert(seed);
            prop_assert_eq!(pins.check(&did, &key(seed)).is_ok(), first == seed);
            prop_assert_eq!(pins.get(&did), Some(key(first)));
        }
    }
}

#[test]
fn the_directory_of_the_file_is_made_when_there_is_something_to_keep() -> Result<(), Box<dyn Error>>
{
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("not/there/pins.json");
    let pins = kept_in(file.clone())?;
    assert!(!file.parent().ok_or("it has one")?.exists(), "nothing is met yet");
    assert_eq!(pins.check(&asserted("echo"), &key(1))?, Trust::FirstUse);
    assert_eq!(kept_in(file)?.check(&asserted("echo"), &key(1))?, Trust::Pinned);
    Ok(())
}
