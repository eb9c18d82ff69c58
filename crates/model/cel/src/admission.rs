//! What expressions of admission can name: those of webhooks' match conditions and of policies.
//!
//! The places of the variables are part of the contract between who compiles (the validation of policies, the API server)
//! and who runs: [`VARIABLES`] stand first and in this order, then what a policy declares itself, as `variables.name`.

use std::sync::LazyLock;

use crate::{Environment, Program, Type, compile};

/// The variables that all such expressions know, by place.
pub const VARIABLES: [&str; 7] =
    ["object", "oldObject", "request", "authorizer", "authorizer.requestResource", "namespaceObject", "params"];

/// How much one expression may cost (`PerCallLimit`).
pub const CALL_COST_MAX: u64 = 1_000_000;
/// How much the expressions of one policy may cost together (`RuntimeCELCostBudget`).
pub const POLICY_COST_MAX: u64 = 10_000_000;
/// How much a webhook's match conditions may cost together (`RuntimeCELCostBudgetMatchConditions`).
pub const CONDITIONS_COST_MAX: u64 = 2_500_000;

static REQUEST: LazyLock<Type> = LazyLock::new(|| {
    let texts = |name: &str, fields: &[&str]| {
        Type::native(name, fields.iter().map(|field| ((*field).to_owned(), Type::String)))
    };
    let kind = texts("kubernetes.GroupVersionKind", &["group", "version", "kind"]);
    let resource = texts("kubernetes.GroupVersionResource", &["group", "version", "resource"]);
    let user = Type::native(
        "kubernetes.UserInfo",
        [
            ("username".to_owned(), Type::String),
            ("uid".to_owned(), Type::String),
            ("groups".to_owned(), Type::list(Type::String)),
            ("extra".to_owned(), Type::map(Type::list(Type::String))),
        ],
    );
    let mut fields = vec![
        ("kind".to_owned(), kind.clone()),
        ("resource".to_owned(), resource.clone()),
        ("requestKind".to_owned(), kind),
        ("requestResource".to_owned(), resource),
        ("userInfo".to_owned(), user),
        ("dryRun".to_owned(), Type::Bool),
        ("options".to_owned(), Type::Dyn),
    ];
    for name in ["subResource", "requestSubResource", "name", "namespace", "operation"] {
        fields.push((name.to_owned(), Type::String));
    }
    Type::native("kubernetes.AdmissionRequest", fields)
});

/// What the object of a request is known to be, and which of the variables there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Match conditions of webhooks.
    Webhook,
    /// A policy without parameters.
    Policy,
    /// A policy with parameters.
    PolicyWithParams,
}

/// What is known of the objects that expressions look at, before they run.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Of `object` and `oldObject`.
    pub object: Type,
    /// Of `params`.
    pub params: Type,
}

impl Default for Subject {
    fn default() -> Self {
        Self { object: Type::Dyn, params: Type::Dyn }
    }
}

/// The environment of `scope`, where the policy's variables are `declared` so far.
#[must_use]
pub fn environment(scope: Scope, declared: &[(String, Type)]) -> Environment {
    environment_about(&Subject::default(), scope, declared)
}

/// The environment of expressions that look at a `subject` of known types.
#[must_use]
pub fn environment_about(subject: &Subject, scope: Scope, declared: &[(String, Type)]) -> Environment {
    let mut environment = Environment::new()
        .with("object", subject.object.clone())
        .with("oldObject", subject.object.clone())
        .with("request", REQUEST.clone())
        .with("authorizer", Type::Opaque("kubernetes.authorization.Authorizer"))
        .with("authorizer.requestResource", Type::Opaque("kubernetes.authorization.ResourceCheck"));
    if scope != Scope::Webhook {
        environment = environment.with("namespaceObject", Type::Dyn);
    }
    if scope == Scope::PolicyWithParams {
        environment = environment.with("params", subject.params.clone());
    } else if scope == Scope::Policy {
        // Keeps its place, under a name that no expression can write.
        environment = environment.with("@params", Type::Dyn);
    }
    for (name, ty) in declared {
        environment = environment.with(format!("variables.{name}"), ty.clone());
    }
    environment
}

/// What an expression of a policy must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A condition.
    Bool,
    /// A message.
    String,
    /// An audit annotation.
    StringOrNull,
    /// A change as an object (`Object{…}`).
    ApplyConfiguration,
    /// A change as a list of `JSONPatch{…}`.
    JsonPatch,
    /// Anything.
    Any,
}

impl Wanted {
    fn allows(self, ty: &Type) -> bool {
        match (self, ty) {
            (_, Type::Dyn) | (Self::Any, _) | (Self::Bool, Type::Bool) => true,
            (Self::String, Type::String) | (Self::StringOrNull, Type::String | Type::Null) => true,
            (Self::ApplyConfiguration, Type::Object(object)) => object.name == "Object",
            (Self::JsonPatch, Type::List(list)) => match &list.element {
                Type::Object(object) => object.name == "JSONPatch",
                element => *element == Type::Dyn,
            },
            _ => false,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::String => "string",
            Self::StringOrNull => "string or null_type",
            Self::ApplyConfiguration => "Object",
            Self::JsonPatch => "list(JSONPatch)",
            Self::Any => "dyn",
        }
    }
}

/// Compiles an expression of a policy or match condition.
///
/// # Errors
/// What upstream says behind the name of the field.
pub fn compile_expression(environment: &Environment, source: &str, wanted: Wanted) -> Result<Program, String> {
    let with_constructors;
    let environment = match wanted {
        Wanted::ApplyConfiguration | Wanted::JsonPatch => {
            with_constructors = environment.clone().with_constructor("Object").with_constructor("JSONPatch");
            &with_constructors
        }
        _ => environment,
    };
    let program = compile(environment, source).map_err(|error| format!("compilation failed: {error}"))?;
    if wanted.allows(program.output_type()) {
        return Ok(program);
    }
    Err(match wanted {
        Wanted::StringOrNull => "must evaluate to one of [string null_type]".to_owned(),
        _ => format!("must evaluate to {}", wanted.describe()),
    })
}
