//! The Common Expression Language as Kubernetes has it: admission policies, match conditions, rules of custom resources.
//!
//! The grammar is that of the `cel` crate. What follows is ours, because Kubernetes asks for more than a language:
//! expressions are checked against declared types before they run ([`compile`]), look at JSON without copying it
//! ([`Program::evaluate`]), stop when they have cost too much ([`Budget`]), can be refused before they ever run because
//! they might ([`Program::estimated_cost`]), and have Kubernetes' libraries. Messages are cel-go's.
//!
//! ```
//! use minato_cel::{Budget, Environment, Type, Value, compile};
//!
//! let environment = Environment::new().with("self", Type::Dyn);
//! let program = compile(&environment, "self.replicas <= 5 && self.name.startsWith('web')")?;
//! let object = serde_json::json!({"replicas": 3, "name": "web-1"});
//! let mut budget = Budget::new(1_000_000);
//! let result = program.evaluate(&[Value::of(&object)], &mut budget)?;
//! assert_eq!(result.as_bool(), Some(true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `syntax` parses, `check` resolves names and types, `eval` runs, `cost` estimates, `library` is what can be called.

pub mod admission;
mod check;
mod cost;
pub mod device;
mod error;
mod eval;
mod functions;
mod library;
mod map;
mod syntax;
mod types;
mod value;

pub use check::{Environment, Program, compile};
pub use cost::Sizes;
pub use error::{CompileError, EvalError, Issue};
pub use eval::{Activation, Budget};
pub use library::authorizer::{Asked, Authorizer, Check, Decision};
pub use map::Map;
pub use types::{Field, ListKind, ListType, MapType, ObjectType, Type, escape};
pub use value::{List, Text, Value};
