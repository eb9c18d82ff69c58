//! Pods that come to the node past the scheduler: it takes in what fits and may be.

use minato_testkit::Kubectl;

use super::{IMAGE, becomes};

pub(super) fn what_does_not_fit_is_refused(kubectl: &Kubectl, node: &str) -> anyhow::Result<()> {
    let pod = |name: &str, rest: &str| {
        format!("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{{rest}}}}}\n")
    };
    let container =
        |more: &str| format!("containers: [{{name: c, image: {IMAGE}, imagePullPolicy: IfNotPresent{more}}}]");
    let port = ", ports: [{containerPort: 8080, hostPort: 21017}]";
    let here = format!("nodeName: {node}, ");
    let stateful = format!(
        "---\n{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: late}}, spec: {{serviceName: late, \
         selector: {{matchLabels: {{app: late}}}}, template: {{metadata: {{labels: {{app: late}}}}, spec: {{{here}{}}}}}}}}}\n",
        container(port)
    );
    kubectl.feed("apply -f -", &pod("early", &format!("{here}{}", container(port))))?;
    becomes(kubectl, "pod/early", ".status.phase", "Running")?;
    let sysctl = "securityContext: {sysctls: [{name: kernel.msgmax, value: \"65536\"}]}, ";
    let refused = [
        ("sysctl", sysctl, "", "SysctlForbidden"),
        ("elsewhere", "nodeSelector: {no: such}, ", "", "NodeAffinity"),
        ("greedy", "", ", resources: {requests: {cpu: 10k}}", "OutOfcpu"),
        ("second", "", port, "NodePorts"),
    ];
    let pods = refused.iter().map(|(name, spec, more, _)| pod(name, &format!("{here}{spec}{}", container(more))));
    kubectl.feed("apply -f -", &(pods.collect::<String>() + &stateful))?;
    for (name, _, _, reason) in refused {
        becomes(kubectl, &format!("pod/{name}"), ".status.phase", "Failed")?;
        becomes(kubectl, &format!("pod/{name}"), ".status.reason", reason)?;
    }
    // Refused, and made again until there is room.
    becomes(kubectl, "pod/late-0", ".status.reason", "NodePorts")?;
    kubectl.run("delete pod early --now")?;
    becomes(kubectl, "pod/late-0", ".status.phase", "Running")?;
    kubectl.run("delete statefulset late")?;
    kubectl.run("delete pod --now sysctl elsewhere greedy second")?;
    Ok(())
}
