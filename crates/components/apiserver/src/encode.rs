//! The forms in which stored objects are sent: their own bytes where possible, a table or metadata where asked.

use bytes::Bytes;
use jiff::Timestamp;
use minato_mvcc::{Event, EventKind, Object};
use serde_json::{Map, Value, json};

use crate::negotiate::{Encoding, Form, IncludeObject, MetaVersion};
use crate::registry::Resource;
use crate::status::ApiError;
use crate::template;
use crate::write::parse;

/// The annotation of the bookmark that ends a watch's initial events (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One object in the form asked for.
pub(crate) fn one(resource: &Resource, form: Form, object: &Object) -> Result<Bytes, ApiError> {
    match form {
        Form::Object => shown(resource, object),
        Form::Metadata(meta) => Ok(Bytes::from(outline(resource, object, meta)?.to_string())),
        Form::Table(include, meta) => {
            let object = parse(object)?;
            let version = crate::object::text(&object, "resourceVersion").to_owned();
            let metadata = json!({"resourceVersion": version});
            let rows = vec![row(resource, &object, (include, meta), Timestamp::now())];
            Ok(Bytes::from(table(resource, meta, metadata, rows, true).to_string()))
        }
    }
}

/// A value of a built-in kind that is not stored, such as a `Scale`, in the form asked for.
pub(crate) fn unstored(form: Form, (group, kind): (&str, &str), value: Value) -> Value {
    match form {
        Form::Object => value,
        Form::Metadata(meta) => partial(&value, meta),
        Form::Table(include, meta) => {
            let printer = minato_table::printer(group, kind);
            let cells = (printer.cells)(&value, Timestamp::now());
            let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
            let rows = vec![row_of(cells, &value, (include, meta))];
            json!({"kind": "Table", "apiVersion": meta.api_version(), "metadata": metadata,
                "columnDefinitions": printer.definitions(), "rows": rows})
        }
    }
}

/// The JSON of an object in the version asked for: its stored bytes where that is the stored version.
pub(crate) fn shown(resource: &Resource, object: &Object) -> Result<Bytes, ApiError> {
    if resource.shows_stored() {
        return Ok(object.value.clone());
    }
    match shown_value(resource, object)? {
        Value::Object(fields) => Ok(Bytes::from(template::json(&fields))),
        other => Ok(Bytes::from(other.to_string())),
    }
}

/// An object as a value in the version asked for.
pub(crate) fn shown_value(resource: &Resource, object: &Object) -> Result<Value, ApiError> {
    let mut value = parse(object)?;
    if !resource.shows_stored() {
        resource.declaration.to_version(&mut value, &resource.api_version);
    }
    value["kind"] = (*resource.declaration.kind).into();
    Ok(value)
}

/// A list's `metadata`.
pub(crate) struct ListMetadata {
    pub(crate) resource_version: String,
    pub(crate) next: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl ListMetadata {
    pub(crate) fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), self.resource_version.as_str().into());
        if let Some(next) = &self.next {
            metadata.insert("continue".to_owned(), next.as_str().into());
        }
        if let Some(remaining) = self.remaining {
            metadata.insert("remainingItemCount".to_owned(), remaining.into());
        }
        Value::Object(metadata)
    }
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn partial(object: &Value, meta: MetaVersion) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": meta.api_version(), "metadata": object["metadata"]})
}

/// `PartialObjectMetadata` of a stored object, of which nothing else is read.
pub(crate) fn outline(resource: &Resource, object: &Object, meta: MetaVersion) -> Result<Value, ApiError> {
    #[derive(serde::Deserialize)]
    struct Outline {
        #[serde(default)]
        metadata: Value,
    }
    if !resource.shows_stored() {
        return Ok(partial(&shown_value(resource, object)?, meta));
    }
    let Outline { metadata } = crate::write::parse_as(object)?;
    Ok(json!({"kind": "PartialObjectMetadata", "apiVersion": meta.api_version(), "metadata": metadata}))
}

/// A row of a table.
pub(crate) fn row(
    resource: &Resource,
    object: &Value,
    (include, meta): (IncludeObject, MetaVersion),
    now: Timestamp,
) -> Value {
    row_of(resource.cells(object, now), object, (include, meta))
}

fn row_of(cells: Vec<Value>, object: &Value, (include, meta): (IncludeObject, MetaVersion)) -> Value {
    let mut row = Map::new();
    row.insert("cells".to_owned(), cells.into());
    match include {
        IncludeObject::None => {}
        IncludeObject::Metadata => {
            row.insert("object".to_owned(), partial(object, meta));
        }
        IncludeObject::Object => {
            row.insert("object".to_owned(), object.clone());
        }
    }
    Value::Object(row)
}

/// `Table`.
pub(crate) fn table(
    resource: &Resource,
    meta: MetaVersion,
    metadata: Value,
    rows: Vec<Value>,
    with_columns: bool,
) -> Value {
    let columns = if with_columns { resource.columns() } else { Vec::new() };
    json!({"kind": "Table", "apiVersion": meta.api_version(), "metadata": metadata,
        "columnDefinitions": columns, "rows": rows})
}

/// Writes the lines, or frames, of one watch.
pub(crate) struct WatchEncoder {
    form: Form,
    encoding: Encoding,
    columns_sent: bool,
}

impl WatchEncoder {
    pub(crate) fn new(form: Form, encoding: Encoding) -> Self {
        Self { form, encoding, columns_sent: false }
    }

    /// The line for `event` as it is.
    pub(crate) fn event(&mut self, resource: &Resource, event: &Event) -> Result<Bytes, ApiError> {
        if self.form == Form::Object && resource.shows_stored() {
            match self.encoding {
                Encoding::Json | Encoding::Yaml => return Ok(event.frame()),
                // Made for the first watcher, shared by all.
                Encoding::Protobuf => {
                    let frame = event.encoded(|| self.object(resource, event.kind, &event.object).ok());
                    if let Some(frame) = frame {
                        return Ok(frame);
                    }
                }
            }
        }
        self.object(resource, event.kind, &event.object)
    }

    /// The line for an object that is reported as `kind`.
    pub(crate) fn object(&mut self, resource: &Resource, kind: EventKind, object: &Object) -> Result<Bytes, ApiError> {
        if self.form == Form::Object && resource.shows_stored() && self.encoding == Encoding::Json {
            return Ok(Event::frame_as(kind, object));
        }
        if let Form::Metadata(meta) = self.form {
            return self.write(kind.as_str(), &outline(resource, object, meta)?);
        }
        self.line(resource, kind.as_str(), &shown_value(resource, object)?)
    }

    /// The line for an object that left the watcher's selection: its last matching state, with the time of the change.
    pub(crate) fn left(&mut self, resource: &Resource, event: &Event, previous: &Object) -> Result<Bytes, ApiError> {
        let mut value = shown_value(resource, previous)?;
        value["metadata"]["resourceVersion"] = event.revision.to_string().into();
        self.line(resource, EventKind::Deleted.as_str(), &value)
    }

    /// A line that only tells how far the watch has come.
    pub(crate) fn bookmark(
        &mut self,
        resource: &Resource,
        revision: u64,
        initial_events_end: bool,
    ) -> Result<Bytes, ApiError> {
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_events_end {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = json!({
            "kind": resource.declaration.kind, "apiVersion": resource.api_version, "metadata": metadata,
        });
        let object = match self.form {
            Form::Object => object,
            Form::Metadata(meta) => partial(&object, meta),
            Form::Table(_, meta) => {
                let with_columns = !std::mem::replace(&mut self.columns_sent, true);
                table(resource, meta, json!({"resourceVersion": revision.to_string()}), Vec::new(), with_columns)
            }
        };
        self.write("BOOKMARK", &object)
    }

    /// The line that ends a watch with an error.
    pub(crate) fn error(&self, error: &ApiError) -> Bytes {
        // A Status has every form.
        self.write("ERROR", &error.to_status()).unwrap_or_default()
    }

    fn line(&mut self, resource: &Resource, kind: &str, object: &Value) -> Result<Bytes, ApiError> {
        match self.form {
            Form::Object => self.write(kind, object),
            Form::Metadata(meta) => self.write(kind, &partial(object, meta)),
            Form::Table(include, meta) => {
                let with_columns = !std::mem::replace(&mut self.columns_sent, true);
                let version = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let rows = vec![row(resource, object, (include, meta), Timestamp::now())];
                self.write(kind, &table(resource, meta, version, rows, with_columns))
            }
        }
    }

    fn write(&self, kind: &str, object: &Value) -> Result<Bytes, ApiError> {
        match self.encoding {
            Encoding::Json | Encoding::Yaml => {
                Ok(Bytes::from(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n")))
            }
            Encoding::Protobuf => {
                let body = minato_protobuf::encode(object).map_err(ApiError::internal)?;
                Ok(minato_protobuf::watch_frame(kind, &body).into())
            }
        }
    }
}
