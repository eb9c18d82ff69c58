//! The operations on a path, by HTTP method.

use super::{
    Resource, Subresource,
    definitions::Definitions,
    dialect::{Answer, Body, Dialect},
    parameters,
};
use crate::deletion_answers_with_object;
use serde_json::{Map, Value, json};

const OK: (&str, &str) = ("200", "OK");
const CREATED: (&str, &str) = ("201", "Created");
const ACCEPTED: (&str, &str) = ("202", "Accepted");

/// An operation before it is written down.
struct Operation<'a> {
    /// `x-kubernetes-action`
    action: &'a str,
    id: String,
    description: String,
    parameters: Vec<Value>,
    body: Option<Body>,
    answer: Answer,
    codes: &'a [(&'a str, &'a str)],
    /// Group, version and kind that the operation is about.
    about: (&'a str, &'a str, &'a str),
}

impl Operation<'_> {
    fn written(self, dialect: Dialect, resource: &Resource<'_>) -> Value {
        let mut made = Map::new();
        let mut parameters = self.parameters;
        made.insert("description".to_owned(), self.description.into());
        made.insert("operationId".to_owned(), self.id.into());
        made.insert("tags".to_owned(), json!([tag(resource)]));
        made.insert("x-kubernetes-action".to_owned(), self.action.into());
        let (group, version, kind) = self.about;
        let about = json!({"group": group, "version": version, "kind": kind});
        made.insert("x-kubernetes-group-version-kind".to_owned(), about);
        if let Some(body) = &self.body {
            dialect.put_body(&mut made, &mut parameters, body);
        }
        dialect.put_answers(&mut made, &self.answer, self.codes);
        if !parameters.is_empty() {
            made.insert("parameters".to_owned(), parameters.into());
        }
        Value::Object(made)
    }
}

/// What every operation of a resource shares.
struct Maker<'a, 'b> {
    resource: &'a Resource<'a>,
    dialect: Dialect,
    definitions: &'b mut Definitions,
    made: Map<String, Value>,
}

/// `GET /apis/apps/v1/`
pub(super) fn discovery(resource: &Resource<'_>, dialect: Dialect, definitions: &mut Definitions) -> Value {
    let mut made = Map::new();
    made.insert("description".to_owned(), "get available resources".into());
    made.insert("operationId".to_owned(), format!("get{}APIResources", title(resource)).into());
    made.insert("tags".to_owned(), json!([tag(resource)]));
    dialect.put_answers(&mut made, &Answer::Object(definitions.resource_list()), &[OK]);
    json!({"get": made})
}

/// Create, list and deletecollection.
pub(super) fn on_collection(
    resource: &Resource<'_>,
    dialect: Dialect,
    definitions: &mut Definitions,
) -> Map<String, Value> {
    let mut maker = Maker { resource, dialect, definitions, made: Map::new() };
    let (title, scope, kind) = (title(resource), scope(resource), resource.kind);
    for verb in resource.verbs {
        match *verb {
            "create" => maker.create(format!("create{title}{scope}{kind}"), format!("create {} {kind}", article(kind))),
            "list" => maker.list(format!("list{title}{scope}{kind}")),
            "deletecollection" => maker.delete_collection(format!("delete{title}Collection{scope}{kind}")),
            _ => {}
        }
    }
    maker.made
}

/// List, in all namespaces.
pub(super) fn across_namespaces(
    resource: &Resource<'_>,
    dialect: Dialect,
    definitions: &mut Definitions,
) -> Map<String, Value> {
    let mut maker = Maker { resource, dialect, definitions, made: Map::new() };
    if resource.verbs.contains(&"list") {
        maker.list(format!("list{}{}ForAllNamespaces", title(resource), resource.kind));
    }
    maker.made
}

/// Get, update, patch and delete.
pub(super) fn on_object(
    resource: &Resource<'_>,
    dialect: Dialect,
    definitions: &mut Definitions,
) -> Map<String, Value> {
    let mut maker = Maker { resource, dialect, definitions, made: Map::new() };
    let (title, scope, kind) = (title(resource), scope(resource), resource.kind);
    let own = (resource.group, resource.version, kind);
    let Some(definition) = maker.definitions.resource(resource) else { return maker.made };
    for verb in resource.verbs {
        match *verb {
            "get" => maker.read(own, &definition, format!("read{title}{scope}{kind}"), String::new()),
            "update" => maker.replace(own, &definition, format!("replace{title}{scope}{kind}"), String::new()),
            "patch" => maker.patch(own, &definition, format!("patch{title}{scope}{kind}"), String::new()),
            "delete" => maker.delete(format!("delete{title}{scope}{kind}"), definition.clone()),
            _ => {}
        }
    }
    maker.made
}

/// Whatever a subresource can do.
pub(super) fn on_subresource(
    resource: &Resource<'_>,
    subresource: &Subresource<'_>,
    dialect: Dialect,
    definitions: &mut Definitions,
) -> Map<String, Value> {
    if subresource.connects() {
        return connections(resource, subresource, dialect, "");
    }
    let mut maker = Maker { resource, dialect, definitions, made: Map::new() };
    let about = subresource.body.unwrap_or((resource.group, resource.version, resource.kind));
    let (title, scope, kind) = (title(resource), scope(resource), resource.kind);
    let name = capitalised(subresource.name);
    let of = format!("{} of ", subresource.name);
    if subresource.name == "log" {
        maker.log(format!("read{title}{scope}{kind}{name}"));
        return maker.made;
    }
    let definition = match subresource.body {
        Some((group, version, kind)) => maker.definitions.kind(group, version, kind),
        None => maker.definitions.resource(resource),
    };
    let Some(definition) = definition else { return maker.made };
    for verb in subresource.verbs {
        match *verb {
            "get" => maker.read(about, &definition, format!("read{title}{scope}{kind}{name}"), of.clone()),
            "update" => maker.replace(about, &definition, format!("replace{title}{scope}{kind}{name}"), of.clone()),
            "patch" => maker.patch(about, &definition, format!("patch{title}{scope}{kind}{name}"), of.clone()),
            "create" => {
                maker.create_at(
                    about,
                    &definition,
                    format!("create{title}{scope}{kind}{name}"),
                    format!("create {of}a {kind}"),
                );
            }
            _ => {}
        }
    }
    maker.made
}

/// Everything below `…/proxy/`.
pub(super) fn below_proxy(
    resource: &Resource<'_>,
    subresource: &Subresource<'_>,
    dialect: Dialect,
) -> Map<String, Value> {
    connections(resource, subresource, dialect, "WithPath")
}

fn connections(
    resource: &Resource<'_>,
    subresource: &Subresource<'_>,
    dialect: Dialect,
    suffix: &str,
) -> Map<String, Value> {
    let options = format!("{}{}Options", resource.kind, subresource.connection().unwrap_or_default());
    let verbs: &[(&str, &[&str])] = &[
        ("get", &["get", "head", "options"]),
        ("create", &["post"]),
        ("update", &["put"]),
        ("patch", &["patch"]),
        ("delete", &["delete"]),
    ];
    // A stream is opened by GET or POST; only a proxy passes every method on.
    let proxies = subresource.name == "proxy";
    let methods = verbs.iter().filter(|(verb, _)| subresource.verbs.contains(verb)).flat_map(|(_, methods)| *methods);
    let methods = methods.filter(|method| proxies || matches!(**method, "get" | "post"));
    methods
        .map(|method| {
            let (title, scope, kind) = (title(resource), scope(resource), resource.kind);
            let (verb, name) = (capitalised(method), capitalised(subresource.name));
            let operation = Operation {
                action: "connect",
                id: format!("connect{title}{verb}{scope}{kind}{name}{suffix}"),
                description: format!("connect {} requests to {} of {kind}", method.to_uppercase(), subresource.name),
                parameters: parameters::stream(dialect, subresource.name),
                body: None,
                answer: Answer::Text,
                codes: &[OK],
                about: (resource.group, resource.version, &options),
            };
            ((*method).to_owned(), operation.written(dialect, resource))
        })
        .collect()
}

type Gvk<'a> = (&'a str, &'a str, &'a str);

impl<'a> Maker<'a, '_> {
    fn own(&self) -> Gvk<'a> {
        (self.resource.group, self.resource.version, self.resource.kind)
    }

    fn put(&mut self, method: &str, operation: Operation<'_>) {
        self.made.insert(method.to_owned(), operation.written(self.dialect, self.resource));
    }

    fn create(&mut self, id: String, description: String) {
        let Some(definition) = self.definitions.resource(self.resource) else { return };
        self.create_at(self.own(), &definition, id, description);
    }

    fn create_at(&mut self, about: Gvk<'_>, definition: &str, id: String, description: String) {
        let operation = Operation {
            action: "post",
            id,
            description,
            parameters: parameters::write(self.dialect),
            body: Some(Body::Object(definition.to_owned())),
            answer: Answer::Object(definition.to_owned()),
            codes: &[OK, CREATED, ACCEPTED],
            about,
        };
        self.put("post", operation);
    }

    fn list(&mut self, id: String) {
        let Some(list) = self.definitions.list(self.resource) else { return };
        let operation = Operation {
            action: "list",
            id,
            description: format!("list or watch objects of kind {}", self.resource.kind),
            parameters: parameters::list(self.dialect),
            body: None,
            answer: Answer::List(list),
            codes: &[OK],
            about: self.own(),
        };
        self.put("get", operation);
    }

    fn delete_collection(&mut self, id: String) {
        let operation = Operation {
            action: "deletecollection",
            id,
            description: format!("delete collection of {}", self.resource.kind),
            parameters: parameters::delete_collection(self.dialect),
            body: Some(Body::Optional(self.definitions.delete_options())),
            answer: Answer::Object(self.definitions.status()),
            codes: &[OK],
            about: self.own(),
        };
        self.put("delete", operation);
    }

    fn read(&mut self, about: Gvk<'_>, definition: &str, id: String, of: String) {
        let operation = Operation {
            action: "get",
            id,
            description: format!("read {of}the specified {}", self.resource.kind),
            parameters: Vec::new(),
            body: None,
            answer: Answer::Object(definition.to_owned()),
            codes: &[OK],
            about,
        };
        self.put("get", operation);
    }

    fn log(&mut self, id: String) {
        let operation = Operation {
            action: "get",
            id,
            description: format!("read log of the specified {}", self.resource.kind),
            parameters: parameters::stream(self.dialect, "log"),
            body: None,
            answer: Answer::Text,
            codes: &[OK],
            about: self.own(),
        };
        self.put("get", operation);
    }

    fn replace(&mut self, about: Gvk<'_>, definition: &str, id: String, of: String) {
        let operation = Operation {
            action: "put",
            id,
            description: format!("replace {of}the specified {}", self.resource.kind),
            parameters: parameters::write(self.dialect),
            body: Some(Body::Object(definition.to_owned())),
            answer: Answer::Object(definition.to_owned()),
            codes: &[OK, CREATED],
            about,
        };
        self.put("put", operation);
    }

    fn patch(&mut self, about: Gvk<'_>, definition: &str, id: String, of: String) {
        let patch = self.definitions.patch();
        let operation = Operation {
            action: "patch",
            id,
            description: format!("partially update {of}the specified {}", self.resource.kind),
            parameters: parameters::patch(self.dialect),
            body: Some(if self.resource.schema.is_some() { Body::CustomPatch(patch) } else { Body::Patch(patch) }),
            answer: Answer::Object(definition.to_owned()),
            codes: &[OK, CREATED],
            about,
        };
        self.put("patch", operation);
    }

    fn delete(&mut self, id: String, definition: String) {
        let (group, _, kind) = self.own();
        let answer = if deletion_answers_with_object(group, kind) { definition } else { self.definitions.status() };
        let operation = Operation {
            action: "delete",
            id,
            description: format!("delete {} {}", article(self.resource.kind), self.resource.kind),
            parameters: parameters::delete(self.dialect),
            body: Some(Body::Optional(self.definitions.delete_options())),
            answer: Answer::Object(answer),
            codes: &[OK, ACCEPTED],
            about: self.own(),
        };
        self.put("delete", operation);
    }
}

/// `AppsV1`, `RbacAuthorizationV1`, `CoreV1`
fn title(resource: &Resource<'_>) -> String {
    group_words(resource).map(capitalised).collect::<String>() + &capitalised(resource.version)
}

/// `apps_v1`, `rbacAuthorization_v1`, `core_v1`
fn tag(resource: &Resource<'_>) -> String {
    let words = group_words(resource).enumerate();
    let group: String =
        words.map(|(index, word)| if index == 0 { word.to_owned() } else { capitalised(word) }).collect();
    format!("{group}_{}", resource.version)
}

fn group_words<'a>(resource: &Resource<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let group = if resource.group.is_empty() { "core" } else { resource.group };
    group.strip_suffix(".k8s.io").unwrap_or(group).split(['.', '-'])
}

fn scope(resource: &Resource<'_>) -> &'static str {
    if resource.namespaced { "Namespaced" } else { "" }
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
