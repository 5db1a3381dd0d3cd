//! `cargo xtask layers`: the shape of the dependency graph.
//!
//! Every crate states its layer in `[package.metadata.bindu]` and may use lower
//! layers only; heavy packages are used by one crate; the two crates of words
//! reach no runtime and no socket. Dev-dependencies are exempt.

use std::collections::{BTreeMap, VecDeque};

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, Metadata};

use crate::{verdict, workspace, workspace::Workspace};

/// A heavy package and the one crate that may depend on it.
const OWNERS: [(&str, &str); 5] = [
    ("fred", "bindu-redis"),
    ("tokio-postgres", "bindu-postgres"),
    ("jsonrpsee", "bindu-server"),
    ("tonic", "bindu-grpc"),
    ("rusqlite", "bindu-sqlite"),
];

/// Crates that a framework takes alone, and what must not come along.
const PURE: [&str; 2] = ["bindu-protocol", "bindu-did"];
const RUNTIMES: [&str; 6] = ["tokio", "hyper", "mio", "socket2", "hyper-util", "rustls"];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let metadata = workspace.metadata()?;
    let members = members(&metadata);
    let mut problems = climbs(&members);
    problems.extend(strangers(&members));
    let graph = graph(&metadata)?;
    for start in PURE {
        problems.extend(absences(&graph, start));
    }
    verdict("layers", &problems)
}

/// What the checks need of a crate.
#[derive(Debug)]
struct Member {
    name: String,
    layer: Option<u64>,
    /// Names of its normal and build dependencies.
    uses: Vec<String>,
}

fn members(metadata: &Metadata) -> Vec<Member> {
    let member = |package: &cargo_metadata::Package| Member {
        name: package.name.to_string(),
        layer: package.metadata["bindu"]["layer"].as_u64(),
        uses: package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect(),
    };
    workspace::crates(metadata).into_iter().map(member).collect()
}

/// Crates that use one of their own layer or of a higher one.
fn climbs(members: &[Member]) -> Vec<String> {
    let layers: BTreeMap<_, _> = members.iter().map(|one| (one.name.as_str(), one.layer)).collect();
    let mut problems = Vec::new();
    for Member { name, layer, uses } in members {
        let Some(layer) = layer else {
            problems.push(format!("{name} states no layer: [package.metadata.bindu] layer = N"));
            continue;
        };
        for used in uses {
            if let Some(Some(other)) = layers.get(used.as_str())
                && other >= layer
            {
                problems.push(format!("{name} (layer {layer}) uses {used} (layer {other})"));
            }
        }
    }
    problems
}

/// Crates that use a heavy package of another.
fn strangers(members: &[Member]) -> Vec<String> {
    let mut problems = Vec::new();
    for Member { name, uses, .. } in members {
        for (package, owner) in OWNERS {
            if name != owner && uses.iter().any(|used| used == package) {
                problems.push(format!("{name} uses {package}, which belongs to {owner}"));
            }
        }
    }
    problems
}

/// Names of packages and of their normal dependencies, with every feature on.
type Graph = BTreeMap<String, Vec<String>>;

fn graph(metadata: &Metadata) -> anyhow::Result<Graph> {
    let resolve = metadata.resolve.as_ref().context("cargo resolved nothing")?;
    let name = |id: &cargo_metadata::PackageId| metadata[id].name.to_string();
    let mut graph = Graph::new();
    for node in &resolve.nodes {
        let normal = node.deps.iter().filter(|dependency| {
            dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
        });
        // Two versions of a package share a name, and then their dependencies.
        graph.entry(name(&node.id)).or_default().extend(normal.map(|one| name(&one.pkg)));
    }
    Ok(graph)
}

/// The ways from `start` to a package that it must not reach.
fn absences(graph: &Graph, start: &str) -> Vec<String> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    let mut problems = Vec::new();
    while let Some(at) = queue.pop_front() {
        if RUNTIMES.contains(&at) {
            let mut way = vec![at];
            while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                way.push(before);
            }
            way.reverse();
            problems.push(format!("{start} must not reach {at}: {}", way.join(" -> ")));
            continue;
        }
        for next in graph.get(at).into_iter().flatten() {
            if next != start && !came_from.contains_key(next.as_str()) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{Graph, Member, absences, climbs, strangers};

    fn member(name: &str, layer: Option<u64>, uses: &[&str]) -> Member {
        let uses = uses.iter().map(|&name| name.to_owned()).collect();
        Member { name: name.to_owned(), layer, uses }
    }

    #[test]
    fn only_lower_layers_may_be_used() {
        let members = [
            member("low", Some(0), &["serde"]),
            member("even", Some(1), &["low"]),
            member("high", Some(1), &["low", "even"]),
            member("bare", None, &[]),
            member("deep", Some(0), &["high"]),
        ];
        assert_eq!(
            climbs(&members),
            [
                "high (layer 1) uses even (layer 1)",
                "bare states no layer: [package.metadata.bindu] layer = N",
                "deep (layer 0) uses high (layer 1)",
            ]
        );
    }

    #[test]
    fn a_heavy_package_has_one_owner() {
        let members = [
            member("bindu-server", Some(4), &["jsonrpsee"]),
            member("bindu-worker", Some(4), &["jsonrpsee", "fred"]),
        ];
        assert_eq!(
            strangers(&members),
            [
                "bindu-worker uses fred, which belongs to bindu-redis",
                "bindu-worker uses jsonrpsee, which belongs to bindu-server",
            ]
        );
    }

    #[test]
    fn a_forbidden_package_is_found_with_the_way_to_it() {
        let edges = [
            ("bindu-did", "ring"),
            ("bindu-did", "a"),
            ("a", "b"),
            ("b", "tokio"),
            ("tokio", "mio"),
            ("b", "a"),
        ];
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry(from.to_owned()).or_default().push(to.to_owned());
        }
        assert_eq!(
            absences(&graph, "bindu-did"),
            ["bindu-did must not reach tokio: bindu-did -> a -> b -> tokio"]
        );
        assert!(absences(&graph, "ring").is_empty());
    }
}
