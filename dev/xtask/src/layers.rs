//! `cargo xtask layers`: folders are layers, and dependencies never point up.

use std::fmt;
use std::path::Path;

use crate::workspace::{Package, Workspace};

/// A layer folder, lowest first.
///
/// Programs and examples are on one level of the picture, but neither may use the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Abi,
    Core,
    Sys,
    Svc,
    Bin,
    Examples,
    Dev,
}

impl Layer {
    const ALL: [Self; 7] = [
        Self::Abi,
        Self::Core,
        Self::Sys,
        Self::Svc,
        Self::Bin,
        Self::Examples,
        Self::Dev,
    ];

    fn folder(self) -> &'static str {
        match self {
            Self::Abi => "abi",
            Self::Core => "core",
            Self::Sys => "sys",
            Self::Svc => "svc",
            Self::Bin => "bin",
            Self::Examples => "examples",
            Self::Dev => "dev",
        }
    }

    fn of(folder: &Path) -> Option<Self> {
        let first = folder.components().next()?;
        Self::ALL
            .into_iter()
            .find(|layer| first.as_os_str() == layer.folder())
    }

    fn may_use(self, other: Self) -> bool {
        match self {
            Self::Examples => other <= Self::Svc,
            _ => other <= self,
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/", self.folder())
    }
}

/// Lists every dependency that points up and every member outside the layers.
pub(crate) fn violations(workspace: &Workspace) -> Vec<String> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        match Layer::of(workspace.folder_of(package)) {
            Some(layer) => upward_edges(workspace, package, layer, &mut violations),
            None => violations.push(format!(
                "{} is in {}, which is no layer folder",
                package.name,
                workspace.folder_of(package).display()
            )),
        }
    }
    violations
}

fn upward_edges(
    workspace: &Workspace,
    package: &Package,
    layer: Layer,
    violations: &mut Vec<String>,
) {
    let paths = package
        .dependencies
        .iter()
        .filter_map(|dependency| dependency.path.as_ref());
    for path in paths {
        let used = workspace
            .packages
            .iter()
            .find(|other| other.manifest_path.parent() == Some(path.as_path()));
        let Some(used) = used else {
            violations.push(format!(
                "{} depends on {}, which is no member of the workspace",
                package.name,
                path.display()
            ));
            continue;
        };
        // A member outside the layers is reported on its own.
        let Some(lower) = Layer::of(workspace.folder_of(used)) else {
            continue;
        };
        if !layer.may_use(lower) {
            violations.push(format!(
                "{} ({layer}) depends on {} ({lower}): dependencies point down only",
                package.name, used.name
            ));
        }
    }
}

/// Names the `no_std` layers' packages, which must also build without default features.
pub(crate) fn bottom_packages(workspace: &Workspace) -> Vec<String> {
    let is_bottom = |package: &&Package| {
        matches!(
            Layer::of(workspace.folder_of(package)),
            Some(Layer::Abi | Layer::Core)
        )
    };
    let bottom = workspace.packages.iter().filter(is_bottom);
    bottom.map(|package| package.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A made-up workspace: (folder, folders it depends on).
    fn workspace(members: &[(&str, &[&str])]) -> Workspace {
        let packages: Vec<Value> = members
            .iter()
            .map(|(folder, uses)| {
                let dependencies: Vec<Value> = uses
                    .iter()
                    .map(|used| json!({ "path": format!("/w/{used}") }))
                    .collect();
                json!({
                    "name": folder.rsplit('/').next(),
                    "manifest_path": format!("/w/{folder}/Cargo.toml"),
                    "dependencies": dependencies,
                    "metadata": null,
                })
            })
            .collect();
        let metadata = json!({
            "packages": packages, "workspace_root": "/w", "target_directory": "/w/target",
        });
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn downward_and_sideways_dependencies_are_fine() {
        let good = workspace(&[
            ("abi/a", &[]),
            ("core/b", &["abi/a"]),
            ("core/c", &["core/b"]),
            ("sys/d", &["core/c", "abi/a"]),
            ("svc/e", &["sys/d"]),
            ("bin/f", &["svc/e", "abi/a"]),
            ("examples/g", &["svc/e"]),
            ("dev/h", &["bin/f", "examples/g"]),
        ]);
        assert_eq!(violations(&good), Vec::<String>::new());
        assert_eq!(bottom_packages(&good), ["a", "b", "c"]);
    }

    #[test]
    fn each_upward_edge_is_named() {
        let bad = workspace(&[
            ("abi/a", &["core/b"]),
            ("core/b", &["sys/c"]),
            ("sys/c", &[]),
        ]);
        assert_eq!(
            violations(&bad),
            [
                "a (abi/) depends on b (core/): dependencies point down only",
                "b (core/) depends on c (sys/): dependencies point down only",
            ]
        );
    }

    #[test]
    fn examples_use_services_but_neither_programs_nor_each_other() {
        let bad = workspace(&[
            ("bin/p", &["examples/x"]),
            ("examples/x", &["bin/p"]),
            ("examples/y", &["examples/x"]),
        ]);
        assert_eq!(violations(&bad).len(), 3);
    }

    #[test]
    fn members_and_dependencies_outside_the_layers_are_named() {
        let bad = workspace(&[("tools/t", &[]), ("dev/h", &["elsewhere/z"])]);
        let found = violations(&bad);
        assert!(found[0].contains("tools/t"), "{found:?}");
        assert!(found[1].contains("elsewhere/z"), "{found:?}");
    }
}
