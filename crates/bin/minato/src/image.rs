//! `minato image`: the images of this machine's node. Works with and without a running server.

use anyhow::Context as _;
use minato_images::Store;

use crate::cli::{ImageCommand, NodeDirectory};
use crate::layout::Layout;

pub(crate) fn main(command: ImageCommand) -> anyhow::Result<()> {
    match command {
        ImageCommand::Import { node, archives } => {
            let store = open(&node)?;
            for archive in archives {
                let imported =
                    store.import(&archive).with_context(|| format!("failed to import {}", archive.display()))?;
                for image in imported {
                    let names = if image.names.is_empty() { "(no name)".to_owned() } else { image.names.join(", ") };
                    println!("{names}\t{}", image.digest);
                }
            }
        }
        ImageCommand::List { node } => {
            let images = open(&node)?.list()?;
            let mut rows = vec![["NAME".to_owned(), "DIGEST".to_owned(), "SIZE".to_owned()]];
            for image in images {
                let size = human_size(image.size_bytes);
                let digest = image.digest.clone();
                let names = if image.names.is_empty() { vec!["<none>".to_owned()] } else { image.names };
                rows.extend(names.into_iter().map(|name| [name, digest.clone(), size.clone()]));
            }
            let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
            let (name_width, digest_width) = (width(0), width(1));
            for [name, digest, size] in &rows {
                println!("{name:name_width$}   {digest:digest_width$}   {size}");
            }
        }
        ImageCommand::Rm { node, names } => {
            let store = open(&node)?;
            for name in names {
                store.remove(&name).with_context(|| format!("failed to remove {name}"))?;
                println!("removed {name}");
            }
        }
    }
    Ok(())
}

fn open(node: &NodeDirectory) -> anyhow::Result<Store> {
    let directory = Layout::new(&node.data_dir).images();
    Store::open(&directory).with_context(|| format!("failed to open the images in {}", directory.display()))
}

/// `12.3 MB`.
fn human_size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", units[unit]) }
}
