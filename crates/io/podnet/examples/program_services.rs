//! How long the packet filter takes for many Services: `cargo run --release -p minato-podnet --example program_services`.
//!
//! Works in a network namespace of its own and leaves nothing behind. Prints medians of single changes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use minato_podnet::{Firewall, FirewallConfig};
use minato_rules::{Action, Endpoint, Frontend, Owner, Planner, Protocol, ServiceRules};
use minato_testkit::netlab::Namespace;

const ENDPOINTS_PER_SERVICE: u32 = 3;
const SINGLE_CHANGES: u32 = 50;

fn main() -> Result<()> {
    for services in [1_000, 10_000] {
        let namespace = Namespace::new().context("needs root")?;
        namespace.run(|| measure(services))??;
    }
    Ok(())
}

fn measure(services: u32) -> Result<()> {
    let config = FirewallConfig {
        cluster_id: "0be2c4a1".to_owned(),
        pod_cidr: "10.42.0.0/16".parse()?,
        cluster_cidr: "10.42.0.0/16".parse()?,
        service_cidr: "10.43.0.0/16".parse()?,
        node_ip: Ipv4Addr::new(198, 51, 100, 1),
    };
    let mut firewall = Firewall::open(&config)?;
    let mut planner = Planner::default();
    let start = Instant::now();
    for number in 0..services {
        planner.set(&key(number), rules(number, 0));
    }
    let changes = planner.changes();
    let planned = start.elapsed();
    let start = Instant::now();
    firewall.apply(&changes)?;
    planner.applied(&changes);
    let programmed = start.elapsed();

    let start = Instant::now();
    let read = firewall.read()?;
    anyhow::ensure!(&read == planner.programmed(), "the kernel holds something else");
    let reading = start.elapsed();

    let mut single = |change: &dyn Fn(u32) -> (u32, u32)| -> Result<Duration> {
        let mut times = Vec::new();
        for turn in 0..SINGLE_CHANGES {
            let (number, generation) = change(turn);
            let start = Instant::now();
            planner.set(&key(number), rules(number, generation));
            let changes = planner.changes();
            firewall.apply(&changes)?;
            planner.applied(&changes);
            times.push(start.elapsed());
        }
        times.sort();
        Ok(times[times.len() / 2])
    };
    let added = single(&|turn| (services + turn, 0))?;
    let swapped = single(&|turn| (turn, 1))?;
    println!(
        "{services} services, {ENDPOINTS_PER_SERVICE} endpoints each: plan {planned:.1?}, program {programmed:.1?}, \
         read back {reading:.1?}, add one {added:.2?}, swap one's endpoints {swapped:.2?}"
    );
    Ok(())
}

fn key(number: u32) -> Owner {
    Owner::Service("bench".to_owned(), format!("service-{number}"))
}

fn rules(number: u32, generation: u32) -> ServiceRules {
    let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 43, 0, 1).to_bits() + number);
    let first = Ipv4Addr::new(10, 42, 0, 1).to_bits() + (number + generation) * ENDPOINTS_PER_SERVICE;
    let addresses = (0..ENDPOINTS_PER_SERVICE).map(|offset| Ipv4Addr::from_bits(first + offset));
    let endpoints: BTreeSet<Endpoint> = addresses.map(|address| Endpoint { address, port: 8080 }).collect();
    let frontend = Frontend { address, protocol: Protocol::Tcp, port: 80 };
    ServiceRules {
        hairpins: endpoints.iter().map(|endpoint| endpoint.address).collect(),
        frontends: [(frontend, Action::Serve { endpoints, affinity_seconds: None })].into(),
        cluster_ips: [address].into(),
    }
}
