//! The obvious way, written from upstream's descriptions and the objects themselves: every pod looks at every node and
//! every other pod, every time. The fast way must agree, about places, words and scores.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::serde_json::{Value, from_value, json};
use minato_select::LabelSelector;
use proptest::prelude::*;

use super::super::*;
use super::{HOST, ZONE, uid};

/// What is there, as the API has it.
#[derive(Default)]
struct World {
    nodes: BTreeMap<String, Value>,
    /// Pods by uid, with their nodes.
    pods: BTreeMap<String, (Value, String)>,
}

fn selects(selector: &Value, pod: &Value) -> bool {
    let labels: BTreeMap<String, String> = from_value(pod["metadata"]["labels"].clone()).unwrap_or_default();
    LabelSelector::from_object(selector).unwrap().matches_labels(&labels)
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn required<'a>(pod: &'a Value, kind: &str) -> &'a [Value] {
    list(pod, &format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution"))
}

fn milli_cpu(pod: &Value) -> i64 {
    pod.pointer("/spec/containers/0/resources/requests/cpu").and_then(Value::as_i64).unwrap_or(0) * 1000
}

impl World {
    fn label<'a>(&'a self, node: &str, key: &str) -> Option<&'a str> {
        self.nodes.get(node)?["metadata"]["labels"][key].as_str()
    }

    fn share(&self, a: &str, b: &str, key: &str) -> bool {
        self.label(a, key).is_some() && self.label(a, key) == self.label(b, key)
    }

    fn selected_by_node(&self, pod: &Value, node: &str) -> bool {
        let wanted = pod["spec"]["nodeSelector"].as_object();
        wanted.is_none_or(|wanted| wanted.iter().all(|(key, value)| self.label(node, key) == value.as_str()))
    }

    fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a Value> {
        self.pods.values().filter(move |(_, on)| on == node).map(|(pod, _)| pod)
    }

    /// How many pods a constraint counts on the nodes that it counts, by place.
    fn spread(&self, pod: &Value, constraint: &Value, all: &[Value]) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        let has_all =
            |node: &str| all.iter().all(|one| self.label(node, one["topologyKey"].as_str().unwrap()).is_some());
        for node in self.nodes.keys().filter(|node| has_all(node) && self.selected_by_node(pod, node)) {
            let place = self.label(node, constraint["topologyKey"].as_str().unwrap()).unwrap();
            let here = self.on(node).filter(|other| selects(&constraint["labelSelector"], other)).count();
            *counts.entry(place.to_owned()).or_default() += here as i64;
        }
        counts
    }

    fn constraints(pod: &Value, when: &str) -> Vec<Value> {
        let all = list(pod, "/spec/topologySpreadConstraints");
        all.iter().filter(|one| one["whenUnsatisfiable"] == when).cloned().collect()
    }

    fn refusal(&self, pod: &Value, node: &str) -> Option<&'static str> {
        let object = &self.nodes[node];
        let taints = list(object, "/spec/taints").iter().filter(|taint| taint["effect"] == "NoSchedule");
        if taints.count() > 0 && pod["spec"]["tolerations"].is_null() {
            return Some("node(s) had untolerated taint {k: }");
        }
        if !self.selected_by_node(pod, node) {
            return Some("node(s) didn't match Pod's node affinity/selector");
        }
        let capacity = object["status"]["allocatable"]["cpu"].as_i64().unwrap() * 1000;
        let used: i64 = self.on(node).map(milli_cpu).sum();
        if milli_cpu(pod) > 0 && used + milli_cpu(pod) > capacity {
            return Some("Insufficient cpu");
        }
        let hard = Self::constraints(pod, "DoNotSchedule");
        for constraint in &hard {
            let Some(place) = self.label(node, constraint["topologyKey"].as_str().unwrap()) else {
                return Some("node(s) didn't match pod topology spread constraints (missing required label)");
            };
            let counts = self.spread(pod, constraint, &hard);
            let own = i64::from(selects(&constraint["labelSelector"], pod));
            let least = counts.values().min().copied().unwrap_or(i64::from(i32::MAX));
            let here = counts.get(place).copied().unwrap_or(0);
            if here + own - least > constraint["maxSkew"].as_i64().unwrap() {
                return Some("node(s) didn't match pod topology spread constraints");
            }
        }
        let terms = required(pod, "podAffinity");
        let matches_all = |other: &Value| terms.iter().all(|term| selects(&term["labelSelector"], other));
        if !terms.is_empty() {
            let key = |term: &Value| term["topologyKey"].as_str().unwrap().to_owned();
            if terms.iter().any(|term| self.label(node, &key(term)).is_none()) {
                return Some("node(s) didn't match pod affinity rules");
            }
            let near = |term: &Value| {
                self.pods.values().any(|(other, on)| matches_all(other) && self.share(node, on, &key(term)))
            };
            let anywhere = self
                .pods
                .values()
                .any(|(other, on)| matches_all(other) && terms.iter().any(|term| self.label(on, &key(term)).is_some()));
            if !terms.iter().all(near) && (anywhere || !matches_all(pod)) {
                return Some("node(s) didn't match pod affinity rules");
            }
        }
        let repels = |owner: &Value, other: &Value, on: &str| {
            required(owner, "podAntiAffinity").iter().any(|term| {
                selects(&term["labelSelector"], other) && self.share(node, on, term["topologyKey"].as_str().unwrap())
            })
        };
        if self.pods.values().any(|(other, on)| repels(pod, other, on)) {
            return Some("node(s) didn't match pod anti-affinity rules");
        }
        if self.pods.values().any(|(other, on)| repels(other, pod, on)) {
            return Some("node(s) didn't satisfy existing pods anti-affinity rules");
        }
        None
    }

    /// The scores of the nodes that fit, and what the others say.
    fn rank(&self, pod: &Value) -> (BTreeMap<String, i64>, BTreeMap<&'static str, usize>) {
        let (mut fitting, mut reasons) = (Vec::new(), BTreeMap::new());
        for node in self.nodes.keys() {
            match self.refusal(pod, node) {
                None => fitting.push(node.as_str()),
                Some(reason) => *reasons.entry(reason).or_default() += 1,
            }
        }
        let taints: Vec<i64> = fitting.iter().map(|node| self.unwelcoming(pod, node)).collect();
        let spread: Vec<Option<i64>> = fitting.iter().map(|node| self.spread_score(pod, node, &fitting)).collect();
        let liked: Vec<i64> = fitting.iter().map(|node| self.affinity_score(pod, node)).collect();
        let most = |all: &[i64]| all.iter().copied().max().unwrap_or(0);
        let least = |all: &[i64]| all.iter().copied().min().unwrap_or(0);
        let counted: Vec<i64> = spread.iter().flatten().copied().collect();
        let is_spread = !Self::constraints(pod, "ScheduleAnyway").is_empty();
        let has_taints =
            taints.iter().any(|count| *count > 0) || self.nodes.keys().any(|node| self.unwelcoming(pod, node) > 0);
        let score = |(nth, node): (usize, &&str)| {
            let mut score = self.resource_score(pod, node);
            if has_taints {
                score += 3 * if most(&taints) == 0 { 100 } else { 100 - 100 * taints[nth] / most(&taints) };
            }
            if is_spread {
                score += 2 * match spread[nth] {
                    None => 0,
                    Some(_) if most(&counted) == 0 => 100,
                    Some(count) => 100 * (most(&counted) + least(&counted) - count) / most(&counted),
                };
            }
            let distance = most(&liked) - least(&liked);
            if distance > 0 {
                score += 2 * ((100.0 * ((liked[nth] - least(&liked)) as f64 / distance as f64)) as i64);
            }
            ((*node).to_owned(), score)
        };
        (fitting.iter().enumerate().map(score).collect(), reasons)
    }

    fn unwelcoming(&self, pod: &Value, node: &str) -> i64 {
        let taints =
            list(&self.nodes[node], "/spec/taints").iter().filter(|taint| taint["effect"] == "PreferNoSchedule");
        if pod["spec"]["tolerations"].is_null() { taints.count() as i64 } else { 0 }
    }

    fn resource_score(&self, pod: &Value, node: &str) -> i64 {
        let capacity = self.nodes[node]["status"]["allocatable"]["cpu"].as_i64().unwrap() * 1000;
        let memory = 1000 * 1024 * 1024;
        let assumed =
            |pod: &Value| if pod.pointer("/spec/containers/0/resources").is_some() { milli_cpu(pod) } else { 100 };
        let cpu = self.on(node).map(assumed).sum::<i64>() + assumed(pod);
        let bytes = (self.on(node).count() as i64 + 1) * 200 * 1024 * 1024;
        let free = |used: i64, capacity: i64| if used > capacity { 0 } else { (capacity - used) * 100 / capacity };
        let least = (free(cpu, capacity) + free(bytes, memory)) / 2;
        if milli_cpu(pod) == 0 {
            return least;
        }
        let share = ((self.on(node).map(milli_cpu).sum::<i64>() + milli_cpu(pod)) as f64 / capacity as f64).min(1.0);
        least + ((1.0 - share / 2.0) * 100.0) as i64
    }

    fn spread_score(&self, pod: &Value, node: &str, fitting: &[&str]) -> Option<i64> {
        let soft = Self::constraints(pod, "ScheduleAnyway");
        let key = |one: &Value| one["topologyKey"].as_str().unwrap().to_owned();
        let takes_part = |node: &&str| soft.iter().all(|one| self.label(node, &key(one)).is_some());
        if !takes_part(&node) {
            return None;
        }
        let mut sum = 0.0;
        for constraint in &soft {
            let place = self.label(node, &key(constraint)).unwrap();
            let (count, places) = if key(constraint) == HOST {
                let here = self.on(node).filter(|other| selects(&constraint["labelSelector"], other)).count();
                (here as i64, fitting.iter().filter(|node| takes_part(node)).count())
            } else {
                let taking_part = fitting.iter().filter(|node| takes_part(node));
                let places: BTreeSet<&str> =
                    taking_part.filter_map(|node| self.label(node, &key(constraint))).collect();
                (self.spread(pod, constraint, &soft).get(place).copied().unwrap_or(0), places.len())
            };
            sum += count as f64 * ((places + 2) as f64).ln() + (constraint["maxSkew"].as_i64().unwrap() - 1) as f64;
        }
        Some(sum.round() as i64)
    }

    fn affinity_score(&self, pod: &Value, node: &str) -> i64 {
        const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
        let near = |term: &Value, on: &str| self.share(node, on, term["topologyKey"].as_str().unwrap());
        let mut sum = 0;
        for (kind, sign) in [("podAffinity", 1), ("podAntiAffinity", -1)] {
            let preferred = |pod: &Value| list(pod, &format!("/spec/affinity/{kind}/{PREFERRED}")).to_vec();
            for (other, on) in self.pods.values() {
                for (owner, about) in [(pod, other), (other, pod)] {
                    for weighted in preferred(owner) {
                        let term = &weighted["podAffinityTerm"];
                        if selects(&term["labelSelector"], about) && near(term, on) {
                            sum += sign * weighted["weight"].as_i64().unwrap();
                        }
                    }
                }
            }
        }
        for (other, on) in &self.pods.values().collect::<Vec<_>>()[..] {
            let about = |term: &&Value| selects(&term["labelSelector"], pod) && near(term, on);
            sum += required(other, "podAffinity").iter().filter(about).count() as i64;
        }
        sum
    }
}

#[derive(Clone, Debug)]
enum Step {
    SetNode { name: u8, cpus: u8, zone: Option<u8>, taint: u8 },
    RemoveNode { name: u8 },
    Place { pod: u8, class: u8, color: u8 },
    Take { pod: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..40_u8, 0..11_u8, 0..3_u8).prop_map(|(pod, class, color)| Step::Place { pod, class, color });
    prop_oneof![
        (0..9_u8, 2..9_u8, proptest::option::weighted(0.9, 0..3_u8), 0..8_u8)
            .prop_map(|(name, cpus, zone, taint)| Step::SetNode { name, cpus, zone, taint }),
        (0..9_u8).prop_map(|name| Step::RemoveNode { name }),
        place(),
        place(),
        place(),
        (0..40_u8).prop_map(|pod| Step::Take { pod }),
    ]
}

fn pod(class: u8, color: u8) -> Value {
    let color = ["red", "green", "blue"][usize::from(color)];
    let mut spec = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": 1}}}]});
    let term = |key: &str, color: &str| json!({"topologyKey": key, "labelSelector": {"matchLabels": {"color": color}}});
    let spread = |key: &str, when: &str| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": when, "labelSelector": {"matchLabels": {"color": color}}});
    let weighted = |weight: i64, term: Value| json!([{"weight": weight, "podAffinityTerm": term}]);
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    match class {
        0 => spec["containers"] = json!([{"name": "c"}]),
        1 => spec["tolerations"] = json!([{"operator": "Exists"}]),
        2 => spec["nodeSelector"] = json!({ZONE: "1"}),
        3 => spec["affinity"] = json!({"podAffinity": {REQUIRED: [term(ZONE, "red")]}}),
        4 => spec["affinity"] = json!({"podAntiAffinity": {REQUIRED: [term(HOST, color)]}}),
        5 => spec["affinity"] = json!({"podAntiAffinity": {REQUIRED: [term(ZONE, "green")]}}),
        6 => {
            spec["affinity"] = json!({"podAffinity": {PREFERRED: weighted(7, term(ZONE, "blue"))}, "podAntiAffinity": {PREFERRED: weighted(3, term(HOST, color))}})
        }
        7 => spec["topologySpreadConstraints"] = json!([spread(ZONE, "DoNotSchedule"), spread(HOST, "DoNotSchedule")]),
        8 => {
            spec["topologySpreadConstraints"] = json!([spread(ZONE, "ScheduleAnyway"), spread(HOST, "ScheduleAnyway")])
        }
        9 => {
            spec["nodeSelector"] = json!({ZONE: "2"});
            spec["topologySpreadConstraints"] = json!([spread(HOST, "DoNotSchedule"), spread(ZONE, "ScheduleAnyway")]);
        }
        _ => spec["affinity"] = json!({"podAffinity": {REQUIRED: [term(ZONE, color), term(HOST, color)]}}),
    }
    json!({"metadata": {"namespace": "default", "labels": {"color": color}}, "spec": spec})
}

proptest! {
    #[test]
    fn agrees_with_the_obvious_way(steps in proptest::collection::vec(step(), 1..150)) {
        let (mut cluster, mut world) = (Cluster::default(), World::default());
        for step in steps {
            match step {
                Step::SetNode { name, cpus, zone, taint } => {
                    let name = format!("n{name}");
                    let mut labels = json!({HOST: name});
                    if let Some(zone) = zone {
                        labels[ZONE] = zone.to_string().into();
                    }
                    let taints = match taint {
                        0 => json!([{"key": "k", "effect": "NoSchedule"}]),
                        1 => json!([{"key": "k", "effect": "PreferNoSchedule"}]),
                        _ => json!([]),
                    };
                    let node = json!({
                        "metadata": {"name": name, "labels": labels}, "spec": {"taints": taints},
                        "status": {"allocatable": {"cpu": cpus, "memory": "1000Mi", "pods": 100}},
                    });
                    let mut written = node.clone();
                    written["status"]["allocatable"] = json!({"cpu": cpus.to_string(), "memory": "1000Mi", "pods": "100"});
                    cluster.set_node(&from_value(written).unwrap());
                    world.nodes.insert(name, node);
                }
                Step::RemoveNode { name } => {
                    cluster.remove_node(&format!("n{name}"));
                    world.nodes.remove(&format!("n{name}"));
                }
                Step::Place { pod: number, class, color } => {
                    let object = pod(class, color);
                    let mut written = object.clone();
                    if class != 0 {
                        written["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1".into();
                    }
                    let demand = Demand::of(&from_value(written).unwrap());
                    let uid = uid(number);
                    cluster.take(&uid);
                    world.pods.remove(&number.to_string());
                    let (ranked, reasons) = world.rank(&object);
                    let asks = Ask { uid: &uid, demand: &demand, priority: 0, profile: 0 };
                    let place = cluster.place(&asks);
                    match cluster.rank(&asks) {
                        Ok(fast) => {
                            let fast: BTreeMap<String, i64> = fast.into_iter().map(|(node, score)| (node.to_string(), score)).collect();
                            prop_assert_eq!(&fast, &ranked, "{}", object);
                            let place = place.unwrap();
                            prop_assert_eq!(ranked.get(&*place), ranked.values().max());
                            let placed = Pod { name: number.to_string().into(), demand, priority: 0, started: None, is_giving_way: false };
                            cluster.put(&uid, placed, &place);
                            world.pods.insert(number.to_string(), (object, place.to_string()));
                        }
                        Err(fast) => {
                            prop_assert!(ranked.is_empty(), "{} on {:?}", fast, ranked);
                            let mut words: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                            words.sort();
                            let expected = match world.nodes.len() {
                                0 => "no nodes available to schedule pods".to_owned(),
                                nodes => format!("0/{nodes} nodes are available: {}.", words.join(", ")),
                            };
                            prop_assert_eq!(fast.to_string(), expected, "{}", object);
                        }
                    }
                }
                Step::Take { pod } => {
                    cluster.take(&uid(pod));
                    world.pods.remove(&pod.to_string());
                }
            }
        }
        let uids: Vec<Uid> = cluster.placed().cloned().collect();
        for uid in uids {
            cluster.take(&uid);
        }
        prop_assert!(cluster.slots.iter().all(|slot| slot.load == Load::default()));
        prop_assert!(cluster.census.is_empty());
    }
}
