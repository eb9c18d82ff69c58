//! Selectors of devices (`resource.k8s.io`): what they can name, and whether they compile.

use std::sync::LazyLock;

use crate::{Environment, Program, Type, compile};

static DEVICE: LazyLock<Environment> = LazyLock::new(|| {
    let by_domain = |value: Type| Type::map(Type::map(value));
    let device = Type::native(
        "kubernetes.DRADevice",
        [
            ("driver".to_owned(), Type::String),
            ("allowMultipleAllocations".to_owned(), Type::Bool),
            ("attributes".to_owned(), by_domain(Type::Dyn)),
            ("capacity".to_owned(), by_domain(Type::Opaque("kubernetes.Quantity"))),
        ],
    );
    Environment::new().with("device", device).with_bindings()
});

/// Compiles the selector `source`.
///
/// # Errors
/// What upstream says of it.
pub fn compile_selector(source: &str) -> Result<Program, String> {
    let program = compile(&DEVICE, source).map_err(|error| format!("compilation failed: {error}"))?;
    match program.output_type() {
        Type::Bool | Type::Dyn => Ok(program),
        other => Err(format!("must evaluate to bool or the unknown type, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Budget, Value};

    #[test]
    fn selectors_select() {
        let device = json!({"driver": "d", "attributes": {"d": {"ready": true, "cores": 4}}, "capacity": {}});
        for (source, expected) in [
            ("cel.bind(gpu, device.attributes['d'], gpu.ready && gpu.cores > 3)", true),
            ("cel.bind(n, 2, cel.bind(m, n + 1, m > 3 && device.driver == 'd'))", false),
            ("device.attributes['d'].?model.orValue('x') == 'x'", true),
        ] {
            let program = compile_selector(source).unwrap();
            let value = program.evaluate(&[Value::of(&device)], &mut Budget::new(1_000_000)).unwrap();
            assert_eq!(value.as_bool(), Some(expected), "{source}");
        }
        let bound = compile(&Environment::new(), "cel.bind(a, 1, a > 0)");
        assert!(bound.is_err(), "policies know no bindings");
    }
}
