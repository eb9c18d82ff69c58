//! The compiled form of a schema.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Nothing in a definition may nest deeper; the API server refuses deeper bodies before.
const DEPTH_MAX: usize = 128;
/// Of a compiled pattern; one that needs more matches nothing.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// The JSON type that a schema asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `object`
    Object,
    /// `array`
    Array,
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`
    Boolean,
}

impl Type {
    /// As schemas write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Object, Self::Array, Self::String, Self::Integer, Self::Number, Self::Boolean]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// How the elements of a list are told apart: `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Not at all.
    #[default]
    Atomic,
    /// By their value.
    Set,
    /// By the values of some of their fields.
    Map,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub enum Additional {
    /// Any or none.
    Any(bool),
    /// All of one schema.
    Schema(Box<Schema>),
}

/// One node of a schema.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// `type`; absent where anything goes.
    pub kind: Option<Type>,
    /// `properties`
    pub properties: BTreeMap<String, Schema>,
    /// `additionalProperties`
    pub additional: Option<Additional>,
    /// `items`
    pub items: Option<Box<Schema>>,
    /// `nullable`
    pub nullable: bool,
    /// `default`
    pub default: Option<Value>,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserve_unknown: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// `x-kubernetes-list-type`
    pub list_type: ListType,
    /// `x-kubernetes-list-map-keys`
    pub list_map_keys: Vec<String>,
    /// `x-kubernetes-map-type: atomic`
    pub atomic_map: bool,
    /// `x-kubernetes-validations`, as written.
    pub rules: Vec<Value>,
    /// What values must be besides.
    pub limits: Option<Box<Limits>>,
    /// `maxLength`, `maxItems` or `maxProperties`: what CEL costs are estimated by.
    pub size_max: Option<u64>,
}

/// Value validations of one node.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub(crate) format: String,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) minimum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) max_properties: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) required: Vec<String>,
    pub(crate) choices: Vec<Value>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Schema>,
}

/// A regular expression that is compiled when first needed.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self { text: text.to_owned(), compiled: OnceLock::new() }
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile_pattern(&self.text).ok());
        compiled.as_ref().is_some_and(|pattern| pattern.is_match(value))
    }
}

pub(crate) fn compile_pattern(text: &str) -> Result<Regex, regex::Error> {
    regex::RegexBuilder::new(text).size_limit(PATTERN_BYTES_MAX).build()
}

impl Schema {
    /// Compiles a `JSONSchemaProps`. What is not understood is left out: [`check`](crate::check) tells about it.
    pub fn compile(source: &Value) -> Self {
        Self::at_depth(source, 0)
    }

    fn at_depth(source: &Value, depth: usize) -> Self {
        let Value::Object(source) = source else { return Self::default() };
        if depth > DEPTH_MAX {
            return Self { preserve_unknown: true, ..Self::default() };
        }
        let flag = |key: &str| source.get(key) == Some(&Value::Bool(true));
        let text = |key: &str| source.get(key).and_then(Value::as_str).unwrap_or_default();
        let below = |value: &Value| Self::at_depth(value, depth + 1);
        let properties = source.get("properties").and_then(Value::as_object).into_iter().flatten();
        let limits = Limits::of(source, depth);
        Self {
            kind: Type::parse(text("type")),
            properties: properties.map(|(name, schema)| (name.clone(), below(schema))).collect(),
            additional: source.get("additionalProperties").map(|value| match value {
                Value::Bool(any) => Additional::Any(*any),
                schema => Additional::Schema(Box::new(below(schema))),
            }),
            items: source.get("items").map(|items| Box::new(below(items))),
            nullable: flag("nullable"),
            default: source.get("default").cloned(),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: match text("x-kubernetes-list-type") {
                "set" => ListType::Set,
                "map" => ListType::Map,
                _ => ListType::Atomic,
            },
            list_map_keys: texts(source, "x-kubernetes-list-map-keys"),
            atomic_map: text("x-kubernetes-map-type") == "atomic",
            rules: list(source, "x-kubernetes-validations").to_vec(),
            size_max: limits.max_length.or(limits.max_items).or(limits.max_properties),
            limits: (!limits.is_empty()).then(|| Box::new(limits)),
        }
    }

    /// The schema of a field, by name or by `additionalProperties`.
    pub fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        })
    }

    /// The format that values must have; empty where any will do.
    pub fn format(&self) -> &str {
        self.limits.as_ref().map_or("", |limits| &limits.format)
    }

    /// The names of the fields that must be there.
    pub fn required(&self) -> &[String] {
        self.limits.as_ref().map_or(&[], |limits| &limits.required)
    }

    /// The values allowed, if they are listed.
    pub fn choices(&self) -> &[Value] {
        self.limits.as_ref().map_or(&[], |limits| &limits.choices)
    }

    /// Whether anything here or below satisfies `wanted`.
    pub fn any(&self, wanted: &impl Fn(&Schema) -> bool) -> bool {
        wanted(self)
            || self.properties.values().any(|schema| schema.any(wanted))
            || self.items.as_ref().is_some_and(|items| items.any(wanted))
            || matches!(&self.additional, Some(Additional::Schema(schema)) if schema.any(wanted))
    }
}

impl Limits {
    fn of(source: &Map<String, Value>, depth: usize) -> Self {
        let number = |key: &str| source.get(key).and_then(Value::as_f64);
        let count = |key: &str| source.get(key).and_then(Value::as_u64);
        let flag = |key: &str| source.get(key) == Some(&Value::Bool(true));
        let schemas = |key: &str| list(source, key).iter().map(|value| Schema::at_depth(value, depth + 1)).collect();
        Self {
            format: source.get("format").and_then(Value::as_str).unwrap_or_default().to_owned(),
            maximum: number("maximum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            minimum: number("minimum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            multiple_of: number("multipleOf"),
            max_length: count("maxLength"),
            min_length: count("minLength"),
            pattern: source.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty()).map(Pattern::new),
            max_items: count("maxItems"),
            min_items: count("minItems"),
            unique_items: flag("uniqueItems"),
            max_properties: count("maxProperties"),
            min_properties: count("minProperties"),
            required: texts(source, "required"),
            choices: list(source, "enum").to_vec(),
            all_of: schemas("allOf"),
            any_of: schemas("anyOf"),
            one_of: schemas("oneOf"),
            not: source.get("not").map(|value| Schema::at_depth(value, depth + 1)),
        }
    }

    fn is_empty(&self) -> bool {
        let numbers = [self.maximum, self.minimum, self.multiple_of].iter().all(Option::is_none);
        let counts = [
            self.max_length,
            self.min_length,
            self.max_items,
            self.min_items,
            self.max_properties,
            self.min_properties,
        ];
        numbers
            && counts.iter().all(Option::is_none)
            && self.format.is_empty()
            && self.pattern.is_none()
            && !self.unique_items
            && self.required.is_empty()
            && self.choices.is_empty()
            && self.all_of.is_empty()
            && self.any_of.is_empty()
            && self.one_of.is_empty()
            && self.not.is_none()
    }
}

fn list<'a>(source: &'a Map<String, Value>, key: &str) -> &'a [Value] {
    source.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(source: &Map<String, Value>, key: &str) -> Vec<String> {
    list(source, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}
