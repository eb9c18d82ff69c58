//! The compact form of a schema: what values may be and how they merge, without the prose.

use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// What a value may be and how it merges. Cheap to clone: the structures behind it are shared.
#[derive(Debug, Clone)]
pub struct Schema {
    pub(crate) shape: Shape,
    /// A map or struct that server-side apply and merges treat as one value.
    pub(crate) atomic: bool,
    pub(crate) patch: Patch,
    pub(crate) default: Option<Arc<Value>>,
}

/// The sort of value a schema describes.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// An object with known fields.
    Struct(Arc<Struct>),
    /// An object with free keys.
    Map(Arc<Schema>),
    /// An array.
    List(Arc<List>),
    /// A single value.
    Scalar(Scalar),
    /// Any JSON: `RawExtension`, `FieldsV1`, the `JSON` of custom resource schemas.
    Any,
    /// One of the `JSONSchemaPropsOr…` types: the struct, or what `or` says.
    SchemaOr { schema: Arc<Struct>, or: Alternative },
}

/// The second choice of a `JSONSchemaPropsOr…` type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alternative {
    Bool,
    Array,
    StringArray,
}

/// The single values of the Kubernetes API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    String,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    Int32,
    Int64,
    Double,
    Bool,
}

/// An object with known fields, shared by all schemas that use it.
#[derive(Debug)]
pub(crate) struct Struct {
    /// `io.k8s.api.core.v1.PodSpec`
    pub(crate) definition: Arc<str>,
    /// Sorted by name. Set once, right after creation: a definition may refer to itself.
    pub(crate) fields: OnceLock<Box<[Field]>>,
}

/// A field of a struct.
#[derive(Debug)]
pub struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) schema: Schema,
    /// An empty list or map counts as absent: `omitempty` of Go's type.
    pub(crate) omits_empty: bool,
}

/// An array and how it merges.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) items: Schema,
    pub(crate) list_type: ListType,
}

/// `x-kubernetes-list-type`: how server-side apply merges a list. A list without the extension is atomic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Items are unique scalars, each owned for itself.
    Set,
    /// Items are objects, told apart by the values of these fields.
    Map {
        /// `x-kubernetes-list-map-keys`, in the published order.
        keys: Box<[Arc<str>]>,
    },
}

/// `x-kubernetes-patch-strategy` and `x-kubernetes-patch-merge-key`: how a strategic merge patch merges a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    /// Lists merge by item instead of being replaced.
    pub merge: bool,
    /// The value is replaced even where it could be merged.
    pub replace: bool,
    /// A patch may carry `$retainKeys`.
    pub retain_keys: bool,
    /// The field that tells the items of a merged list apart; absent for lists of primitives.
    pub merge_key: Option<Arc<str>>,
}

impl Struct {
    pub(crate) fn fields(&self) -> &[Field] {
        self.fields.get().map_or(&[], |fields| fields)
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let fields = self.fields();
        fields.get(fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?)
    }

    /// The Go type's name, `PodSpec`.
    pub(crate) fn go_name(&self) -> &str {
        self.definition.rsplit('.').next().unwrap_or(&self.definition)
    }

    /// The Go type with its package, `v1.PodSpec`.
    pub(crate) fn go_type(&self) -> &str {
        let mut dots = self.definition.rmatch_indices('.').map(|(at, _)| at);
        let start = dots.nth(1).map_or(0, |at| at + 1);
        self.definition.get(start..).unwrap_or(&self.definition)
    }
}

impl Field {
    /// The field's name in JSON.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the field's value may be.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl Schema {
    pub(crate) fn new(shape: Shape) -> Schema {
        Schema { shape, atomic: false, patch: Patch::default(), default: None }
    }

    /// The fields of an object with known fields, sorted by name.
    pub fn properties(&self) -> Option<&[Field]> {
        self.as_struct().map(Struct::fields)
    }

    /// The schema of the value under `name`: a known field's, or that of a map's values.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        match &self.shape {
            Shape::Map(values) => Some(values),
            _ => self.as_struct()?.field(name).map(Field::schema),
        }
    }

    /// The schema of an array's items.
    pub fn items(&self) -> Option<&Schema> {
        match &self.shape {
            Shape::List(list) => Some(&list.items),
            _ => None,
        }
    }

    /// The schema of the values of an object with free keys.
    pub fn additional(&self) -> Option<&Schema> {
        match &self.shape {
            Shape::Map(values) => Some(values),
            _ => None,
        }
    }

    /// How an array merges; `None` for anything else.
    pub fn list_type(&self) -> Option<&ListType> {
        match &self.shape {
            Shape::List(list) => Some(&list.list_type),
            _ => None,
        }
    }

    /// Whether an object is one value to server-side apply (`x-kubernetes-map-type: atomic`).
    pub fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// How a strategic merge patch merges this value.
    pub fn patch(&self) -> &Patch {
        &self.patch
    }

    /// The default that the API's documents carry; it completes the keys of list maps.
    pub fn default(&self) -> Option<&Value> {
        self.default.as_deref()
    }

    /// The definition's name (`io.k8s.api.core.v1.PodSpec`) of an object with known fields.
    pub fn definition(&self) -> Option<&str> {
        self.as_struct().map(|structure| &*structure.definition)
    }

    pub(crate) fn as_struct(&self) -> Option<&Struct> {
        match &self.shape {
            Shape::Struct(structure) => Some(structure),
            _ => None,
        }
    }
}
