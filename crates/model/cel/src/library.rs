//! What expressions can call: the standard functions, cel-go's extensions and Kubernetes' libraries.
//!
//! A module is a table of [`Row`](crate::functions::Row)s. The code behind a row sees evaluated arguments, the target
//! first, and refuses what it does not take with [`EvalError::NoSuchOverload`](crate::EvalError::NoSuchOverload).

pub(crate) mod authorizer;
pub(crate) mod core;
pub(crate) mod format;
pub(crate) mod lists;
pub(crate) mod net;
pub(crate) mod numbers;
pub(crate) mod optional;
pub(crate) mod quantity;
pub(crate) mod regex;
pub(crate) mod semver;
pub(crate) mod strings;
pub(crate) mod time;
pub(crate) mod url;
