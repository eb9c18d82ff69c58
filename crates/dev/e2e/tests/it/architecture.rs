//! Dependencies point down: `bin → components → io → engine → model → base`.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

const LAYERS: [&str; 6] = ["base", "model", "engine", "io", "components", "bin"];
/// What engine and model never use: they decide, others act.
const ACTING: [&str; 5] = ["tokio", "hyper", "kube", "nix", "rustls"];

/// The layer of a package of the workspace, by its folder; none for `dev` and the examples.
fn layer(package: &Package) -> Option<usize> {
    let folder = package.manifest_path.ancestors().nth(2)?.file_name()?;
    LAYERS.iter().position(|layer| *layer == folder)
}

#[test]
fn dependencies_point_down() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().other_options(["--offline".to_owned()]).exec()?;
    let packages = metadata.workspace_packages();
    let mut wrong = Vec::new();
    for package in &packages {
        let Some(own) = layer(package) else { continue };
        for dependency in package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal) {
            let other = packages.iter().find(|other| other.name.as_str() == dependency.name);
            let points_up = match other {
                // Crates of a layer may build on each other below `components`, which meet at the API alone.
                Some(other) => {
                    layer(other).is_none_or(|other| other > own || (other == own && LAYERS[own] == "components"))
                }
                None => ["model", "engine"].contains(&LAYERS[own]) && ACTING.contains(&dependency.name.as_str()),
            };
            if points_up {
                wrong.push(format!("{} ({}) uses {}", package.name, LAYERS[own], dependency.name));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}

#[test]
fn only_the_api_server_and_the_program_know_the_store() -> anyhow::Result<()> {
    let metadata = MetadataCommand::new().other_options(["--offline".to_owned()]).exec()?;
    let uses_store = |package: &&Package| {
        let normal = |one: &&cargo_metadata::Dependency| one.kind == DependencyKind::Normal;
        package.dependencies.iter().filter(normal).any(|one| one.name == "minato-store")
    };
    let packages = metadata.workspace_packages();
    let mut users: Vec<_> = packages.into_iter().filter(uses_store).map(|package| package.name.to_string()).collect();
    users.sort();
    assert_eq!(users, ["minato", "minato-apiserver"]);
    Ok(())
}
