use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::*;
use crate::endpoint_slice::tests::{pod, service};

/// `ready|not ready:ports`, each list by commas.
fn text(endpoints: &Endpoints) -> Vec<String> {
    let ips = |addresses: &Option<Vec<EndpointAddress>>| {
        addresses.iter().flatten().map(|address| address.ip.clone()).collect::<Vec<_>>().join(",")
    };
    let subsets = endpoints.subsets.iter().flatten();
    let one = |subset: &EndpointSubset| {
        let ports: Vec<_> = subset.ports.iter().flatten().map(|port| port.port.to_string()).collect();
        format!("{}|{}:{}", ips(&subset.addresses), ips(&subset.not_ready_addresses), ports.join(","))
    };
    subsets.map(one).collect()
}

#[test]
fn subsets_of_pods() {
    let check = |service: &Service, pods: &[&str], expected: &[&str]| {
        let pods: Vec<_> = pods.iter().map(|text| pod(text)).collect();
        let endpoints = plan(service, &pods, None).unwrap();
        assert_eq!(text(&endpoints), expected, "{pods:?}");
        assert_eq!(plan(service, &pods, Some(&endpoints)), None, "planned again, nothing is to do");
    };
    let number = service(IntOrString::Int(8080));
    check(&number, &[], &[]);
    check(&number, &["a 10.0.0.2 ready", "b 10.0.0.1 ready", "c 10.0.0.3"], &["10.0.0.1,10.0.0.2|10.0.0.3:8080"]);
    check(&number, &["a 10.0.0.1 ready going", "b 10.0.0.2 phase=Failed", "c -"], &[]);
    check(&number, &["a 10.0.0.1 phase=Pending policy=Never"], &["|10.0.0.1:8080"]);
    let named = service(IntOrString::String("web".to_owned()));
    check(
        &named,
        &["a 10.0.0.1 ready port=web:80", "b 10.0.0.2 ready port=web:81", "c 10.0.0.3 ready"],
        &["10.0.0.1|:80", "10.0.0.2|:81"],
    );
    let mut eager = service(IntOrString::Int(8080));
    eager.spec.as_mut().unwrap().publish_not_ready_addresses = Some(true);
    check(&eager, &["a 10.0.0.1", "b 10.0.0.2 going"], &["10.0.0.1,10.0.0.2|:8080"]);
}

#[test]
fn too_many_addresses_are_cut_and_said_so() {
    let pods: Vec<_> =
        (0..1100).map(|number| pod(&format!("p{number:04} 10.0.{}.{} ready", number / 250, number % 250))).collect();
    let service = service(IntOrString::Int(8080));
    let endpoints = plan(&service, &pods, None).unwrap();
    assert_eq!(endpoints.metadata.annotations.as_ref().unwrap()[OVER_CAPACITY], "truncated");
    assert_eq!(endpoints.subsets.as_ref().unwrap()[0].addresses.as_ref().unwrap().len(), ADDRESSES_MAX);
    let fewer = plan(&service, &pods[..3], Some(&endpoints)).unwrap();
    assert_eq!(fewer.metadata.annotations, None);
}
