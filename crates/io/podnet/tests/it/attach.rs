//! Pods come and go.

use std::net::SocketAddr;
use std::path::Path;

use minato_podnet::{Network, PodAttachment, PodNetwork as _, teardown};
use minato_testkit::netlab::{NODE_IP, Namespace, OUTSIDE_IP, UPLINK_MTU, available};

use crate::site::{CLUSTER_ID, Site, config};

fn interfaces(site: &Site) -> Vec<String> {
    let listed = site.lab.node.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    listed.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn remove_interface(site: &Site, name: &str) {
    use futures::TryStreamExt as _;
    let remove = || async {
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let link = Box::pin(handle.link().get().match_name(name).execute()).try_next().await.unwrap().unwrap();
        handle.link().del(link.header.index).execute().await.unwrap();
    };
    site.lab.node.block_on(remove).unwrap();
}

#[test]
fn pods_reach_each_other_the_node_and_the_outside() {
    if !available() {
        return;
    }
    let site = Site::new();
    let (a, b) = (site.pod("a"), site.pod("b"));
    assert_eq!(a.address.mtu, UPLINK_MTU);
    b.serve();
    let at = |address, port| SocketAddr::from((address, port));
    let a_sees = |address| a.namespace.ask_tcp(address).unwrap();
    assert_eq!(a_sees(at(b.address.ip, 8080)), format!("b {}", a.address.ip), "pod to pod keeps its address");

    site.lab.node.serve_tcp("node", at(NODE_IP.into(), 7000)).unwrap();
    assert_eq!(a_sees(at(NODE_IP.into(), 7000)), format!("node {}", a.address.ip));
    assert_eq!(site.lab.node.ask_tcp(at(b.address.ip, 8080)).unwrap(), format!("b {NODE_IP}"));

    site.lab.outside.serve_tcp("outside", at(OUTSIDE_IP.into(), 7000)).unwrap();
    assert_eq!(a_sees(at(OUTSIDE_IP.into(), 7000)), format!("outside {NODE_IP}"), "leaves with the node's address");
}

#[test]
fn attaching_again_repairs_and_detaching_removes_all() {
    if !available() {
        return;
    }
    let site = Site::new();
    let (a, b) = (site.pod("a"), site.pod("b"));
    b.serve();
    let again = site.open(async |network| network.attach(&a.attachment).await).unwrap();
    assert_eq!(again, a.address);
    // Somebody took the interface away.
    remove_interface(&site, &b.address.host_interface);
    let repaired = site.open(async |network| network.attach(&b.attachment).await).unwrap();
    assert_eq!(repaired, b.address);
    assert!(a.namespace.ask_tcp(SocketAddr::from((b.address.ip, 8080))).is_ok());

    site.open(async |network| {
        assert_eq!(network.list().await?.len(), 2);
        for pod in [&a, &b] {
            network.detach(&pod.attachment.uid).await?;
            network.detach(&pod.attachment.uid).await?;
        }
        assert!(network.list().await?.is_empty());
        Ok(())
    })
    .unwrap();
    assert_eq!(interfaces(&site), ["lo", "uplink"]);
}

#[test]
fn opening_repairs_what_a_crash_left() {
    if !available() {
        return;
    }
    let site = Site::new();
    let kept = site.pod("kept");
    let gone = site.pod("gone");
    let lost = site.pod("lost");
    // The pod's namespace vanished with its veth, as after a reboot.
    let gone_uid = gone.attachment.uid.clone();
    drop(gone);
    // The record of a pod was never written, or rolled back.
    let records = site.directory.path().join("node/network/pods.json");
    let text = std::fs::read_to_string(&records).unwrap();
    let mut pods: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    pods.retain(|pod| pod["uid"] != lost.attachment.uid.as_str());
    let record = pods.iter_mut().find(|pod| pod["uid"] == gone_uid.as_str()).unwrap();
    record["netns"] = "/run/no-such-namespace".into();
    std::fs::write(&records, serde_json::to_vec(&pods).unwrap()).unwrap();

    minato_testkit::netlab::eventually(std::time::Duration::from_secs(5), || {
        let uids = site.open(async |network| network.list().await).unwrap();
        let uids: Vec<_> = uids.into_iter().map(|pod| pod.uid).collect();
        if uids == [kept.attachment.uid.clone()] { Ok(()) } else { Err(format!("{uids:?} ({gone_uid} is gone)")) }
    })
    .unwrap();
    assert_eq!(interfaces(&site), ["lo", "uplink", kept.address.host_interface.as_str()]);
    assert_eq!(site.open(async |network| network.attach(&lost.attachment).await).unwrap().interface, "eth0");
}

#[test]
fn teardown_leaves_the_node_as_it_was() {
    if !available() {
        return;
    }
    let site = Site::new();
    let _pod = site.pod("a");
    assert!(forwards(&site));
    for _ in 0..2 {
        tear_down(&site, CLUSTER_ID, site.directory.path());
        assert_eq!(interfaces(&site), ["lo", "uplink"]);
        assert!(!forwards(&site));
        assert!(!site.directory.path().join("node/network").exists());
    }
}

#[test]
fn clusters_live_side_by_side() {
    if !available() {
        return;
    }
    let site = Site::new();
    let pod = site.pod("a");
    let directory = tempfile::tempdir().unwrap();
    let mut other = config(directory.path());
    other.cluster_id = "89abcdef".to_owned();
    other.pod_cidr = "10.52.0.0/24".parse().unwrap();
    other.cluster_cidr = "10.52.0.0/16".parse().unwrap();
    other.service_cidr = "10.53.0.0/16".parse().unwrap();
    let namespace = Namespace::new().unwrap();
    let (uid, name) = ("uid-of-b".to_owned(), "b".to_owned());
    let guest = PodAttachment { uid, namespace: "default".to_owned(), name, netns: namespace.path() };
    let attach = || async { Network::open(other).await.unwrap().attach(&guest).await.unwrap() };
    let address = site.lab.node.block_on(attach).unwrap();
    namespace.serve_tcp("b", SocketAddr::from((address.ip, 8080))).unwrap();
    assert!(pod.namespace.ask_tcp(SocketAddr::from((address.ip, 8080))).is_ok());

    // The first leaves, and takes nothing that the second needs.
    tear_down(&site, CLUSTER_ID, site.directory.path());
    assert!(forwards(&site));
    assert_eq!(interfaces(&site), ["lo", "uplink", address.host_interface.as_str()]);
    site.lab.outside.serve_tcp("outside", SocketAddr::from((OUTSIDE_IP, 7000))).unwrap();
    assert!(namespace.ask_tcp(SocketAddr::from((OUTSIDE_IP, 7000))).is_ok());
    tear_down(&site, "89abcdef", directory.path());
    assert!(!forwards(&site));
    assert_eq!(interfaces(&site), ["lo", "uplink"]);
}

fn forwards(site: &Site) -> bool {
    let read = || std::fs::read_to_string("/proc/sys/net/ipv4/conf/uplink/forwarding").unwrap();
    site.lab.node.run(read).unwrap().trim() == "1"
}

fn tear_down(site: &Site, cluster_id: &str, directory: &Path) {
    let errors = site.lab.node.block_on(|| async move { teardown(cluster_id, directory).await }).unwrap();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn a_bad_configuration_is_refused_before_anything_is_touched() {
    if !available() {
        return;
    }
    let site = Site::new();
    let mut wrong = config(site.directory.path());
    wrong.cluster_id = format!("{CLUSTER_ID}x");
    let error = site.lab.node.block_on(|| async { Network::open(wrong).await.unwrap_err().to_string() }).unwrap();
    assert_eq!(error, "cluster id \"0123abcdx\" is not 8 lower-case hex digits");
}
