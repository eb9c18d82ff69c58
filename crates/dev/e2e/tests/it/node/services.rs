//! Services, from the host and by name from a pod, and updates that nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use minato_testkit::{Kubectl, eventually};

use super::{archive, cluster, deployment, get, post_form, rolled_out};
use crate::PATIENCE;

/// `ADDRESS:PORT` of the Service by its virtual address and by its port of the node.
fn ways_in(kubectl: &Kubectl, service: &str) -> anyhow::Result<[String; 2]> {
    let ask = |object: &str, path: &str| kubectl.run(&format!("get {object} -o jsonpath={{{path}}}"));
    let cluster_ip = ask(&format!("service/{service}"), ".spec.clusterIP")?;
    let node_port = ask(&format!("service/{service}"), ".spec.ports[0].nodePort")?;
    let node = ask("nodes", ".items[0].status.addresses[0].address")?;
    Ok([format!("{cluster_ip}:80"), format!("{node}:{node_port}")])
}

/// The example finds its stores by name, so this is also about cluster DNS.
#[test]
fn the_guestbook_keeps_what_is_written() -> anyhow::Result<()> {
    let Some(cluster) = cluster(3)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    cluster.minato("image import", &[&archive("guestbook")?])?;
    // Any port of the node: this cluster has a range of its own.
    let manifest = include_str!("../../../../../../examples/guestbook/guestbook.yaml").replace(", nodePort: 30080", "");
    kubectl.feed("apply -f -", &manifest)?;
    for name in ["guestbook-store-leader", "guestbook-store-replica", "guestbook-web"] {
        rolled_out(&kubectl, name)?;
    }
    for way in ways_in(&kubectl, "guestbook")? {
        let text = format!("by {}", way.replace([':', '.'], "-"));
        eventually(PATIENCE, || post_form(&way, "/", &format!("author=ahoy&text={}", text.replace(' ', "+"))))?;
        eventually(PATIENCE, || {
            let messages = get(&way, "/messages")?;
            ensure!(messages.contains(&text), "{messages}");
            anyhow::Ok(())
        })?;
    }
    cluster.finish()
}

#[test]
fn services_lead_to_pods_and_updates_lose_nothing() -> anyhow::Result<()> {
    let Some(cluster) = cluster(1)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", &deployment("web", 3))?;
    kubectl.run("expose deployment web --port=80 --target-port=http --type=NodePort")?;
    rolled_out(&kubectl, "web")?;
    let ways = ways_in(&kubectl, "web")?;
    for way in &ways {
        let mut names = std::collections::BTreeSet::new();
        eventually(PATIENCE, || {
            names.insert(get(way, "/hostname")?);
            ensure!(names.len() == 3, "{way} leads to {names:?}");
            anyhow::Ok(())
        })?;
    }

    let stop = Arc::new(AtomicBool::new(false));
    let clients = ways.map(|way| {
        let (stop, count) = (Arc::clone(&stop), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&count);
        let client = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                get(&way, "/hostname").with_context(|| format!("after {} requests", count.load(Ordering::Relaxed)))?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
        (client, counted)
    });
    kubectl.run("set env deployment/web COLOUR=red")?;
    let result = rolled_out(&kubectl, "web");
    stop.store(true, Ordering::Relaxed);
    for (client, count) in clients {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        ensure!(count.load(Ordering::Relaxed) > 0, "no request was sent");
    }
    result?;
    cluster.finish()
}
