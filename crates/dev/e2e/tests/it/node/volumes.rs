//! Claims, volumes and what is in them, as kubectl sees them.

use anyhow::{Context as _, ensure};
use minato_testkit::eventually;

use super::{archive, becomes, cluster, exchange, get};
use crate::PATIENCE;

const STORE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {clusterIP: None, selector: {app: store}, ports: [{port: 8081}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  selector: {matchLabels: {app: store}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete, whenScaled: Retain}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
  template:
    metadata: {labels: {app: store}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}
      containers:
      - name: store
        image: minato.local/guestbook:latest
        imagePullPolicy: IfNotPresent
        args: [store, --data=/data]
        volumeMounts: [{name: data, mountPath: /data}]
        readinessProbe: {httpGet: {path: /readyz, port: 8081}, periodSeconds: 1}
"#;

const STATIC: &str = r#"
apiVersion: v1
kind: PersistentVolume
metadata: {name: shelf}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  hostPath: {path: DIRECTORY, type: DirectoryOrCreate}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: shelf}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: reader}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 0}
  containers:
  - name: store
    image: minato.local/guestbook:latest
    imagePullPolicy: IfNotPresent
    args: [store, --data=/data]
    volumeMounts: [{name: shelf, mountPath: /data}, {name: scratch, mountPath: /scratch}]
  volumes:
  - {name: shelf, persistentVolumeClaim: {claimName: shelf}}
  - name: scratch
    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: without}
spec:
  containers: [{name: store, image: minato.local/guestbook:latest}]
  volumes: [{name: shelf, persistentVolumeClaim: {claimName: missing}}]
"#;

#[test]
fn data_outlives_pods_and_goes_with_claims() -> anyhow::Result<()> {
    let Some(cluster) = cluster(16)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    cluster.minato("image import", &[&archive("guestbook")?])?;
    kubectl.feed("apply -f -", STORE)?;
    let ready = || kubectl.run("rollout status statefulset/store --timeout=60s");
    ready().with_context(|| kubectl.run("describe pods,pvc").unwrap_or_default())?;
    let address = || anyhow::Ok(format!("{}:8081", kubectl.run("get pod store-0 -o jsonpath={.status.podIP}")?));
    let message = r#"{"author":"ahoy","text":"still here"}"#;
    let (head, _) = exchange(&address()?, "POST /messages HTTP/1.1", "Content-Type: application/json\r\n", message)?;
    ensure!(head.starts_with("HTTP/1.1 2"), "{head}");

    let volume = kubectl.run("get pvc data-store-0 -o jsonpath={.spec.volumeName}")?;
    let directory = cluster.data_dir().join("volumes").join(&volume);
    ensure!(directory.is_dir(), "{} is missing", directory.display());
    kubectl.run("delete pod store-0 --timeout=60s")?;
    ready()?;
    let messages = get(&address()?, "/messages")?;
    ensure!(messages.contains("still here"), "{messages}");

    let growth = r#"{"spec":{"resources":{"requests":{"storage":"2Mi"}}}}"#;
    kubectl.args(&["patch", "pvc", "data-store-0", "-p", growth])?;
    becomes(&kubectl, "pvc/data-store-0", ".status.capacity.storage", "2Mi")?;
    let told = kubectl.run("describe pvc data-store-0")?;
    for words in ["waiting for first consumer to be created before binding", "Successfully provisioned volume", &volume]
    {
        ensure!(told.contains(words), "{words:?} is missing in {told}");
    }
    let told = kubectl.run(&format!("describe pv {volume}"))?;
    ensure!(told.contains("Term 0:        kubernetes.io/hostname in [node-16]"), "{told}");

    kubectl.run("delete statefulset store --timeout=60s")?;
    eventually(PATIENCE, || {
        let left = kubectl.run("get pv,pvc -o name")?;
        ensure!(left.is_empty() && !directory.exists(), "{left:?} or the directory is still there");
        anyhow::Ok(())
    })?;
    cluster.finish()
}

#[test]
fn volumes_are_bound_kept_and_missed() -> anyhow::Result<()> {
    let Some(cluster) = cluster(17)? else { return Ok(()) };
    let kubectl = cluster.kubectl();
    cluster.minato("image import", &[&archive("guestbook")?])?;
    let directory = cluster.scratch().join("shelf");
    kubectl.feed("apply -f -", &STATIC.replace("DIRECTORY", &directory.display().to_string()))?;
    becomes(&kubectl, "pod/reader", ".status.phase", "Running")?;
    becomes(&kubectl, "pv/shelf", ".status.phase", "Bound")?;
    becomes(&kubectl, "pvc/reader-scratch", ".metadata.ownerReferences[0].name", "reader")?;
    let reason = "0/1 nodes are available: persistentvolumeclaim \"missing\" not found. preemption: 0/1 nodes are \
                  available: 1 Preemption is not helpful for scheduling.";
    becomes(&kubectl, "pod/without", ".status.conditions[0].message", reason)?;

    // The claim stays while a pod uses it; its data stays for whoever looks after the volume.
    kubectl.run("delete pvc shelf --wait=false")?;
    becomes(&kubectl, "pvc/shelf", ".status.phase", "Bound")?;
    kubectl.run("delete pod reader --timeout=60s")?;
    becomes(&kubectl, "pv/shelf", ".status.phase", "Released")?;
    ensure!(directory.is_dir(), "the data is gone");
    eventually(PATIENCE, || {
        let left = kubectl.run("get pvc -o name")?;
        ensure!(left.is_empty(), "{left}");
        anyhow::Ok(())
    })?;
    cluster.finish()
}
