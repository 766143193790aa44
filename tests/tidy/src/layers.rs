//! Who may depend on whom: the table in `docs/ARCHITECTURE.md`, held against the manifests.
//!
//! A package depends on lower layers only, and in the layer of building blocks (L1) on the domain alone. Three packages
//! are reserved for their owners: the store for the ledger, the actor library for the supervisors, its cluster for the
//! mesh. The suites in `tests/` may use everything, and what only the tests of a package use does not count.

use std::collections::HashMap;

use crate::packages::Dependency;
use crate::{Package, Source, Tree, Violation};

/// Where the table is.
const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const HEADING: &str = "## Layers";

/// The suites; exempt.
const SUITES: &str = "tests/";

/// The rules that everybody may know, and the layer that knows nothing else of ours.
const DOMAIN: &str = "crates/domain";
const BUILDING_BLOCKS: u8 = 1;

/// A package that only some may name.
struct Reserved {
    package: &'static str,
    users: &'static [&'static str],
    way_out: &'static str,
}

const RESERVED: [Reserved; 3] = [
    Reserved {
        package: "hiveforge-nexus",
        // All but the ledger only choose a backend and hand it over.
        users: &[
            "crates/ledger",
            "supervisors/coordinator",
            "supervisors/up",
            "crates/cli",
        ],
        way_out: "go through the ledger: it is the one path by which state changes",
    },
    Reserved {
        package: "ractor",
        // The mesh's one actor that peers can reach is the library's: no other kind can be reached.
        users: &["supervisors/core", "crates/mesh"],
        way_out: "use `supervision`: only supervisors/core and the mesh know the actor library",
    },
    Reserved {
        package: "ractor_cluster",
        users: &["crates/mesh"],
        way_out: "use `mesh::Link`: only the mesh knows how actors of other processes are reached",
    },
];

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    dir: String,
    layer: u8,
    line: usize,
}

/// Finds dependencies that the layers forbid, and packages or rows that have no counterpart.
pub fn check(tree: &Tree, packages: &[Package]) -> Vec<Violation> {
    let rows = tree.file(DOCUMENT).map(table).unwrap_or_default();
    let packages: Vec<&Package> = packages
        .iter()
        .filter(|package| !package.dir.starts_with(SUITES))
        .collect();
    let mut violations = compare(&rows, &packages);
    let layers: HashMap<&str, u8> = rows.iter().map(|row| (row.dir.as_str(), row.layer)).collect();
    let dirs: HashMap<&str, &str> = packages
        .iter()
        .map(|p| (p.name.as_str(), p.dir.as_str()))
        .collect();
    for package in &packages {
        for dependency in &package.dependencies {
            let reserved = check_reserved(package, dependency);
            let verdict = reserved.or_else(|| {
                let used = dirs.get(dependency.name.as_str())?;
                check_layers(
                    (&package.dir, *layers.get(package.dir.as_str())?),
                    (used, *layers.get(used)?),
                )
            });
            violations.extend(verdict.map(|(problem, way_out)| Violation {
                path: package.manifest(),
                line: line_of(tree, package, dependency),
                problem,
                way_out,
            }));
        }
    }
    violations
}

type Verdict = Option<(String, &'static str)>;

fn check_reserved(package: &Package, dependency: &Dependency) -> Verdict {
    let reserved = RESERVED
        .iter()
        .find(|reserved| reserved.package == dependency.name)?;
    let is_user = reserved.users.contains(&package.dir.as_str());
    (!is_user).then(|| {
        (
            format!("{} may not use {}", package.dir, reserved.package),
            reserved.way_out,
        )
    })
}

fn check_layers((dir, layer): (&str, u8), (used, used_layer): (&str, u8)) -> Verdict {
    let way_out = "move the code down, or turn the dependency around; the table is in docs/ARCHITECTURE.md";
    if used_layer >= layer {
        return Some((
            format!("{dir} (L{layer}) may not use {used} (L{used_layer})"),
            way_out,
        ));
    }
    let is_stranger = layer == BUILDING_BLOCKS && used != DOMAIN;
    is_stranger.then(|| {
        (
            format!("{dir} (L{layer}) may use {DOMAIN} alone, not {used}"),
            way_out,
        )
    })
}

/// Finds packages without a row and rows without a package.
fn compare(rows: &[Row], packages: &[&Package]) -> Vec<Violation> {
    let unlisted = packages
        .iter()
        .filter(|package| !rows.iter().any(|row| row.dir == package.dir));
    let unlisted = unlisted.map(|package| Violation {
        path: package.manifest(),
        line: 1,
        problem: format!("{} has no layer", package.dir),
        way_out: "add a row like | `crates/domain` | L0 | .. | to the table under `## Layers` in docs/ARCHITECTURE.md",
    });
    let stale = rows
        .iter()
        .filter(|row| !packages.iter().any(|package| row.dir == package.dir));
    let stale = stale.map(|row| Violation {
        path: DOCUMENT.into(),
        line: row.line,
        problem: format!("the workspace has no package in {}", row.dir),
        way_out: "remove the row, or add the package to the workspace",
    });
    unlisted.chain(stale).collect()
}

/// The rows under the heading, up to the next one.
fn table(document: &Source) -> Vec<Row> {
    let section = document.lines().skip_while(|(_, line)| *line != HEADING).skip(1);
    let section = section.take_while(|(_, line)| !line.starts_with("## "));
    section.filter_map(|(line, text)| row(line, text)).collect()
}

/// Reads | `crates/domain` | L0 | .. |; other lines are no rows.
fn row(line: usize, text: &str) -> Option<Row> {
    let mut cells = text.strip_prefix('|')?.split('|').map(str::trim);
    let dir = cells
        .next()?
        .strip_prefix('`')?
        .strip_suffix('`')?
        .trim_end_matches('/');
    let layer = cells.next()?.strip_prefix('L')?.parse().ok()?;
    Some(Row {
        dir: dir.to_owned(),
        layer,
        line,
    })
}

/// The line of the manifest that names the dependency.
fn line_of(tree: &Tree, package: &Package, dependency: &Dependency) -> usize {
    let key = dependency.rename.as_deref().unwrap_or(&dependency.name);
    let names_it = |line: &str| {
        line.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with([' ', '.', '=']))
    };
    let manifest = tree.file(&package.manifest());
    let found = manifest.and_then(|manifest| manifest.lines().find(|(_, line)| names_it(line)));
    found.map_or(1, |(line, _)| line)
}

#[cfg(test)]
mod tests;
