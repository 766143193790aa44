//! Each way to break the layers, on a workspace of a few lines.

use super::*;

const TABLE: &str = "\
# Architecture

## Layers

| package | layer | duty |
|---|---|---|
| `crates/domain` | L0 | the rules |
| `crates/nexus` | L0 | the store |
| `crates/vault` | L1 | blobs |
| `crates/executor` | L1 | commands |
| `crates/ledger` | L2 | state |
| `crates/agent` | L3 | actors |

## Walkthrough

| `crates/not-a-row` | L9 | another table |
";

const PACKAGES: [&str; 6] = ["domain", "nexus", "vault", "executor", "ledger", "agent"];

/// Checks the workspace of the table, in which `dir` has the given dependencies.
fn check_one(dir: &str, dependencies: &[&str]) -> Vec<String> {
    let known = PACKAGES
        .iter()
        .map(|name| package(&format!("crates/{name}"), &[]));
    let mut packages: Vec<Package> = known.filter(|known| known.dir != dir).collect();
    packages.push(package(dir, dependencies));
    problems(&check(&Tree::of(&[(DOCUMENT, TABLE)]), &packages))
}

fn package(dir: &str, dependencies: &[&str]) -> Package {
    let name = format!(
        "hiveforge-{}",
        dir.trim_start_matches("crates/").replace('/', "-")
    );
    let dependency = |name: &&str| Dependency {
        name: (*name).to_owned(),
        rename: None,
    };
    Package {
        name,
        dir: dir.to_owned(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

fn problems(violations: &[Violation]) -> Vec<String> {
    violations
        .iter()
        .map(|violation| violation.problem.clone())
        .collect()
}

#[test]
fn a_lower_layer_may_be_used() {
    assert_eq!(
        check_one("crates/ledger", &["hiveforge-domain", "hiveforge-nexus", "serde"]),
        [] as [&str; 0]
    );
    assert_eq!(check_one("crates/vault", &["hiveforge-domain"]), [] as [&str; 0]);
}

#[test]
fn a_higher_layer_may_not_be_used() {
    let found = check_one("crates/domain", &["hiveforge-ledger"]);
    assert_eq!(found, ["crates/domain (L0) may not use crates/ledger (L2)"]);
}

#[test]
fn the_same_layer_may_not_be_used() {
    let found = check_one("crates/vault", &["hiveforge-executor"]);
    assert_eq!(found, ["crates/vault (L1) may not use crates/executor (L1)"]);
}

#[test]
fn a_building_block_knows_the_domain_alone() {
    let used = package("crates/journal", &[]);
    let table = format!("{HEADING}\n| `crates/journal` | L0 | x |\n| `crates/vault` | L1 | x |\n");
    let packages = [used, package("crates/vault", &["hiveforge-journal"])];
    let found = problems(&check(&Tree::of(&[(DOCUMENT, &table)]), &packages));
    assert_eq!(
        found,
        ["crates/vault (L1) may use crates/domain alone, not crates/journal"]
    );
}

#[test]
fn the_store_belongs_to_the_ledger() {
    let found = check_one("crates/agent", &["hiveforge-nexus"]);
    assert_eq!(found, ["crates/agent may not use hiveforge-nexus"]);
}

#[test]
fn the_actor_library_belongs_to_the_supervisors() {
    assert_eq!(
        check_one("crates/agent", &["ractor"]),
        ["crates/agent may not use ractor"]
    );
}

#[test]
fn every_package_has_a_row_and_every_row_a_package() {
    let tree = Tree::of(&[(DOCUMENT, "## Layers\n\n| `crates/gone` | L1 | x |\n")]);
    let found = check(
        &tree,
        &[package("crates/new", &[]), package("tests/e2e", &["ractor"])],
    );
    assert_eq!(
        crate::places(&found),
        ["crates/new/Cargo.toml:1", "docs/ARCHITECTURE.md:3"]
    );
    assert_eq!(
        problems(&found),
        [
            "crates/new has no layer",
            "the workspace has no package in crates/gone"
        ]
    );
}

#[test]
fn the_place_is_the_line_of_the_manifest() {
    let manifest = "[package]\n[dependencies]\nractor-more = \"1\"\nractor.workspace = true\n";
    let tree = Tree::of(&[
        (DOCUMENT, "## Layers\n| `crates/x` | L1 | x |\n"),
        ("crates/x/Cargo.toml", manifest),
    ]);
    let found = check(&tree, &[package("crates/x", &["ractor"])]);
    assert_eq!(crate::places(&found), ["crates/x/Cargo.toml:4"]);
}
