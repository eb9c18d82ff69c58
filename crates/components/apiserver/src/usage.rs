//! `metrics.k8s.io`: what nodes and pods use, built in as an aggregated API that needs no other server.
//!
//! The kubelets are asked when somebody asks here, and an answer is good for some seconds: a cluster where nobody looks
//! measures nothing. Users who bring their own metrics server give the APIService `v1beta1.metrics.k8s.io` a service,
//! and this one steps back.

mod describe;
mod objects;
mod samples;
mod scrape;

use std::collections::BTreeMap;

use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use minato_mvcc::Object;
use minato_select::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

use crate::body::{self, ResponseBody};
use crate::core::Core;
use crate::negotiate::{self, Accepted, Form, IncludeObject, Offer};
use crate::route::{Query, ResourceRoute};
use crate::status::{ApiError, Subject};
use crate::write::parse;
use crate::{encode, object};

pub(crate) use describe::{API_SERVICE, GROUP, VERSION, api_service, keep};
pub(crate) use scrape::Scraper;

/// One of the two resources.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    Nodes,
    Pods,
}

impl Measured {
    fn of(route: &ResourceRoute) -> Option<Self> {
        if (route.group.as_str(), route.version.as_str()) != (GROUP, VERSION) || route.subresource.is_some() {
            return None;
        }
        match (route.resource.as_str(), &route.namespace, &route.name) {
            ("nodes", None, _) => Some(Self::Nodes),
            ("pods", Some(_), _) | ("pods", None, None) => Some(Self::Pods),
            _ => None,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Nodes => "NodeMetrics",
            Self::Pods => "PodMetrics",
        }
    }

    /// Where the objects are that are measured.
    fn storage(self) -> &'static str {
        match self {
            Self::Nodes => "core/nodes",
            Self::Pods => "core/pods",
        }
    }

    fn not_found(self, namespace: &str, name: &str) -> ApiError {
        let resource = if self == Self::Nodes { "nodemetrics" } else { "podmetrics" };
        let place = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        ApiError::not_found(&Subject { group: GROUP, resource, name: &place })
    }
}

/// Answers a request for the group, authorised already.
pub(crate) async fn answer(
    core: &Core,
    route: &ResourceRoute,
    query: &Query,
    verb: &str,
    headers: &HeaderMap,
) -> Result<Response<ResponseBody>, ApiError> {
    let measured = Measured::of(route).ok_or_else(ApiError::no_route)?;
    let offer = Offer { watch: false, protobuf: false };
    let accepted = negotiate::accepted(headers, query, offer)?;
    let namespace = route.namespace.as_deref().unwrap_or_default();
    match (verb, &route.name) {
        ("get", Some(name)) => {
            let found = core.memory().snapshot(measured.storage()).get(namespace, name).cloned();
            let found = found.ok_or_else(|| measured.not_found(namespace, name))?;
            let usage = core.scraper.usage(core).await;
            let metrics = objects::of(measured, &parse(&found)?, &usage, Timestamp::now());
            let metrics = metrics.ok_or_else(|| measured.not_found(namespace, name))?;
            Ok(show(measured, accepted, Shown::One(metrics)))
        }
        ("list", None) => {
            let selected = select(core, measured, namespace, query)?;
            let usage = core.scraper.usage(core).await;
            let now = Timestamp::now();
            let items = selected.iter().filter_map(|found| objects::of(measured, &parse(found).ok()?, &usage, now));
            Ok(show(measured, accepted, Shown::List(items.collect())))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The objects that a list is about, in the order of their names.
fn select(
    core: &Core,
    measured: Measured,
    namespace: &str,
    query: &Query,
) -> Result<Vec<std::sync::Arc<Object>>, ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::bad_request(error.to_string());
    let labels = query.get("labelSelector").map_or(Ok(LabelSelector::everything()), LabelSelector::parse);
    let labels = labels.map_err(|error| bad(&error))?;
    let fields = query.get("fieldSelector").map_or(Ok(FieldSelector::everything()), FieldSelector::parse);
    let fields = fields.map_err(|error| bad(&error))?;
    const KNOWN: [&str; 2] = ["metadata.name", "metadata.namespace"];
    if let Some(unknown) = fields.requirements().iter().find(|one| !KNOWN.contains(&one.path.as_str())) {
        return Err(ApiError::bad_request(format!("field label not supported: {}", unknown.path)));
    }
    let snapshot = core.memory().snapshot(measured.storage());
    let mut selected: Vec<_> = if namespace.is_empty() {
        snapshot.iter().cloned().collect()
    } else {
        snapshot.iter_namespace(namespace).cloned().collect()
    };
    selected.retain(|found| {
        labels.matches(|key| found.attributes.label(key))
            && fields.matches(|path| match path {
                "metadata.name" => Some(&*found.key.name),
                _ => Some(&*found.key.namespace),
            })
    });
    Ok(selected)
}

/// What is shown: an object or a list of them.
enum Shown {
    One(Value),
    List(Vec<Value>),
}

fn show(measured: Measured, accepted: Accepted, shown: Shown) -> Response<ResponseBody> {
    let list_metadata = json!({});
    let value = match (accepted.form, shown) {
        (Form::Object, Shown::One(object)) => object,
        (Form::Object, Shown::List(items)) => json!({
            "kind": format!("{}List", measured.kind()), "apiVersion": describe::API_VERSION,
            "metadata": list_metadata, "items": items,
        }),
        (Form::Metadata(meta), Shown::One(object)) => encode::partial(&object, meta),
        (Form::Metadata(meta), Shown::List(items)) => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": meta.api_version(), "metadata": list_metadata,
            "items": items.iter().map(|object| encode::partial(object, meta)).collect::<Vec<_>>(),
        }),
        (Form::Table(include, meta), shown) => {
            let objects = match shown {
                Shown::One(object) => vec![object],
                Shown::List(items) => items,
            };
            let rows: Vec<Value> = objects
                .into_iter()
                .map(|one| {
                    let mut row = json!({"cells": objects::cells(&one)});
                    match include {
                        IncludeObject::None => {}
                        IncludeObject::Metadata => row["object"] = encode::partial(&one, meta),
                        IncludeObject::Object => row["object"] = one,
                    }
                    row
                })
                .collect();
            json!({
                "kind": "Table", "apiVersion": meta.api_version(), "metadata": list_metadata,
                "columnDefinitions": objects::columns(), "rows": rows,
            })
        }
    };
    body::encoded(body::json(StatusCode::OK, &value), accepted.encoding)
}

/// Labels of an object, for what is measured of it.
fn labels(found: &Value) -> BTreeMap<String, String> {
    let labels = found["metadata"]["labels"].as_object().into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// Metadata of a measured object: that of the object, without what only the stored one has.
fn metadata(found: &Value, now: Timestamp) -> Value {
    let mut metadata = json!({"name": object::text(found, "name"), "creationTimestamp": object::time(now)});
    let namespace = object::text(found, "namespace");
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    let labels = labels(found);
    if !labels.is_empty() {
        metadata["labels"] = json!(labels);
    }
    metadata
}
