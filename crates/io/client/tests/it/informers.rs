use std::sync::{Arc, Mutex};

use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use minato_client::{Informer, Informers, ObjectKey};
use minato_scope::Scope;
use serde_json::json;

use crate::api::Api;
use crate::until;

struct World {
    api: Api,
    scope: Scope,
    informers: Informers,
    maps: Informer<ConfigMap>,
    /// `name: before → after` of every change, by the value of `data.v`.
    log: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn start(api: Api) -> Self {
        let scope = Scope::root("test");
        let informers = Informers::new(api.client(), scope.clone());
        let maps = informers.of::<ConfigMap>();
        maps.synced().await;
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = Arc::clone(&log);
        maps.on_change(move |change| {
            let value = |map: &Option<Arc<ConfigMap>>| map.as_ref().map_or("-".to_owned(), |map| value_of(map));
            let line = format!(
                "{}: {} → {}",
                change.latest().unwrap().name_any(),
                value(&change.before),
                value(&change.after)
            );
            lines.lock().unwrap().push(line);
        });
        Self { api, scope, informers, maps, log }
    }

    fn put(&self, name: &str, value: &str) -> ConfigMap {
        serde_json::from_value(self.api.put("configmaps", name, json!({ "data": { "v": value } }))).unwrap()
    }

    async fn until_log(&self, expected: &[&str]) {
        until("the changes", || self.log.lock().unwrap().clone(), |log| log.as_slice() == expected).await;
    }

    fn get(&self, name: &str) -> Option<String> {
        self.maps.get(&ObjectKey::new("default", name)).map(|map| value_of(&map))
    }
}

fn value_of(map: &ConfigMap) -> String {
    map.data.as_ref().unwrap()["v"].clone()
}

#[tokio::test]
async fn a_store_follows_the_api() {
    let api = Api::default();
    api.put("configmaps", "a", json!({ "data": { "v": "1" } }));
    let world = World::start(api).await;
    assert_eq!(world.get("a").as_deref(), Some("1"));
    world.put("a", "2");
    world.put("b", "1");
    world.api.remove("configmaps", "a");
    world.until_log(&["a: - → 1", "a: 1 → 2", "b: - → 1", "a: 2 → -"]).await;
    assert_eq!((world.get("a"), world.get("b").as_deref(), world.maps.count()), (None, Some("1"), 1));
    let found = world.maps.get(&ObjectKey::new("default", "b")).unwrap();
    assert_eq!(found.metadata.managed_fields, None, "nobody reads them");
    assert!(world.scope.shutdown(std::time::Duration::from_secs(5)).await.is_ok());
}

#[tokio::test]
async fn one_watch_serves_everybody() {
    let world = World::start(Api::default()).await;
    let again = world.informers.of::<ConfigMap>();
    world.put("a", "1");
    world.until_log(&["a: - → 1"]).await;
    assert_eq!(again.count(), 1);
    assert_eq!(world.api.count("WATCH configmaps"), 1);
    assert_eq!(world.maps.by_namespace().get("default").len(), 1);
    assert!(world.maps.by_namespace().is_empty("other"));
}

#[tokio::test]
async fn a_writer_reads_its_own_writes_once() {
    let world = World::start(Api::default()).await;
    world.put("a", "1");
    world.until_log(&["a: - → 1"]).await;
    // The answer to a write arrives before the watch tells of it.
    let written = world.put("a", "2");
    world.maps.observe(written);
    assert_eq!(world.get("a").as_deref(), Some("2"));
    world.put("b", "1");
    world.until_log(&["a: - → 1", "a: 1 → 2", "b: - → 1"]).await;
}

#[tokio::test]
async fn an_expired_watch_is_replaced_by_a_fresh_listing() {
    let world = World::start(Api::default()).await;
    world.put("stays", "1");
    world.put("goes", "1");
    world.until_log(&["stays: - → 1", "goes: - → 1"]).await;
    world.api.lose("configmaps", "goes");
    world.api.expire_watches();
    until("the new listing", || world.maps.count(), |count| *count == 1).await;
    world.until_log(&["stays: - → 1", "goes: - → 1", "goes: 1 → -"]).await;
    until("the new watch", || world.api.count("WATCH configmaps"), |count| *count == 2).await;
    world.put("stays", "2");
    until("the change", || world.get("stays"), |value| value.as_deref() == Some("2")).await;
}

#[tokio::test]
async fn failures_are_survived() {
    let api = Api::default();
    api.put("configmaps", "a", json!({ "data": { "v": "1" } }));
    api.fail_next(&[StatusCode::INTERNAL_SERVER_ERROR]);
    let world = World::start(api).await;
    assert_eq!(world.get("a").as_deref(), Some("1"));
    assert!(world.api.count("GET configmaps") >= 2);
}
