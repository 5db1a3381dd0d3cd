//! `cargo xtask codegen`: Rust from `agent_handler.proto`.
//!
//! The result is committed, so that whoever builds the crate needs neither `protoc` nor a build
//! script. What it was made of lies beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use prost::Message as _;
use protox::prost_reflect::prost_types::FileDescriptorSet;

use crate::{verdict, workspace::Workspace};

const CRATE: &str = "crates/bindu-grpc";
const PROTO: &str = "agent_handler.proto";
/// What the generators call the file of the package.
const PACKAGE: &str = "bindu.grpc.rs";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only compare, and fail if what is committed differs.
    #[arg(long)]
    check: bool,
}

/// A file as the contract wants it.
#[derive(Debug)]
struct Generated {
    path: PathBuf,
    bytes: Vec<u8>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<()> {
    let root = workspace.root().join(CRATE);
    let generated = generate(&root.join("proto"), workspace.root())?;
    if args.check {
        return verdict("codegen", &stale(&root, &generated));
    }
    for Generated { path, bytes } in &generated {
        fs::write(root.join(path), bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    println!("codegen: {} written", generated.len());
    Ok(())
}

/// Fails with the list of files that are not as the contract wants them.
pub(crate) fn check(workspace: &Workspace) -> anyhow::Result<()> {
    run(workspace, &Args { check: true })
}

fn generate(protos: &Path, style: &Path) -> anyhow::Result<Vec<Generated>> {
    let described = protox::compile([PROTO], [protos]).context("reading the contract")?;
    Ok(vec![
        Generated { path: "src/proto/generated.rs".into(), bytes: rust(&described, style)? },
        Generated { path: "src/proto/descriptor.bin".into(), bytes: without_source(described) },
    ])
}

/// Messages, clients and servers, formatted as the workspace is.
fn rust(described: &FileDescriptorSet, style: &Path) -> anyhow::Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("making a folder for the code")?;
    // The clients' `connect` would need tonic's own transport.
    let builder = tonic_prost_build::configure().build_transport(false).out_dir(folder.path());
    // In order, so that remarks come out the same each time.
    let builder = builder.btree_map(".");
    builder.compile_fds(described.clone()).context("generating the code")?;
    let file = folder.path().join(PACKAGE);
    let mut format = Command::new("rustfmt");
    format.args(["--edition", "2024", "--config-path"]).arg(style).arg(&file);
    crate::workspace::run(&mut format)?;
    fs::read(&file).context("reading the code")
}

/// The descriptors without comments and places, of which no program at the other end has a use.
fn without_source(mut described: FileDescriptorSet) -> Vec<u8> {
    for file in &mut described.file {
        file.source_code_info = None;
    }
    described.encode_to_vec()
}

fn stale(root: &Path, generated: &[Generated]) -> Vec<String> {
    let is_stale =
        |one: &&Generated| fs::read(root.join(&one.path)).map_or(true, |found| found != one.bytes);
    let stale = generated.iter().filter(is_stale);
    stale.map(|one| format!("{} is stale: run cargo xtask codegen", one.path.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Generated, fs, generate, stale};

    #[test]
    fn what_was_written_is_fresh_until_either_side_changes() {
        let root = tempfile::tempdir().unwrap();
        let mut generated = [Generated { path: "a.rs".into(), bytes: b"mod a;\n".to_vec() }];
        assert_eq!(stale(root.path(), &generated), ["a.rs is stale: run cargo xtask codegen"]);
        fs::write(root.path().join("a.rs"), "mod a;\n").unwrap();
        assert!(stale(root.path(), &generated).is_empty());
        generated[0].bytes = b"mod b;\n".to_vec();
        assert_eq!(stale(root.path(), &generated).len(), 1);
    }

    #[test]
    fn a_contract_that_does_not_hold_together_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text = "syntax = \"proto3\"; package bindu.grpc; message A { B b = 1; }";
        fs::write(folder.path().join("agent_handler.proto"), text).unwrap();
        let error = generate(folder.path(), folder.path()).unwrap_err();
        assert!(format!("{error:#}").contains('B'), "{error:#}");
    }
}
