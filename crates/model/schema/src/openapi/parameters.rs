//! The parameters that operations of Kubernetes have in common.

use super::dialect::Dialect;
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Name, type, description.
type Row = (&'static str, &'static str, &'static str);

const PRETTY: Row = ("pretty", "string", "If 'true', then the output is pretty printed. Defaults to 'false'.");

const DRY_RUN: Row = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive \
     will result in an error response and no further processing of the request. Valid values are: - All: all dry run \
     stages will be processed",
);

const WRITE: [Row; 3] = [
    DRY_RUN,
    (
        "fieldManager",
        "string",
        "fieldManager is a name associated with the actor or entity that is making these changes. The value must be \
         less than or 128 characters long, and only contain printable characters. It is required for apply requests.",
    ),
    (
        "fieldValidation",
        "string",
        "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing \
         unknown or duplicate fields. Valid values are: - Ignore: unknown fields are silently dropped, and all but the \
         last duplicate field are ignored. - Warn: as Ignore, with a warning header for each such field. This is the \
         default. - Strict: the request fails with a BadRequest error that names all such fields.",
    ),
];

const FORCE: Row = (
    "force",
    "boolean",
    "Force is going to \"force\" Apply requests. It means user will re-acquire conflicting fields owned by other \
     people. Force flag must be unset for non-apply patch requests.",
);

const DELETE: [Row; 4] = [
    DRY_RUN,
    (
        "gracePeriodSeconds",
        "integer",
        "The duration in seconds before the object should be deleted. Value must be non-negative integer. The value \
         zero indicates delete immediately. If this value is nil, the default grace period for the specified type \
         will be used.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: please use the PropagationPolicy. Should the dependent objects be orphaned.",
    ),
    (
        "propagationPolicy",
        "string",
        "Whether and how garbage collection will be performed. Acceptable values are: 'Orphan' - orphan the \
         dependents; 'Background' - allow the garbage collector to delete the dependents in the background; \
         'Foreground' - a cascading policy that deletes all dependents in the foreground.",
    ),
];

const SELECT: [Row; 8] = [
    (
        "continue",
        "string",
        "The continue option should be set when retrieving more results from the server. Since this value is server \
         defined, clients may only use the continue value from a previous query result with identical query \
         parameters (except for the value of continue).",
    ),
    (
        "fieldSelector",
        "string",
        "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
    ),
    (
        "labelSelector",
        "string",
        "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
    ),
    (
        "limit",
        "integer",
        "limit is a maximum number of responses to return for a list call. If more items exist, the server will set \
         the `continue` field on the list metadata.",
    ),
    (
        "resourceVersion",
        "string",
        "resourceVersion sets a constraint on what resource versions a request may be served from. Defaults to unset",
    ),
    (
        "resourceVersionMatch",
        "string",
        "resourceVersionMatch determines how resourceVersion is applied to list calls. Defaults to unset",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "`sendInitialEvents=true` may be set together with `watch=true`. In that case, the watch stream will begin \
         with synthetic events to produce the current state of objects in the collection.",
    ),
    (
        "timeoutSeconds",
        "integer",
        "Timeout for the list/watch call. This limits the duration of the call, regardless of any activity or \
         inactivity.",
    ),
];

const WATCH: [Row; 2] = [
    (
        "allowWatchBookmarks",
        "boolean",
        "allowWatchBookmarks requests watch events with type \"BOOKMARK\". If this is not a watch, this field is \
         ignored.",
    ),
    (
        "watch",
        "boolean",
        "Watch for changes to the described resources and return them as a stream of add, update, and remove \
         notifications. Specify resourceVersion.",
    ),
];

const LOG: [Row; 9] = [
    (
        "container",
        "string",
        "The container for which to stream logs. Defaults to only container if there is one container in the pod.",
    ),
    ("follow", "boolean", "Follow the log stream of the pod. Defaults to false."),
    ("limitBytes", "integer", "If set, the number of bytes to read from the server before terminating the log output."),
    ("previous", "boolean", "Return previous terminated container logs. Defaults to false."),
    ("sinceSeconds", "integer", "A relative time in seconds before the current time from which to show logs."),
    ("sinceTime", "string", "An RFC3339 timestamp from which to show logs."),
    ("stream", "string", "Which container log stream to return: \"All\", \"Stdout\" or \"Stderr\"."),
    ("tailLines", "integer", "If set, the number of lines from the end of the logs to show."),
    (
        "timestamps",
        "boolean",
        "If true, add an RFC3339 or RFC3339Nano timestamp at the beginning of every line of log output. Defaults to \
         false.",
    ),
];

const STREAMS: [Row; 5] = [
    (
        "container",
        "string",
        "The container in which to execute the command. Defaults to only container if there is only one container in \
         the pod.",
    ),
    ("stdin", "boolean", "Redirect the standard input stream of the pod for this call. Defaults to false."),
    ("stdout", "boolean", "Redirect the standard output stream of the pod for this call."),
    ("stderr", "boolean", "Redirect the standard error stream of the pod for this call."),
    ("tty", "boolean", "TTY if true indicates that a tty will be allocated for the call. Defaults to false."),
];

const COMMAND: [Row; 1] =
    [("command", "string", "Command is the remote command to execute. argv array. Not executed within a shell.")];
const PORTS: [Row; 1] = [("ports", "integer", "List of ports to forward Required when using WebSockets")];
const PROXY: [Row; 1] = [("path", "string", "Path is the URL path to use for the current proxy request.")];

/// Rows that many operations have: v2 says them once and refers to them.
const SHARED: [&[Row]; 11] =
    [&[PRETTY], &WRITE, &[FORCE], &DELETE, &SELECT, &WATCH, &LOG, &STREAMS, &COMMAND, &PORTS, &PROXY];

fn query(dialect: Dialect, rows: &[&[Row]]) -> Vec<Value> {
    let rows = rows.iter().copied().flatten();
    rows.map(|row| match dialect {
        Dialect::V2 => json!({"$ref": format!("#/parameters/{}", shared_name(row))}),
        Dialect::V3 => written(dialect, row),
    })
    .collect()
}

fn written(dialect: Dialect, (name, kind, description): &Row) -> Value {
    dialect.parameter("query", name, kind, description)
}

/// Several rows have the same name: a hash tells them apart, as upstream's.
fn shared_name(row: &Row) -> String {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    format!("{}-{:08x}", row.0, hasher.finish() as u32)
}

/// Gives `sink` every parameter that a v2 document refers to.
pub(super) fn each_shared(mut sink: impl FnMut(String, Value)) {
    SHARED.iter().copied().flatten().for_each(|row| sink(shared_name(row), written(Dialect::V2, row)));
}

/// Of create and update.
pub(super) fn write(dialect: Dialect) -> Vec<Value> {
    query(dialect, &[&WRITE])
}

/// Of patch.
pub(super) fn patch(dialect: Dialect) -> Vec<Value> {
    query(dialect, &[&WRITE, &[FORCE]])
}

/// Of delete.
pub(super) fn delete(dialect: Dialect) -> Vec<Value> {
    query(dialect, &[&DELETE])
}

/// Of deletecollection.
pub(super) fn delete_collection(dialect: Dialect) -> Vec<Value> {
    query(dialect, &[&DELETE, &SELECT])
}

/// Of list and watch.
pub(super) fn list(dialect: Dialect) -> Vec<Value> {
    query(dialect, &[&SELECT, &WATCH])
}

/// Of a subresource that answers with something else than an object.
pub(super) fn stream(dialect: Dialect, subresource: &str) -> Vec<Value> {
    let rows: &[&[Row]] = match subresource {
        "log" => &[&LOG],
        "exec" => &[&STREAMS, &COMMAND],
        "attach" => &[&STREAMS],
        "portforward" => &[&PORTS],
        "proxy" => &[&PROXY],
        _ => &[],
    };
    query(dialect, rows)
}

/// Of every operation on a path: what its braces hold, and `pretty`.
pub(super) fn of_path(dialect: Dialect, path: &str, kind: &str) -> Vec<Value> {
    let mut parameters = Vec::new();
    if path.contains("{name}") {
        parameters.push(dialect.parameter("path", "name", "string", &format!("name of the {kind}")));
    }
    if path.contains("{namespace}") {
        let description = "object name and auth scope, such as for teams and projects";
        parameters.push(dialect.parameter("path", "namespace", "string", description));
    }
    if path.contains("{path}") {
        parameters.push(dialect.parameter("path", "path", "string", "path to the resource"));
    }
    parameters.extend(query(dialect, &[&[PRETTY]]));
    parameters
}
