//! Services, from the host and by name from a pod, and updates that nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use minato_testkit::{Cluster, Kubectl, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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

/// Somebody who sends one request after the other, to whom none may fail.
struct Visitor {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Visitor {
    fn of(address: &str, path: &'static str) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted, address) = (Arc::clone(&stop), Arc::clone(&served), address.to_owned());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                get(&address, path).with_context(|| format!("after {} requests", counted.load(Ordering::Relaxed)))?;
                counted.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
        Self { stop, served, thread }
    }

    /// Waits until so many more requests were answered.
    fn served(&self, more: u64) -> anyhow::Result<()> {
        let enough = self.served.load(Ordering::Relaxed) + more;
        eventually(PATIENCE, || {
            ensure!(!self.thread.is_finished(), "a request failed");
            let served = self.served.load(Ordering::Relaxed);
            ensure!(served >= enough, "{served} of {enough} requests are answered");
            anyhow::Ok(())
        })
    }

    fn leave(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        ensure!(self.served.load(Ordering::Relaxed) > 0, "no request was sent");
        Ok(())
    }
}

/// The process that answers the cluster's DNS questions.
fn resolver(cluster: &Cluster) -> anyhow::Result<Pid> {
    let directory = cluster.data_dir().join("node/dns");
    let wanted = format!("resolver\0{}\0", directory.display());
    for process in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&wanted) {
            return Ok(Pid::from_raw(process.file_name().to_string_lossy().parse()?));
        }
    }
    anyhow::bail!("no resolver runs\n{}", std::fs::read_to_string(directory.join("resolver.log")).unwrap_or_default())
}

/// The example asks for its stores' names at every request, so this is also about cluster DNS.
#[test]
fn the_guestbook_keeps_what_is_written_and_outlives_the_server() -> anyhow::Result<()> {
    let Some(mut cluster) = cluster(3)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    cluster.minato("image import", &[&archive("guestbook")?])?;
    // Any port of the node: this cluster has a range of its own.
    let manifest = include_str!("../../../../../../examples/guestbook/guestbook.yaml").replace(", nodePort: 30080", "");
    kubectl.feed("apply -f -", &manifest)?;
    for name in ["guestbook-store-leader", "guestbook-store-replica", "guestbook-web"] {
        rolled_out(&kubectl, name)?;
    }
    let ways = ways_in(&kubectl, "guestbook")?;
    for way in &ways {
        let text = format!("by {}", way.replace([':', '.'], "-"));
        eventually(PATIENCE, || post_form(way, "/", &format!("author=ahoy&text={}", text.replace(' ', "+"))))?;
        eventually(PATIENCE, || {
            let messages = get(way, "/messages")?;
            ensure!(messages.contains(&text), "{messages}");
            anyhow::Ok(())
        })?;
    }

    // The server is killed, stopped and started, its resolver is killed: nobody notices.
    let visitors: Vec<_> = ways.iter().map(|way| Visitor::of(way, "/messages")).collect();
    let all_served = |more| visitors.iter().try_for_each(|visitor| visitor.served(more));
    let endpoint = "get endpointslice kube-dns-minato -n kube-system -o jsonpath={.endpoints[0].addresses[0]}:{.ports}";
    let (process, published) = (resolver(&cluster)?, kubectl.run(endpoint)?);
    cluster.kill()?;
    all_served(50).context("while the server is away")?;
    cluster.run()?;
    all_served(20).context("after the server came back")?;
    cluster.stop()?;
    all_served(20).context("while the server is stopped")?;
    cluster.run()?;
    rolled_out(&kubectl, "guestbook-web")?;
    assert_eq!((resolver(&cluster)?, kubectl.run(endpoint)?), (process, published.clone()));

    kill(process, Signal::SIGKILL)?;
    all_served(20).context("after the resolver was killed")?;
    eventually(PATIENCE, || {
        ensure!(resolver(&cluster)? != process, "the resolver that was killed is still there");
        anyhow::Ok(())
    })?;
    visitors.into_iter().try_for_each(Visitor::leave)?;
    assert_eq!(kubectl.run(endpoint)?, published);
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

    let visitors = ways.map(|way| Visitor::of(&way, "/hostname"));
    kubectl.run("set env deployment/web COLOUR=red")?;
    let result = rolled_out(&kubectl, "web");
    visitors.into_iter().try_for_each(Visitor::leave)?;
    result?;
    cluster.finish()
}
