//! Configurations that are none.

use super::{config, deployments, request};
use crate::apply;
use serde_json::{Value, json};

#[test]
fn refusals_have_code_and_words() {
    let containers = |containers: Value| config(json!({"template": {"spec": {"containers": containers}}}));
    let mut managed = config(json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let mut version = config(json!({}));
    version["apiVersion"] = json!("apps/v2");
    let object = "failed to create typed patch object (default/d; apps/v1, Kind=Deployment): ";
    let cases = [
        (managed, 400, "metadata.managedFields must be nil".to_owned()),
        (
            version,
            400,
            "Incorrect version specified in apply patch. Specified patch version: apps/v2, expected: apps/v1"
                .to_owned(),
        ),
        (config(json!({"foo": 1})), 500, format!("{object}.spec.foo: field not declared in schema")),
        (
            containers(json!([{"name": "a"}, {"name": "a"}])),
            500,
            format!("{object}.spec.template.spec.containers: duplicate entries for key [name=\"a\"]"),
        ),
        (
            containers(json!([{"image": "a"}])),
            500,
            format!(
                "{object}.spec.template.spec.containers: element 0: associative list with keys has an element that \
                 omits key field \"name\" (and doesn't have default value)"
            ),
        ),
        (
            config(json!({"replicas": "x"})),
            500,
            format!(
                "{object}json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
            ),
        ),
    ];
    for (config, code, words) in cases {
        let error = apply(deployments(), None, config.clone(), &request("a", "T")).expect_err("refused");
        assert_eq!((error.code(), error.to_string()), (code, words), "{config}");
    }
}
