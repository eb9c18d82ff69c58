//! Policies and webhooks as their users write them, by kubectl.

use anyhow::ensure;
use minato_testkit::{Cluster, Options};

const POLICIES: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: replicas.example.com}
spec:
  failurePolicy: Fail
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}]
  variables: [{name: most, expression: "int(params.data.most)"}]
  validations:
  - expression: object.spec.replicas <= variables.most
    messageExpression: "'at most %d replicas'.format([variables.most])"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: replicas-binding}
spec:
  policyName: replicas.example.com
  validationActions: [Deny]
  paramRef: {name: limits, namespace: default, parameterNotFoundAction: Deny}
  matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: labels.example.com}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}]
  validations: [{expression: "has(object.metadata.labels) && 'team' in object.metadata.labels", message: "needs a team"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: labels-binding}
spec: {policyName: labels.example.com, validationActions: [Warn]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: limits}
data: {most: "2"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: nobody}
webhooks:
- name: nobody.example.com
  clientConfig: {url: "https://127.0.0.1:1/"}
  admissionReviewVersions: [v1]
  sideEffects: None
  timeoutSeconds: 2
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [secrets]}]
  matchConditions: [{name: not-ours, expression: "object.metadata.name.startsWith('watched-')"}]
"#;

#[test]
fn policies_and_webhooks() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    kubectl.feed("apply -f -", POLICIES)?;
    let refused = kubectl.fails("create deployment web --image=nginx --replicas=3")?;
    let expected = "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'replicas.example.com' with binding 'replicas-binding' denied request: at most 2 replicas";
    ensure!(refused.contains(expected), "{refused}");
    kubectl.run("create deployment web --image=nginx --replicas=2")?;
    let refused = kubectl.fails("scale deployment web --replicas=2 --current-replicas=7")?;
    ensure!(!refused.contains("policy"), "{refused}");
    let refused = kubectl.fails("patch deployment web -p {\"spec\":{\"replicas\":5}}")?;
    ensure!(refused.contains("at most 2 replicas"), "{refused}");
    // The parameters are read when they are needed.
    kubectl.run("patch configmap limits -p {\"data\":{\"most\":\"9\"}}")?;
    kubectl.run("patch deployment web -p {\"spec\":{\"replicas\":5}}")?;
    // Another namespace is not bound.
    kubectl.run("create namespace free")?;
    kubectl.run("-n free create deployment web --image=nginx --replicas=20")?;
    kubectl.run("create secret generic ours --from-literal=a=b")?;
    let refused = kubectl.fails("create secret generic watched-1 --from-literal=a=b")?;
    let expected = "Internal error occurred: failed calling webhook \"nobody.example.com\": failed to call webhook: Post \"https://127.0.0.1:1/?timeout=2s\": dial tcp 127.0.0.1:1: connect: connection refused";
    ensure!(refused.contains(expected), "{refused}");
    kubectl.run("delete mutatingwebhookconfiguration nobody")?;
    kubectl.run("create secret generic watched-1 --from-literal=a=b")?;
    cluster.finish()
}
