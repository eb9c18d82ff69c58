//! Who users are, what they may, and how they get their credentials, by kubectl.

use anyhow::ensure;
use minato_testkit::{Cluster, Options, eventually};

use crate::PATIENCE;

fn has(text: &str, parts: &[&str]) -> anyhow::Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part:?} is not in {text}");
    }
    Ok(())
}

#[test]
fn roles_rights_and_tokens() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    let run = |line: &str| kubectl.run(line);
    has(&run("auth whoami")?, &["minato-admin", "system:masters", "system:authenticated"])?;
    has(&run("auth whoami --as alice --as-group dev")?, &["alice", "dev"])?;
    // Aggregated roles have their rules by the controller.
    run("create rolebinding v --clusterrole=view --user=vera")?;
    eventually(PATIENCE, || has(&run("auth can-i list pods --as vera")?, &["yes"]))?;
    has(&kubectl.fails("auth can-i get secrets --as vera")?, &["no"])?;
    has(&run("auth can-i --list --as vera")?, &["pods", "selfsubjectreviews.authentication.k8s.io", "/healthz"])?;
    has(&kubectl.fails("get secrets --as vera")?, &[r#"User "vera" cannot list resource "secrets""#])?;
    run("create rolebinding e --clusterrole=edit --user=vera")?;
    has(
        &kubectl.fails("create rolebinding x --clusterrole=admin --user=vera --as vera")?,
        &["cannot create resource"],
    )?;
    run("create rolebinding a --clusterrole=admin --user=adam")?;
    eventually(PATIENCE, || has(&run("auth can-i create roles --as adam")?, &["yes"]))?;
    has(
        &kubectl.fails("create role greedy --verb=list --resource=nodes --as adam")?,
        &[
            "is attempting to grant RBAC permissions not currently held",
            r#"{APIGroups:[""], Resources:["nodes"], Verbs:["list"]}"#,
        ],
    )?;
    run("create clusterrole collected --aggregation-rule=to=collected")?;
    run("create clusterrole part --verb=get --resource=configmaps")?;
    run("label clusterrole part to=collected")?;
    eventually(PATIENCE, || has(&run("get clusterrole collected -o jsonpath={.rules}")?, &["configmaps"]))?;

    run("create serviceaccount bot")?;
    let token = run("create token bot --duration=20m --audience=https://kubernetes.default.svc.cluster.local")?;
    has(
        &run(&format!("auth whoami --token {} --kubeconfig {}", token.trim(), bare(&cluster)?))?,
        &["system:serviceaccount:default:bot"],
    )?;
    has(&kubectl.fails("create token bot --duration=1s")?, &["may not specify a duration less than 10 minutes"])?;
    let foreign = run("create token bot --audience=shop")?;
    has(
        &kubectl.fails(&format!("auth whoami --token {} --kubeconfig {}", foreign.trim(), bare(&cluster)?))?,
        &["You must be logged in to the server"],
    )?;
    run("create secret generic holder")?;
    let bound = run("create token bot --bound-object-kind=Secret --bound-object-name=holder")?;
    let whoami = format!("auth whoami --token {} --kubeconfig {}", bound.trim(), bare(&cluster)?);
    run(&whoami)?;
    run("delete secret holder")?;
    kubectl.fails(&whoami)?;

    // A Secret for a token is filled, and goes with its account.
    kubectl.feed(
        "create -f -",
        "---\n{apiVersion: v1, kind: Secret, metadata: {name: long, annotations: {kubernetes.io/service-account.name: bot}}, type: kubernetes.io/service-account-token}",
    )?;
    let mut token = String::new();
    eventually(PATIENCE, || {
        token = run("get secret long -o go-template={{.data.token|base64decode}}")?;
        ensure!(token.contains('.'), "{token}");
        anyhow::Ok(())
    })?;
    has(
        &run(&format!("auth whoami --token {} --kubeconfig {}", token.trim(), bare(&cluster)?))?,
        &["system:serviceaccount:default:bot"],
    )?;
    has(&run("get secret long --show-labels")?, &["kubernetes.io/legacy-token-last-used="])?;
    run("delete serviceaccount bot")?;
    eventually(PATIENCE, || kubectl.fails("get secret long").map(drop))?;
    cluster.finish()
}

/// A kubeconfig with the cluster and no credentials.
fn bare(cluster: &Cluster) -> anyhow::Result<String> {
    let path = cluster.scratch().join("bare.kubeconfig");
    if !path.exists() {
        let text = cluster.kubectl().run("config view --raw -o json")?;
        let mut config: serde_json::Value = serde_json::from_str(&text)?;
        config["users"] = serde_json::json!([{"name": config["users"][0]["name"], "user": {}}]);
        std::fs::write(&path, config.to_string())?;
    }
    Ok(path.display().to_string())
}

/// The walk of `docs/users.md`.
#[test]
fn a_certificate_for_a_user() -> anyhow::Result<()> {
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: there is no openssl");
        return Ok(());
    }
    let cluster = Cluster::start(Options::control_plane())?;
    let kubectl = cluster.kubectl();
    let path = |name: &str| cluster.scratch().join(name).display().to_string();
    let (key, request, certificate) = (path("alice.key"), path("alice.csr"), path("alice.crt"));
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl").args(arguments).output()?;
        ensure!(output.status.success(), "{output:?}");
        anyhow::Ok(output.stdout)
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &key])?;
    openssl(&["req", "-new", "-key", &key, "-subj", "/CN=alice/O=dev/O=ops", "-out", &request])?;
    let encoded = String::from_utf8(openssl(&["base64", "-A", "-in", &request])?)?;
    let object = |name: &str, signer: &str, usages: &str| {
        format!(
            "---\n{{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {{name: {name}}}, spec: {{request: {encoded}, signerName: {signer}, expirationSeconds: 3600, usages: [{usages}]}}}}"
        )
    };
    kubectl.feed("create -f -", &object("alice", "kubernetes.io/kube-apiserver-client", "client auth"))?;
    has(&kubectl.run("get csr alice")?, &["kubernetes.io/kube-apiserver-client", "minato-admin", "Pending"])?;
    kubectl.run("certificate approve alice")?;
    let mut issued = String::new();
    eventually(PATIENCE, || {
        issued = kubectl.run("get csr alice -o go-template={{.status.certificate|base64decode}}")?;
        ensure!(issued.contains("BEGIN CERTIFICATE"), "{issued}");
        anyhow::Ok(())
    })?;
    has(&kubectl.run("get csr alice")?, &["Approved,Issued"])?;
    std::fs::write(&certificate, issued)?;
    has(
        &String::from_utf8(openssl(&["x509", "-in", &certificate, "-noout", "-text"])?)?,
        &["TLS Web Client Authentication", "CN = alice"],
    )?;
    let login =
        format!("auth whoami --kubeconfig {} --client-key {key} --client-certificate {certificate}", bare(&cluster)?);
    has(&kubectl.run(&login)?, &["alice", "dev", "ops", "system:authenticated"])?;

    // What a signer may not sign fails and says why; what nobody wants is denied.
    kubectl.feed(
        "create -f -",
        &object("node", "kubernetes.io/kube-apiserver-client-kubelet", "client auth, digital signature"),
    )?;
    kubectl.run("certificate approve node")?;
    eventually(PATIENCE, || {
        has(
            &kubectl.run("get csr node -o yaml")?,
            &["SignerValidationFailure", "subject organization is not system:nodes"],
        )
    })?;
    kubectl.feed("create -f -", &object("mallory", "kubernetes.io/kube-apiserver-client", "client auth"))?;
    kubectl.run("certificate deny mallory")?;
    has(&kubectl.run("get csr mallory")?, &["Denied"])?;
    cluster.finish()
}
