//! The fixed part of the table: maps, and the rules that look things up in them.
//!
//! ```text
//! prerouting, output ─► services: served[address . protocol . port] ─► lb-N: slots[… . random below N] ─► dnat
//! input, forward, output ─► refusals: refused[address . protocol . port], cluster IPs ─► reject or drop
//! postrouting: source address of pods that leave the cluster, of pods that reach themselves, of 127.0.0.0/8
//! ```

use minato_rules::{Balance, Frontend, Ipv4Cidr};

use super::FirewallConfig;
use super::element::{INTERFACE_BYTES, chain_name};
use crate::nft::batch::{BaseChain, Batch, Hook, Set, Values};
use crate::nft::expression::{
    Compare, Connection, Expression, Learn, Meta, NatKind, Register, Verdict, address_value, connection_bits,
    destination, destination_port, in_range, interface_prefix, source, transport_protocol,
};

/// The chain that answers with a TCP reset or an ICMP error.
pub(super) const REJECT_CHAIN: &str = "reject";
const SERVICES_CHAIN: &str = "services";
const REFUSALS_CHAIN: &str = "refusals";

/// Clients that are remembered for affinity at one time; more are balanced as if they had none.
const AFFINITY_ENTRIES_MAX: u32 = 1 << 18;

const ADDRESS: u32 = 7;
const PROTOCOL: u32 = 12;
const PORT: u32 = 13;
const NUMBER: u32 = 19;
const INTERFACE: u32 = 41;
/// How the `nft` program packs the types of a concatenation.
const fn concatenated(types: &[u32]) -> u32 {
    let (mut packed, mut index) = (0, 0);
    while index < types.len() {
        packed = packed << 6 | types[index];
        index += 1;
    }
    packed
}

pub(super) const SERVED: Set = Set {
    name: "served",
    key_length: 12,
    key_display: concatenated(&[ADDRESS, PROTOCOL, PORT]),
    values: Values::Verdicts,
    learned_max: None,
};
pub(super) const SLOTS: Set = Set {
    name: "slots",
    key_length: 16,
    key_display: concatenated(&[ADDRESS, PROTOCOL, PORT, NUMBER]),
    values: Values::Data { length: 8, display: concatenated(&[ADDRESS, PORT]) },
    learned_max: None,
};
/// What clients remember counts only as long as the endpoint is in it.
pub(super) const STICKY: Set = Set {
    name: "sticky",
    key_length: 20,
    key_display: concatenated(&[ADDRESS, PROTOCOL, PORT, ADDRESS, PORT]),
    values: Values::None,
    learned_max: None,
};
pub(super) const REFUSED: Set = Set { name: "refused", ..SERVED };
pub(super) const HAIRPINS: Set = Set {
    name: "hairpins",
    key_length: 8,
    key_display: concatenated(&[ADDRESS, ADDRESS]),
    values: Values::None,
    learned_max: None,
};
pub(super) const CLUSTER_IPS: Set =
    Set { name: "cluster-ips", key_length: 4, key_display: ADDRESS, values: Values::None, learned_max: None };
/// Client and frontend to endpoint.
pub(super) const AFFINITY: Set = Set {
    name: "affinity",
    key_length: 16,
    key_display: concatenated(&[ADDRESS, ADDRESS, PROTOCOL, PORT]),
    values: Values::Data { length: 8, display: concatenated(&[ADDRESS, PORT]) },
    learned_max: Some(AFFINITY_ENTRIES_MAX),
};

/// Interfaces that sent no packets on before this cluster came; no rule looks at them.
pub(super) const SWITCHED_ON: Set = Set {
    name: "forwarding-switched-on",
    key_length: INTERFACE_BYTES as u32,
    key_display: INTERFACE,
    values: Values::None,
    learned_max: None,
};

const BASE_CHAINS: &[(&str, BaseChain)] = &[
    ("prerouting", BaseChain { kind: "nat", hook: Hook::Prerouting, priority: -100 }),
    ("output", BaseChain { kind: "nat", hook: Hook::Output, priority: -100 }),
    ("postrouting", BaseChain { kind: "nat", hook: Hook::Postrouting, priority: 100 }),
    ("filter-input", BaseChain { kind: "filter", hook: Hook::Input, priority: 0 }),
    ("filter-forward", BaseChain { kind: "filter", hook: Hook::Forward, priority: 0 }),
    ("filter-output", BaseChain { kind: "filter", hook: Hook::Output, priority: 0 }),
];

/// `IPS_DST_NAT`: the connection's destination was changed.
const REDIRECTED: u32 = 1 << 5;
/// The packet does not fit the connection it claims to belong to.
const INVALID: u32 = 1;
/// Established or related.
const KNOWN: u32 = 1 << 1 | 1 << 2;
const LOCAL_ADDRESS: u32 = 2;
const TCP: u8 = 6;

/// Declares everything that is fixed; what the maps hold stays.
pub(super) fn write(batch: &mut Batch<'_>, config: &FirewallConfig) {
    for (id, set) in (1..).zip([SERVED, SLOTS, STICKY, REFUSED, HAIRPINS, CLUSTER_IPS, AFFINITY, SWITCHED_ON]) {
        batch.add_set(set, id);
    }
    for (name, base) in BASE_CHAINS {
        batch.add_base_chain(name, *base);
    }
    for name in [SERVICES_CHAIN, REFUSALS_CHAIN, REJECT_CHAIN] {
        batch.add_chain(name);
    }
    let fixed = BASE_CHAINS.iter().map(|(name, _)| *name).chain([SERVICES_CHAIN, REFUSALS_CHAIN, REJECT_CHAIN]);
    fixed.for_each(|name| batch.flush_chain(name));
    for (chain, rule) in rules(config) {
        batch.add_rule(chain, &rule);
    }
}

fn rules(config: &FirewallConfig) -> Vec<(&'static str, Vec<Expression>)> {
    let jump = |chain: &str| vec![Expression::Verdict(Verdict::Jump(chain.to_owned()))];
    let mut rules = vec![
        ("prerouting", jump(SERVICES_CHAIN)),
        ("output", jump(SERVICES_CHAIN)),
        (SERVICES_CHAIN, [frontend(false), vec![verdict_of(SERVED)]].concat()),
        (SERVICES_CHAIN, [to_node(), frontend(true), vec![verdict_of(SERVED)]].concat()),
    ];
    rules.push(("filter-input", loopback_guard(config)));
    for chain in ["filter-input", "filter-forward"] {
        rules.push((chain, stray_guard(config)));
    }
    for chain in ["filter-input", "filter-forward", "filter-output"] {
        let known = connection_bits(Connection::State, KNOWN, true).into_iter();
        rules.push((chain, known.chain([Expression::Verdict(Verdict::Return)]).collect()));
        rules.push((chain, jump(REFUSALS_CHAIN)));
    }
    rules.extend(refusals(config).into_iter().map(|rule| (REFUSALS_CHAIN, rule)));
    rules.extend(sources(config).into_iter().map(|rule| ("postrouting", rule)));
    let tcp = [
        transport_protocol(Register(0)),
        Expression::Compare { register: Register(0), how: Compare::Equal, value: vec![TCP] },
        Expression::RejectWithReset,
    ];
    rules.push((REJECT_CHAIN, tcp.to_vec()));
    rules.push((REJECT_CHAIN, vec![Expression::RejectUnreachable]));
    rules
}

/// Loads a frontend's key into registers 0 to 2.
fn frontend(node_port: bool) -> Vec<Expression> {
    frontend_at(0, node_port).to_vec()
}

fn frontend_at(first: u8, node_port: bool) -> [Expression; 3] {
    let address = match node_port {
        true => address_value(Frontend::ANY_NODE_ADDRESS, Register(first)),
        false => destination(Register(first)),
    };
    [address, transport_protocol(Register(first + 1)), destination_port(Register(first + 2))]
}

fn verdict_of(map: Set) -> Expression {
    Expression::LookupVerdict { set: map.name, key: Register(0) }
}

/// The packet goes to an address of this node.
fn to_node() -> Vec<Expression> {
    let register = Register(0);
    let value = LOCAL_ADDRESS.to_ne_bytes().to_vec();
    vec![Expression::DestinationKind { to: register }, Expression::Compare { register, how: Compare::Equal, value }]
}

/// Node ports on 127.0.0.1 need `route_localnet` on the pods' interfaces; this keeps pods from what the host itself
/// offers there (CVE-2020-8558).
fn loopback_guard(config: &FirewallConfig) -> Vec<Expression> {
    let mut rule = interface_prefix(Meta::InputName, Compare::Equal, &pods_interfaces(config)).to_vec();
    rule.extend(in_range(destination, Compare::Equal, loopback()));
    rule.extend(connection_bits(Connection::Status, REDIRECTED, false));
    rule.push(Expression::Verdict(Verdict::Drop));
    rule
}

/// A pod's packet that fits no connection would get past the translation with the pod's own address, and the client,
/// who has never heard of that address, would reset the connection.
fn stray_guard(config: &FirewallConfig) -> Vec<Expression> {
    let mut rule = interface_prefix(Meta::InputName, Compare::Equal, &pods_interfaces(config)).to_vec();
    rule.extend(connection_bits(Connection::State, INVALID, true));
    rule.push(Expression::Verdict(Verdict::Drop));
    rule
}

fn refusals(config: &FirewallConfig) -> Vec<Vec<Expression>> {
    let cluster_ip = vec![
        destination(Register(0)),
        Expression::Contains { set: CLUSTER_IPS.name, key: Register(0) },
        Expression::Verdict(Verdict::Goto(REJECT_CHAIN.to_owned())),
    ];
    // Never let through to the outside; a Service that is being made gets another try from the client's retransmission.
    let mut unknown = in_range(destination, Compare::Equal, config.service_cidr).to_vec();
    unknown.push(Expression::Verdict(Verdict::Drop));
    vec![
        [frontend(false), vec![verdict_of(REFUSED)]].concat(),
        [to_node(), frontend(true), vec![verdict_of(REFUSED)]].concat(),
        cluster_ip,
        unknown,
    ]
}

fn sources(config: &FirewallConfig) -> Vec<Vec<Expression>> {
    let pods = pods_interfaces(config);
    let as_node = || {
        let kind = NatKind::Source;
        vec![address_value(config.node_ip, Register(0)), Expression::Nat { kind, address: Register(0), port: None }]
    };
    let to_itself = vec![
        source(Register(0)),
        destination(Register(1)),
        Expression::Contains { set: HAIRPINS.name, key: Register(0) },
    ];
    let mut from_loopback = in_range(source, Compare::Equal, loopback()).to_vec();
    from_loopback.extend(interface_prefix(Meta::OutputName, Compare::Equal, &pods));

    let to_outside = |from: [Expression; 3], to: [Expression; 3]| {
        let mut rule: Vec<Expression> = from.into_iter().chain(to).collect();
        rule.extend(interface_prefix(Meta::OutputName, Compare::NotEqual, &pods));
        rule
    };
    let pod_leaves = to_outside(
        in_range(source, Compare::Equal, config.pod_cidr),
        in_range(destination, Compare::NotEqual, config.cluster_cidr),
    );
    // A client from outside that was sent on to a pod of another node: the answer must come back this way.
    let mut relayed = to_outside(
        in_range(source, Compare::NotEqual, config.cluster_cidr),
        in_range(destination, Compare::Equal, config.cluster_cidr),
    );
    relayed.extend(connection_bits(Connection::Status, REDIRECTED, true));
    vec![
        [to_itself, as_node()].concat(),
        [from_loopback, as_node()].concat(),
        [pod_leaves, vec![Expression::Masquerade]].concat(),
        [relayed, vec![Expression::Masquerade]].concat(),
    ]
}

/// Declares the chain that spreads packets in one way, or renews it.
///
/// The frontend was found before the chain was called, and the map may have changed in between: a slot that is gone
/// falls back to the first one, which exists as long as there is any endpoint.
pub(super) fn write_balance(batch: &mut Batch<'_>, balance: Balance) {
    let chain = chain_name(balance);
    batch.add_chain(&chain);
    batch.flush_chain(&chain);
    let rules = match balance.affinity_seconds {
        None => vec![spread(balance, random(balance, Register(3))), spread(balance, first_slot(Register(3)))],
        Some(seconds) => sticky(balance, u64::from(seconds) * 1000),
    };
    rules.iter().for_each(|rule| batch.add_rule(&chain, rule));
}

fn random(balance: Balance, to: Register) -> Expression {
    Expression::Random { below: balance.endpoints, to }
}

fn first_slot(to: Register) -> Expression {
    Expression::Value { value: 0_u32.to_ne_bytes(), to }
}

fn spread(balance: Balance, slot: Expression) -> Vec<Expression> {
    let mut rule = frontend(balance.node_port);
    rule.extend([slot, Expression::Lookup { set: SLOTS.name, key: Register(0), to: Register(4) }]);
    rule.push(redirect(Register(4), Register(5)));
    rule
}

/// Registers: 0 client, 1 to 3 frontend, 4 and 5 endpoint. Clients are remembered as `0 … 3` to `4 5`, and `1 … 5` says
/// whether the endpoint is still one.
fn sticky(balance: Balance, timeout_ms: u64) -> Vec<Vec<Expression>> {
    let client = || {
        let mut rule = vec![source(Register(0))];
        rule.extend(frontend_at(1, balance.node_port));
        rule
    };
    let learn = |how: Learn| Expression::Learn {
        set: AFFINITY.name,
        how,
        key: Register(0),
        value: Register(4),
        timeout_ms: (how == Learn::Update).then_some(timeout_ms),
    };
    let redirect = || redirect(Register(4), Register(5));
    let pick = |slot: Expression| [slot, Expression::Lookup { set: SLOTS.name, key: Register(1), to: Register(4) }];

    let mut remembered = client();
    remembered.push(Expression::Lookup { set: AFFINITY.name, key: Register(0), to: Register(4) });
    remembered.push(Expression::Contains { set: STICKY.name, key: Register(1) });
    remembered.extend([learn(Learn::Update), redirect()]);

    let fresh = |slot: Expression| {
        let mut rule = client();
        rule.extend(pick(slot));
        // An update prolongs what is remembered, but does not replace it.
        rule.extend([learn(Learn::Delete), learn(Learn::Update), redirect()]);
        rule
    };
    // The map of clients may be full: then the client is served all the same.
    let mut unremembered = client();
    unremembered.extend(pick(random(balance, Register(4))));
    unremembered.push(redirect());
    vec![remembered, fresh(random(balance, Register(4))), fresh(first_slot(Register(4))), unremembered]
}

fn redirect(address: Register, port: Register) -> Expression {
    Expression::Nat { kind: NatKind::Destination, address, port: Some(port) }
}

fn pods_interfaces(config: &FirewallConfig) -> String {
    format!("mn{}", config.cluster_id)
}

fn loopback() -> Ipv4Cidr {
    Ipv4Cidr::around(std::net::Ipv4Addr::LOCALHOST, 8)
}
