//! The API through an independent client.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions, WatchEvent, WatchParams,
};
use kube::runtime::{WatchStreamExt as _, watcher};
use minato_testkit::{Cluster, Options};
use serde_json::json;

use crate::PATIENCE;

fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some([("k".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn reason(error: &kube::Error) -> (u16, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => (0, other.to_string()),
    }
}

#[tokio::test]
async fn events_in_order_with_bookmarks() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let client = cluster.client().await?;
    let api: Api<ConfigMap> = Api::namespaced(client, "kube-public");
    let start = api.list(&Default::default()).await?.metadata.resource_version.context("a resourceVersion")?;
    for number in 0..5 {
        api.create(&PostParams::default(), &config_map(&format!("w{number}"), "a")).await?;
    }
    let patch = Patch::Merge(json!({"data": {"k": "b"}}));
    api.patch("w0", &PatchParams::default(), &patch).await?;
    api.delete("w1", &DeleteParams::default()).await?;

    let parameters = WatchParams::default().timeout(20);
    let mut events = api.watch(&parameters, &start).await?.boxed();
    let (mut seen, mut last) = (Vec::new(), 0);
    let whole = tokio::time::timeout(PATIENCE, async {
        while let Some(event) = events.next().await {
            let (kind, object) = match event? {
                WatchEvent::Added(object) => ("+", object),
                WatchEvent::Modified(object) => ("~", object),
                WatchEvent::Deleted(object) => ("-", object),
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(status) => bail!("{status:?}"),
            };
            let revision: u64 = object.metadata.resource_version.context("a resourceVersion")?.parse()?;
            ensure!(revision > last, "{revision} after {last}");
            last = revision;
            let name = object.metadata.name.unwrap_or_default();
            if name.starts_with('w') {
                seen.push(format!("{kind}{name}"));
            }
            if seen.len() == 7 {
                break;
            }
        }
        anyhow::Ok(())
    });
    whole.await??;
    assert_eq!(seen, ["+w0", "+w1", "+w2", "+w3", "+w4", "~w0", "-w1"]);

    // What begins with the state of things marks where that ends.
    let parameters = WatchParams::default().timeout(20).initial_events();
    let mut events = api.watch(&parameters, "").await?.boxed();
    let initial = tokio::time::timeout(PATIENCE, async {
        let mut initial = 0;
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(_) => initial += 1,
                WatchEvent::Bookmark(mark) => {
                    ensure!(mark.metadata.annotations.contains_key("k8s.io/initial-events-end"));
                    return Ok(initial);
                }
                other => bail!("{other:?}"),
            }
        }
        bail!("the watch ended")
    });
    let names = api.list(&Default::default()).await?.items.len();
    assert_eq!(initial.await??, names);

    // Too old is gone.
    let gone = api.watch(&WatchParams::default().timeout(5), "1").await?.boxed().next().await;
    ensure!(!matches!(gone, Some(Ok(WatchEvent::Error(ref status))) if status.code != 410), "{gone:?}");
    cluster.finish()
}

#[tokio::test]
async fn a_watcher_outlives_the_server() -> anyhow::Result<()> {
    let mut cluster = Cluster::start(Options::control_plane())?;
    let client = cluster.client().await?;
    let api: Api<ConfigMap> = Api::namespaced(client, "default");
    let mut objects = watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects().boxed();
    let (told, mut names) = tokio::sync::mpsc::unbounded_channel();
    let watching = tokio::spawn(async move {
        while let Some(object) = objects.next().await {
            // Errors while the server is away are expected; the watcher comes back.
            if let Ok(object) = object
                && told.send(object.metadata.name.unwrap_or_default()).is_err()
            {
                break;
            }
        }
    });
    let mut sees = async |wanted: &str| {
        let seen = tokio::time::timeout(PATIENCE, async {
            while let Some(name) = names.recv().await {
                if name == wanted {
                    return true;
                }
            }
            false
        });
        ensure!(seen.await?, "{wanted} was not seen");
        Ok(())
    };
    api.create(&PostParams::default(), &config_map("before", "a")).await?;
    sees("before").await?;
    cluster.kill()?;
    cluster.run()?;
    let again: Api<ConfigMap> = Api::namespaced(cluster.client().await?, "default");
    again.create(&PostParams::default(), &config_map("after", "a")).await?;
    sees("after").await?;
    watching.abort();
    cluster.finish()
}

#[tokio::test]
async fn conflicts_preconditions_dry_run_and_field_validation() -> anyhow::Result<()> {
    let cluster = Cluster::start(Options::control_plane())?;
    let api: Api<ConfigMap> = Api::namespaced(cluster.client().await?, "default");
    let created = api.create(&PostParams::default(), &config_map("one", "a")).await?;
    let mut newer = created.clone();
    newer.data = config_map("", "b").data;
    api.replace("one", &PostParams::default(), &newer).await?;
    let stale = api.replace("one", &PostParams::default(), &newer).await.err().context("a stale update succeeded")?;
    assert_eq!(reason(&stale), (409, "Conflict".to_owned()));
    ensure!(
        stale.to_string().contains("the object has been modified; please apply your changes to the latest version")
    );

    let preconditions = Preconditions { uid: Some("another".to_owned()), resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let refused = api.delete("one", &parameters).await.err().context("a wrong uid deleted")?;
    assert_eq!(reason(&refused).0, 409);

    let dry = PostParams { dry_run: true, field_manager: None };
    api.create(&dry, &config_map("ghost", "a")).await?;
    ensure!(api.get_opt("ghost").await?.is_none());

    let generated = ConfigMap {
        metadata: ObjectMeta { generate_name: Some("gen-".to_owned()), ..ObjectMeta::default() },
        ..ConfigMap::default()
    };
    let (first, second) =
        (api.create(&PostParams::default(), &generated).await?, api.create(&PostParams::default(), &generated).await?);
    ensure!(first.metadata.name != second.metadata.name);

    let strict =
        PatchParams { field_validation: Some(kube::api::ValidationDirective::Strict), ..PatchParams::default() };
    let unknown = api
        .patch("one", &strict, &Patch::Merge(json!({"daat": {"k": "v"}})))
        .await
        .err()
        .context("an unknown field passed")?;
    assert_eq!(reason(&unknown).0, 400);
    ensure!(unknown.to_string().contains("unknown field \"daat\""), "{unknown}");
    let ignored = api.patch("one", &PatchParams::default(), &Patch::Merge(json!({"daat": {"k": "v"}}))).await?;
    assert_eq!(ignored.data, newer.data);

    // The last of many writers knows what all did.
    let writers = (0..20).map(|number| {
        let api = api.clone();
        tokio::spawn(async move {
            let patch = Patch::Merge(json!({"data": {format!("w{number}"): "x"}}));
            api.patch("one", &PatchParams::default(), &patch).await
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer??;
    }
    assert_eq!(api.get("one").await?.data.map(|data| data.len()), Some(21));
    tokio::time::timeout(Duration::from_secs(5), api.delete("one", &DeleteParams::default())).await??;
    cluster.finish()
}
