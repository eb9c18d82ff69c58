//! Service traffic through the maps.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use minato_rules::{Endpoint, Frontend, Protocol};
use minato_testkit::netlab::{NODE_IP, ask_udp, available};

use crate::site::{Site, frontend, rules};

const CLUSTER_IP: Ipv4Addr = Ipv4Addr::new(10, 43, 0, 80);
const NODE_PORT: u16 = 30_080;

fn web() -> [Frontend; 2] {
    [frontend(CLUSTER_IP, Protocol::Tcp, 80), frontend(Frontend::ANY_NODE_ADDRESS, Protocol::Tcp, NODE_PORT)]
}

fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::from((address, port))
}

#[test]
fn everybody_reaches_a_service() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let (server, client) = (site.pod("server"), site.pod("client"));
    server.serve();
    site.program("web", rules(&web(), &[server.endpoint(8080)], None));
    let from_pod = format!("server {}", client.address.ip);
    let from_node = format!("server {NODE_IP}");
    let from_outside = format!("server {}", minato_testkit::netlab::OUTSIDE_IP);

    assert_eq!(client.namespace.ask_tcp(at(CLUSTER_IP, 80)).unwrap(), from_pod);
    assert_eq!(client.namespace.ask_tcp(at(NODE_IP, NODE_PORT)).unwrap(), from_pod);
    assert_eq!(server.namespace.ask_tcp(at(CLUSTER_IP, 80)).unwrap(), from_node, "a pod reaches itself");
    assert_eq!(server.namespace.ask_tcp(at(NODE_IP, NODE_PORT)).unwrap(), from_node);
    assert_eq!(site.lab.node.ask_tcp(at(CLUSTER_IP, 80)).unwrap(), from_node);
    assert_eq!(site.lab.node.ask_tcp(at(NODE_IP, NODE_PORT)).unwrap(), from_node);
    assert_eq!(site.lab.node.ask_tcp(at(Ipv4Addr::LOCALHOST, NODE_PORT)).unwrap(), from_node);
    assert_eq!(site.lab.outside.ask_tcp(at(NODE_IP, NODE_PORT)).unwrap(), from_outside, "the client's own address");
}

/// As the cluster's DNS server is: a Service whose endpoint is the node itself.
#[test]
fn everybody_reaches_what_the_node_serves() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client");
    site.lab.node.serve_udp("dns", at(NODE_IP, 5353)).unwrap();
    site.lab.node.serve_tcp("dns", at(NODE_IP, 5353)).unwrap();
    let frontends = [Protocol::Udp, Protocol::Tcp].map(|protocol| frontend(CLUSTER_IP, protocol, 53));
    site.program("dns", rules(&frontends, &[Endpoint { address: NODE_IP, port: 5353 }], None));
    for (from, seen_as) in [(&client.namespace, client.address.ip), (&site.lab.node, NODE_IP.into())] {
        let socket = from.udp_client().unwrap();
        assert_eq!(ask_udp(&socket, at(CLUSTER_IP, 53)).unwrap(), format!("dns {seen_as}"));
        assert_eq!(from.ask_tcp(at(CLUSTER_IP, 53)).unwrap(), format!("dns {seen_as}"));
    }
}

#[test]
fn all_endpoints_get_traffic_and_removed_ones_none() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let pods = ["a", "b", "c"].map(|name| site.pod(name));
    pods.iter().for_each(|pod| pod.serve());
    let seen = |site: &Site| -> BTreeSet<String> {
        let ask = |_| site.lab.node.ask_tcp(at(CLUSTER_IP, 80)).unwrap().split(' ').next().unwrap().to_owned();
        (0..60).map(ask).collect()
    };
    let endpoints = pods.each_ref().map(|pod| pod.endpoint(8080));
    site.program("web", rules(&web(), &endpoints, None));
    assert_eq!(seen(&site), ["a", "b", "c"].map(String::from).into());
    site.program("web", rules(&web(), &endpoints[1..], None));
    assert_eq!(seen(&site), ["b", "c"].map(String::from).into());
    site.program("web", rules(&web(), &endpoints, None));
    assert_eq!(seen(&site), ["a", "b", "c"].map(String::from).into());
}

#[test]
fn who_cannot_be_served_is_told_at_once() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let client = site.pod("client");
    let udp = frontend(CLUSTER_IP, Protocol::Udp, 53);
    site.program("web", rules(&[web()[0], web()[1], udp], &[], None));
    let refused = [
        (&client.namespace, at(CLUSTER_IP, 80)),
        (&client.namespace, at(CLUSTER_IP, 81)),
        (&client.namespace, at(NODE_IP, NODE_PORT)),
        (&site.lab.node, at(CLUSTER_IP, 80)),
        (&site.lab.node, at(CLUSTER_IP, 81)),
        (&site.lab.node, at(Ipv4Addr::LOCALHOST, NODE_PORT)),
        (&site.lab.outside, at(NODE_IP, NODE_PORT)),
    ];
    for (from, to) in refused {
        let start = Instant::now();
        let error = from.ask_tcp(to).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}");
        assert!(start.elapsed() < Duration::from_secs(1), "{to}");
    }
    // The node's own datagrams do not even leave the socket.
    for (from, kind) in [
        (&client.namespace, std::io::ErrorKind::ConnectionRefused),
        (&site.lab.node, std::io::ErrorKind::PermissionDenied),
    ] {
        let socket = from.udp_client().unwrap();
        socket.connect(at(CLUSTER_IP, 53)).unwrap();
        let error = socket.send(b"?").and_then(|_| socket.recv(&mut [0; 10])).unwrap_err();
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn a_client_sticks_to_its_endpoint() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let pods = ["a", "b", "c"].map(|name| site.pod(name));
    pods.iter().for_each(|pod| pod.serve());
    let endpoints = pods.each_ref().map(|pod| pod.endpoint(8080));
    site.program("web", rules(&web(), &endpoints, Some(100)));
    let ask = |site: &Site, to| site.lab.outside.ask_tcp(to).unwrap().split(' ').next().unwrap().to_owned();
    let asked = |site: &Site| -> BTreeSet<String> { (0..20).map(|_| ask(site, at(NODE_IP, NODE_PORT))).collect() };
    let first = asked(&site);
    assert_eq!(first.len(), 1, "{first:?}");

    // Another endpoint goes: the client stays. Its own goes: it sticks to another.
    let other = pods.iter().position(|pod| !first.contains(&pod.attachment.name)).unwrap();
    let without =
        |gone: usize| -> Vec<_> { (0..3).filter(|index| *index != gone).map(|index| endpoints[index]).collect() };
    site.program("web", rules(&web(), &without(other), Some(100)));
    assert_eq!(asked(&site), first);
    let own = pods.iter().position(|pod| first.contains(&pod.attachment.name)).unwrap();
    site.program("web", rules(&web(), &without(own), Some(100)));
    let second = asked(&site);
    assert!(second.len() == 1 && second != first, "{second:?}");
}

#[test]
fn datagrams_are_sent_on_too() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let (server, client) = (site.pod("server"), site.pod("client"));
    server.serve();
    let dns = frontend(CLUSTER_IP, Protocol::Udp, 53);
    site.program("dns", rules(&[dns], &[server.endpoint(8080)], None));
    let socket = client.namespace.udp_client().unwrap();
    assert_eq!(ask_udp(&socket, at(CLUSTER_IP, 53)).unwrap(), format!("server {}", client.address.ip));

    // The same client, sending from the same port, is sent on to the successor.
    let successor = site.pod("successor");
    successor.serve();
    site.program("dns", rules(&[dns], &[successor.endpoint(8080)], None));
    assert_eq!(ask_udp(&socket, at(CLUSTER_IP, 53)).unwrap(), format!("successor {}", client.address.ip));
}

/// CVE-2020-8558: node ports on 127.0.0.1 need routing of that range, which must not open it to pods.
#[test]
fn pods_do_not_reach_what_the_node_offers_to_itself() {
    if !available() {
        return;
    }
    let site = Site::new();
    let pod = site.pod("nosy");
    let private = Ipv4Addr::new(127, 0, 0, 9);
    site.lab.node.serve_tcp("private", at(private, 7000)).unwrap();
    let send_loopback_to_gateway = || async move {
        std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
        let (connection, handle, _) = rtnetlink::new_connection().unwrap();
        tokio::spawn(connection);
        let route = rtnetlink::RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(private, 32)
            .table_id(255)
            .gateway(minato_podnet::GATEWAY)
            .build();
        handle.route().add(route).execute().await.unwrap();
    };
    pod.namespace.block_on(send_loopback_to_gateway).unwrap();
    let error = pod.namespace.ask_tcp(at(private, 7000)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

/// What a rolling update does to a Service: endpoints come, go and change, and no request may fail.
#[test]
fn no_request_fails_while_endpoints_change() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let pods = ["a", "b", "c"].map(|name| site.pod(name));
    pods.iter().for_each(|pod| pod.serve());
    let client = site.pod("client");
    let endpoints = pods.each_ref().map(|pod| pod.endpoint(8080));
    site.program("web", rules(&web(), &endpoints, None));
    let stop = AtomicBool::new(false);
    // Each from an address of its own: tens of thousands of connections from one would meet sockets in TIME_WAIT.
    let clients = [
        (client.namespace.path(), at(CLUSTER_IP, 80)),
        (site.lab.node.path(), at(CLUSTER_IP, 80)),
        (site.lab.outside.path(), at(NODE_IP, NODE_PORT)),
    ];
    std::thread::scope(|threads| {
        let stop = &stop;
        let asking: Vec<_> = clients
            .into_iter()
            .map(|(namespace, address)| {
                threads.spawn(move || {
                    let ask_until_stopped = || {
                        let mut count = 0;
                        while !stop.load(Ordering::Relaxed) {
                            minato_testkit::netlab::ask_tcp(address).unwrap();
                            count += 1;
                        }
                        count
                    };
                    minato_linux::netns::in_netns(&namespace, ask_until_stopped).unwrap()
                })
            })
            .collect();
        for round in 0..70 {
            // Between one and three endpoints, each time others.
            let kept: Vec<_> =
                (0..3).filter(|pod| (round % 7 + 1) & (1 << pod) != 0).map(|pod| endpoints[pod]).collect();
            site.program("web", rules(&web(), &kept, None));
        }
        stop.store(true, Ordering::Relaxed);
        for count in asking.into_iter().map(|thread| thread.join().unwrap()) {
            assert!(count > 20, "{count} requests");
        }
    });
}

#[test]
fn traffic_goes_on_while_the_fixed_part_is_renewed() {
    if !available() {
        return;
    }
    let mut site = Site::new();
    let server = site.pod("server");
    server.serve();
    site.program("web", rules(&web(), &[server.endpoint(8080)], None));
    let before = site.firewall(|firewall| firewall.read().unwrap());
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let asking = threads.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                site.lab.node.ask_tcp(at(CLUSTER_IP, 80)).unwrap();
                count += 1;
            }
            count
        });
        for _ in 0..50 {
            site.firewall(|_| ());
        }
        stop.store(true, Ordering::Relaxed);
        assert!(asking.join().unwrap() > 10);
    });
    assert_eq!(site.firewall(|firewall| firewall.read().unwrap()), before);
}
