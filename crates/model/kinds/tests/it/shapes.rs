//! Objects that have a kind's published shape, with values that the rules look at, live through all of its rules.

use minato_kinds::builtins;
use minato_schema::{Schema, builtin, conform};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// How deep objects go; a schema may refer to itself.
const DEPTH: usize = 14;

const TEXTS: &[&str] = &[
    "",
    "a",
    "web",
    "a.b",
    "a.example.com/b",
    "A_b",
    "-",
    "é日本",
    "/",
    "/a/../b",
    "*",
    "*.a.b",
    "http://a:1/b?c",
    "https://[::1]:8443/é",
    "10.0.0.1",
    "010.1.1.1",
    "fd00::1",
    "::ffff:1.2.3.4",
    "10.0.0.0/8",
    "fd00::/64",
    "80",
    "0",
    "-1",
    "1Gi",
    "-5m",
    "1e400",
    "25%",
    "100%",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000000Z",
    "0 0 * * *",
    "CRON_TZ=UTC @every 1s",
    "0-3,7",
    "v1",
    "v1beta2",
    "apps/v1",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "Gt",
    "Always",
    "OnFailure",
    "Never",
    "None",
    "ClientIP",
    "NodePort",
    "LoadBalancer",
    "ExternalName",
    "RollingUpdate",
    "Indexed",
    "Count",
    "FailJob",
    "Resource",
    "Utilization",
    "ContainerResource",
    "External",
    "ExactCount",
    "All",
    "Exempt",
    "Limited",
    "Queue",
    "User",
    "Group",
    "ServiceAccount",
    "Approved",
    "Denied",
    "True",
    "False",
    "spec.nodeName",
    "metadata.labels['a']",
    "cpu",
    "memory",
    "hugepages-2Mi",
    "requests.storage",
    "ReadWriteOnce",
    "Block",
    "kubernetes.io/tls",
    "kubernetes.io/kube-apiserver-client",
    "YQ==",
];

/// Choices that a test case makes, one after another; zeros at the end.
struct Choices<'a>(std::slice::Iter<'a, u16>);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % bound
    }

    fn text(&mut self) -> &'static str {
        TEXTS[self.below(TEXTS.len())]
    }

    /// A value that the schema allows.
    fn value(&mut self, schema: &Schema, depth: usize) -> Value {
        if let Some(fields) = schema.properties() {
            let mut object = Map::new();
            for field in fields {
                // Objects at the top have most of their fields, deep ones few.
                if depth < DEPTH && self.below(4 + depth * 2) < 4 {
                    object.insert(field.name().to_owned(), self.value(field.schema(), depth + 1));
                }
            }
            return Value::Object(object);
        }
        let length = if depth < DEPTH { self.below(3) } else { 0 };
        if let Some(items) = schema.items() {
            return (0..length).map(|_| self.value(items, depth + 1)).collect();
        }
        if let Some(values) = schema.additional() {
            return (0..length).map(|_| (self.text().to_owned(), self.value(values, depth + 1))).collect();
        }
        self.scalar(schema)
    }

    /// A single value; the first of a few sorts that the schema takes.
    fn scalar(&mut self, schema: &Schema) -> Value {
        let numbers = [0, 1, 2, 80, 443, 65_536, -1, 1_000_001, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX];
        let number = numbers[self.below(numbers.len())];
        let text = self.text();
        let mut candidates =
            [json!(text), json!(number), json!(number % 2 == 0), json!("2026-01-01T00:00:00Z"), json!({})];
        if number < 0 {
            candidates.swap(0, 1);
        }
        candidates.into_iter().find(|candidate| conform(schema, &mut candidate.clone()).is_ok()).unwrap_or(Value::Null)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn objects_of_the_published_shape_do_no_harm(
        first in proptest::collection::vec(any::<u16>(), 0..1500),
        second in proptest::collection::vec(any::<u16>(), 0..1500),
    ) {
        for kind in builtins() {
            for version in kind.versions.iter() {
                let Some(schema) = builtin(&kind.group, version, &kind.kind) else { continue };
                let make = |choices: &[u16]| {
                    let mut object = Choices(choices.iter()).value(schema, 0);
                    object["apiVersion"] = kind.api_version(version).into();
                    object["kind"] = json!(&*kind.kind);
                    let unknown = conform(schema, &mut object).unwrap().unknown_fields;
                    assert_eq!(unknown, Vec::<String>::new(), "{kind:?}");
                    object
                };
                let [first, second] = [make(&first), make(&second)];
                crate::properties::live_through(kind, &first, &second);
                shows(kind, first);
                shows(kind, second);
            }
        }
    }
}

/// The object keeps its shape through storage and defaulting, and its row has a cell for each column.
fn shows(kind: &minato_kinds::Declaration, mut object: Value) {
    let printer = minato_table::printer(&kind.group, &kind.kind);
    assert_eq!((printer.cells)(&object, crate::case::now()).len(), printer.columns.len(), "{kind:?}");
    kind.to_storage(&mut object);
    kind.default(&mut object);
    kind.prepare_for_create(&mut object, crate::case::now());
    assert_eq!((printer.cells)(&object, crate::case::now()).len(), printer.columns.len(), "{kind:?}");
    let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    if let Some(schema) = builtin(group, version, &kind.kind) {
        let before = object.clone();
        let misfits = conform(schema, &mut object).map(|conformed| conformed.unknown_fields);
        assert_eq!(misfits.unwrap(), Vec::<String>::new(), "{before}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn printers_take_anything(value in crate::properties::arbitrary_value()) {
        for kind in builtins() {
            let printer = minato_table::printer(&kind.group, &kind.kind);
            for object in [value.clone(), json!({"metadata": value, "spec": value, "status": value})] {
                assert_eq!((printer.cells)(&object, crate::case::now()).len(), printer.columns.len(), "{kind:?}");
            }
        }
    }
}
