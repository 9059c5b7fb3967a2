//! Holds the import table: which package of the workspace may depend on which, and every version declared once.
//!
//! ```text
//!   L6  cli
//!   L5  replay   latency-lab                                  never each other
//!   L4  engine/node
//!   L3  ingest  book  features  score  strategy  publish      never each other
//!   L2  transport   journal   checkpoint                      never each other
//!   L1  runtime     strategies/api                            never each other
//!   L0  schemas
//!   aside  strategies/* to strategies/api only                xtask to nothing
//! ```
//!
//! Start at [`layers`]; [`Place::may_use`] is the table. It counts for dependencies of every kind: a test that
//! imports a neighbour would need it to build, too.
//!
//! Invariant: a package that stands in no layer is refused, so that a new one is given its place on purpose.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use crate::workspace::{Result, Workspace, failure, read, say};

/// Where a package stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Schemas,
    Runtime,
    StrategyApi,
    /// Transport, journal, checkpoint.
    Substrate,
    Stage,
    Node,
    /// Replay, latency lab.
    Harness,
    Cli,
    /// A strategy that is shipped.
    StrategyModule,
    Xtask,
}

impl Place {
    /// The place of a package by its folder, relative to the workspace root.
    fn of(folder: &str) -> Option<Self> {
        Some(match folder {
            "schemas" => Self::Schemas,
            "engine/runtime" => Self::Runtime,
            "strategies/api" => Self::StrategyApi,
            "engine/transport" | "engine/journal" | "engine/checkpoint" => Self::Substrate,
            "engine/ingest" | "engine/book" | "engine/features" => Self::Stage,
            "engine/score" | "engine/strategy" | "engine/publish" => Self::Stage,
            "engine/node" => Self::Node,
            "replay" | "latency-lab" => Self::Harness,
            "cli" => Self::Cli,
            "xtask" => Self::Xtask,
            _ if folder.starts_with("strategies/") => Self::StrategyModule,
            _ => return None,
        })
    }

    /// Whether a package of this place may depend on a package of that one. No place may use itself, and so
    /// neighbours of one layer never see each other.
    fn may_use(self, other: Self) -> bool {
        self.uses().contains(&other)
    }

    fn uses(self) -> &'static [Self] {
        use Place::{
            Cli, Harness, Node, Runtime, Schemas, Stage, StrategyApi, StrategyModule, Substrate, Xtask,
        };
        match self {
            Schemas | Xtask => &[],
            Runtime | StrategyApi => &[Schemas],
            Substrate => &[Schemas, Runtime],
            Stage => &[Schemas, Runtime, StrategyApi, Substrate],
            Node => &[Schemas, Runtime, StrategyApi, Substrate, Stage, StrategyModule],
            Harness => &[Schemas, Runtime, StrategyApi, Substrate, Stage, Node],
            Cli => &[
                Schemas,
                Runtime,
                StrategyApi,
                Substrate,
                Stage,
                Node,
                StrategyModule,
                Harness,
            ],
            StrategyModule => &[StrategyApi],
        }
    }
}

/// A member of the workspace as its `Cargo.toml` declares it.
#[derive(Debug)]
struct Member {
    /// Relative to the workspace root.
    folder: String,
    name: String,
    dependencies: Vec<Dependency>,
}

/// One line of a dependency table.
#[derive(Debug)]
struct Dependency {
    name: String,
    /// Whether it says `workspace = true`.
    is_inherited: bool,
    /// Whether it says something that the workspace alone may say: a version or a source.
    is_pinned_here: bool,
}

/// Checks the members' manifests and the lock file; lists everything that is wrong.
pub(crate) fn layers(workspace: &Workspace) -> Result {
    let members = members(workspace)?;
    let mut findings = forbidden_imports(&members);
    findings.extend(own_versions(&members));
    let lock = workspace.path("Cargo.lock");
    let lock: Table = read(&lock)?
        .parse()
        .map_err(|error| failure!("{}: {error}", lock.display()))?;
    findings.extend(two_versions(&members, &lock));
    if findings.is_empty() {
        say(format_args!(
            "layers: {} packages keep to the import table",
            members.len()
        ));
        return Ok(());
    }
    Err(failure!(
        "layers: {} findings\n  {}",
        findings.len(),
        findings.join("\n  ")
    ))
}

fn members(workspace: &Workspace) -> Result<Vec<Member>> {
    let root = manifest(workspace, "Cargo.toml")?;
    let folders = root
        .get("workspace")
        .and_then(|table| table.get("members"))
        .and_then(Value::as_array);
    let folders = folders.ok_or_else(|| failure!("Cargo.toml: no workspace.members, expected a list"))?;
    let folders = folders.iter().filter_map(Value::as_str);
    folders
        .map(|folder| member(folder, &manifest(workspace, &format!("{folder}/Cargo.toml"))?))
        .collect()
}

fn manifest(workspace: &Workspace, path: &str) -> Result<Table> {
    read(&workspace.path(path))?
        .parse()
        .map_err(|error| failure!("{path}: {error}"))
}

fn member(folder: &str, manifest: &Table) -> Result<Member> {
    let name = manifest
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(Value::as_str);
    let name = name
        .ok_or_else(|| failure!("{folder}/Cargo.toml: no package.name"))?
        .to_owned();
    let mut dependencies = dependencies(manifest);
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::values);
    dependencies.extend(targets.filter_map(Value::as_table).flat_map(self::dependencies));
    Ok(Member {
        folder: folder.to_owned(),
        name,
        dependencies,
    })
}

/// The dependencies of every kind in one table of a manifest.
fn dependencies(table: &Table) -> Vec<Dependency> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds
        .iter()
        .filter_map(|kind| table.get(*kind).and_then(Value::as_table));
    tables
        .flat_map(|table| table.iter().map(|(key, value)| dependency(key, value)))
        .collect()
}

fn dependency(key: &str, value: &Value) -> Dependency {
    let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
    let pins = ["version", "path", "git", "registry"];
    Dependency {
        name: name.to_owned(),
        is_inherited: value.get("workspace").and_then(Value::as_bool) == Some(true),
        is_pinned_here: value.is_str() || pins.iter().any(|pin| value.get(*pin).is_some()),
    }
}

/// Every edge between two members that the table does not allow.
fn forbidden_imports(members: &[Member]) -> Vec<String> {
    let folder_by_name: BTreeMap<&str, &str> = members
        .iter()
        .map(|member| (member.name.as_str(), member.folder.as_str()))
        .collect();
    let mut findings = Vec::new();
    for member in members {
        let folder = &member.folder;
        let Some(place) = Place::of(folder) else {
            findings.push(format!(
                "{folder}: stands in no layer; give it one in xtask/src/layers.rs"
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let Some(other) = folder_by_name.get(dependency.name.as_str()) else {
                continue;
            };
            // A stranger is reported on its own account.
            if Place::of(other).is_some_and(|other| !place.may_use(other)) {
                findings.push(format!(
                    "{folder}/Cargo.toml: imports {other}, which its layer may not"
                ));
            }
        }
    }
    findings
}

/// Every dependency whose version a member declares itself.
fn own_versions(members: &[Member]) -> Vec<String> {
    let mut findings = Vec::new();
    for member in members {
        for dependency in &member.dependencies {
            if !dependency.is_inherited || dependency.is_pinned_here {
                findings.push(format!(
                    "{}/Cargo.toml: declares {} itself, expected `workspace = true`",
                    member.folder, dependency.name
                ));
            }
        }
    }
    findings
}

/// Every crate that members depend on directly in more than one version. What lies deeper is cargo-deny's.
fn two_versions(members: &[Member], lock: &Table) -> Vec<String> {
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let text = |package: &Value, key: &str| {
        package
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        let is_member = members.iter().any(|member| member.name == text(package, "name"));
        if !is_member || package.get("source").is_some() {
            continue;
        }
        let dependencies = package
            .get("dependencies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for dependency in dependencies.filter_map(Value::as_str) {
            // `name`, or `name version` where the lock file holds more than one.
            let (name, version) = dependency.split_once(' ').unwrap_or((dependency, ""));
            versions
                .entry(name.to_owned())
                .or_default()
                .insert(version.to_owned());
        }
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    several
        .map(|(name, versions)| {
            let versions = versions.into_iter().collect::<Vec<_>>().join(" and ");
            format!("Cargo.lock: members use {name} {versions}, expected one version")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member by its folder, named as the house names packages, with whole dependency tables.
    fn stand_in(folder: &str, tables: &str) -> Member {
        let name = format!(
            "pinion-{}",
            folder.trim_start_matches("engine/").replace('/', "-")
        );
        let manifest = format!("[package]\nname = \"{name}\"\n{tables}");
        member(folder, &manifest.parse().unwrap()).unwrap()
    }

    /// Whether `folder` may import `other` in a dependency table of the given kind.
    fn check_kind(kind: &str, folder: &str, other: &str, allowed: bool) {
        let other = stand_in(other, "");
        let from = stand_in(folder, &format!("[{kind}]\n{}.workspace = true\n", other.name));
        let findings = forbidden_imports(&[from, other]);
        assert_eq!(
            findings.is_empty(),
            allowed,
            "{folder} to its {kind}: {findings:?}"
        );
    }

    fn check(folder: &str, other: &str, allowed: bool) {
        check_kind("dependencies", folder, other, allowed);
    }

    #[test]
    fn edges_that_point_down_are_allowed() {
        check("engine/runtime", "schemas", true);
        check("strategies/api", "schemas", true);
        check("engine/journal", "engine/runtime", true);
        check("engine/ingest", "engine/transport", true);
        check("engine/strategy", "strategies/api", true);
        check("engine/node", "engine/score", true);
        check("engine/node", "strategies/score-bands", true);
        check("replay", "engine/node", true);
        check("latency-lab", "engine/book", true);
        check("cli", "latency-lab", true);
        check("cli", "replay", true);
        check("strategies/score-bands", "strategies/api", true);
    }

    #[test]
    fn edges_that_point_up_are_forbidden() {
        check("schemas", "engine/runtime", false);
        check("engine/runtime", "engine/journal", false);
        check("engine/transport", "engine/ingest", false);
        check("engine/score", "engine/node", false);
        check("engine/node", "replay", false);
        check("replay", "cli", false);
        check("strategies/api", "engine/runtime", false);
    }

    #[test]
    fn neighbours_never_see_each_other() {
        check("engine/score", "engine/features", false);
        check("engine/publish", "engine/strategy", false);
        check("engine/transport", "engine/journal", false);
        check("engine/checkpoint", "engine/journal", false);
        check("engine/runtime", "strategies/api", false);
        check("replay", "latency-lab", false);
        check("strategies/score-bands", "strategies/book-imbalance", false);
    }

    #[test]
    fn modules_see_only_the_api_and_xtask_nothing() {
        check("strategies/score-bands", "schemas", false);
        check("engine/strategy", "strategies/score-bands", false);
        check("xtask", "schemas", false);
        check("cli", "xtask", false);
    }

    #[test]
    fn tests_and_build_scripts_keep_to_the_table() {
        check_kind("dev-dependencies", "engine/score", "engine/features", false);
        check_kind("build-dependencies", "schemas", "engine/runtime", false);
        check_kind(
            "target.'cfg(unix)'.dependencies",
            "schemas",
            "engine/runtime",
            false,
        );
        check_kind("dev-dependencies", "engine/score", "engine/runtime", true);
    }

    #[test]
    fn package_without_a_layer_is_refused() {
        let findings = forbidden_imports(&[stand_in("engine/extra", "")]);
        assert_eq!(
            findings,
            ["engine/extra: stands in no layer; give it one in xtask/src/layers.rs"]
        );
    }

    #[test]
    fn renamed_dependency_is_seen_through() {
        let table = "[dependencies]\nother = { workspace = true, package = \"pinion-features\" }\n";
        let members = [stand_in("engine/score", table), stand_in("engine/features", "")];
        assert_eq!(forbidden_imports(&members).len(), 1);
    }

    #[test]
    fn version_outside_the_workspace_table_is_found() {
        let check = |line: &str, expected: usize| {
            let member = stand_in("schemas", &format!("[dependencies]\n{line}\n"));
            assert_eq!(own_versions(&[member]).len(), expected, "{line}");
        };
        check("csv.workspace = true", 0);
        check("csv = { workspace = true, features = [\"x\"] }", 0);
        check("csv = \"1\"", 1);
        check("csv = { version = \"1\" }", 1);
        check("csv = { path = \"../csv\" }", 1);
    }

    #[test]
    fn second_version_of_a_direct_dependency_is_found() {
        let members = [stand_in("schemas", ""), stand_in("cli", "")];
        let check = |first: &str, second: &str, expected: &[&str]| {
            let lock = format!(
                "[[package]]\nname = \"pinion-schemas\"\ndependencies = [\"{first}\"]\n\
                 [[package]]\nname = \"pinion-cli\"\ndependencies = [\"{second}\"]\n\
                 [[package]]\nname = \"deep\"\nsource = \"registry\"\ndependencies = [\"rand 0.8.5\"]\n"
            );
            assert_eq!(two_versions(&members, &lock.parse().unwrap()), expected);
        };
        check("csv", "csv", &[]);
        check("rand 0.10.0", "rand 0.10.0", &[]);
        let expected = "Cargo.lock: members use rand 0.10.0 and 0.9.0, expected one version";
        check("rand 0.10.0", "rand 0.9.0", &[expected]);
    }

    #[test]
    fn this_workspace_keeps_to_the_table() {
        if let Err(error) = layers(&Workspace::locate().unwrap()) {
            panic!("{error}");
        }
    }
}
