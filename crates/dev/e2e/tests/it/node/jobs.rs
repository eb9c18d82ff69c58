//! Jobs and CronJobs whose pods end when they are told to.

use anyhow::{Context as _, ensure};
use minato_testkit::{Kubectl, eventually};

use super::{IMAGE, becomes, cluster, get};
use crate::PATIENCE;

const JOBS: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: indexed}
spec:
  completions: 2
  parallelism: 2
  completionMode: Indexed
  backoffLimitPerIndex: 0
  template: TEMPLATE
---
apiVersion: batch/v1
kind: Job
metadata: {name: brief}
spec:
  ttlSecondsAfterFinished: 1
  template: TEMPLATE
---
apiVersion: batch/v1
kind: Job
metadata: {name: doomed}
spec:
  podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [7]}}]}
  template: TEMPLATE
---
apiVersion: batch/v1
kind: Job
metadata: {name: paused}
spec:
  suspend: true
  template: TEMPLATE
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: often}
spec:
  schedule: "@every 2s"
  concurrencyPolicy: Forbid
  jobTemplate:
    spec:
      template: TEMPLATE
"#;

/// Waits for a running pod of a Job and tells it to exit.
fn end(kubectl: &Kubectl, labels: &str, code: u8) -> anyhow::Result<()> {
    let address = eventually(PATIENCE, || {
        let running = format!(
            "get pods -l {labels} --field-selector=status.phase=Running -o jsonpath={{.items[*].status.podIP}}"
        );
        let addresses = kubectl.run(&running)?;
        let first = addresses.split(' ').next().filter(|address| !address.is_empty());
        first.map(|address| format!("{address}:8080")).context("no pod runs")
    })?;
    eventually(PATIENCE, || get(&address, &format!("/exit?code={code}")).map(drop))
}

#[test]
fn jobs_run_to_their_end() -> anyhow::Result<()> {
    let Some(cluster) = cluster(15)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    let container = format!("{{name: c, image: {IMAGE}, imagePullPolicy: IfNotPresent}}");
    let template =
        format!("{{spec: {{restartPolicy: Never, terminationGracePeriodSeconds: 1, containers: [{container}]}}}}");
    kubectl.feed("apply -f -", &JOBS.replace("TEMPLATE", &template))?;

    // One index succeeds, the other fails: each pod knows its own.
    let index = |index: u8| format!("job-name=indexed,batch.kubernetes.io/job-completion-index={index}");
    becomes(&kubectl, "job/indexed", ".status.active", "2")?;
    becomes(&kubectl, &format!("pods -l {}", index(1)), ".items[*].spec.hostname", "indexed-1")?;
    end(&kubectl, &index(1), 0)?;
    becomes(&kubectl, "job/indexed", ".status.completedIndexes", "1")?;
    end(&kubectl, &index(0), 3)?;
    kubectl.run("wait job/indexed --for=condition=Failed --timeout=60s")?;
    becomes(&kubectl, "job/indexed", ".status.failedIndexes", "0")?;
    becomes(&kubectl, "job/indexed", ".status.conditions[*].reason", "FailedIndexes FailedIndexes")?;
    becomes(&kubectl, "pods -l job-name=indexed", ".items[*].metadata.finalizers", "")?;

    end(&kubectl, "job-name=doomed", 7)?;
    kubectl.run("wait job/doomed --for=condition=Failed --timeout=60s")?;
    becomes(&kubectl, "job/doomed", ".status.conditions[0].reason", "PodFailurePolicy")?;

    // Suspended Jobs have no pods, and say so.
    becomes(&kubectl, "job/paused", ".status.conditions[0].reason", "JobSuspended")?;
    kubectl.run(r#"patch job/paused -p {"spec":{"suspend":false}}"#)?;
    becomes(&kubectl, "job/paused", ".status.ready", "1")?;
    kubectl.run(r#"patch job/paused -p {"spec":{"suspend":true}}"#)?;
    becomes(&kubectl, "pods -l job-name=paused", ".items[*].metadata.name", "")?;
    becomes(&kubectl, "job/paused", ".status.failed", "")?;

    // A finished Job goes when its time is over, with its pods.
    end(&kubectl, "job-name=brief", 0)?;
    kubectl.run("wait job/brief --for=delete --timeout=60s")?;
    becomes(&kubectl, "pods -l job-name=brief", ".items[*].metadata.name", "")?;

    // A CronJob that forbids company starts the next Job when the last one has ended.
    becomes(&kubectl, "cronjob/often", ".status.active[*].kind", "Job")?;
    let first = kubectl.run("get cronjob/often -o jsonpath={.status.active[0].name}")?;
    end(&kubectl, &format!("job-name={first}"), 0)?;
    kubectl.run(&format!("wait job/{first} --for=condition=Complete --timeout=60s"))?;
    eventually(PATIENCE, || {
        let last = kubectl.run("get cronjob/often -o jsonpath={.status.lastSuccessfulTime}")?;
        ensure!(!last.is_empty(), "no success is told");
        Ok::<_, anyhow::Error>(())
    })?;
    kubectl.run("delete cronjob,job --all --timeout=60s")?;
    becomes(&kubectl, "pods", ".items[*].metadata.name", "")?;
    cluster.finish()
}
