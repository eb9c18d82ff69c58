//! The API server: every object goes through it, and it alone touches the store.
//!
//! A request takes one path: [`service`](ApiService) routes, authenticates, authorises; a handler answers. Built-in kinds
//! are declarations of `minato-kinds`; nothing on the path asks for a kind by name, but for the visible lists of
//! admission plugins, reviews and reserved values. Objects are JSON values while they change, and bytes when they are
//! stored and sent: what a commit wrote is what GET, LIST and WATCH send.
//!
//! ```text
//! passage (id, time limit, metrics, audit, flow) ─ service ─ route, authenticate, authorize
//!    ├─ health, metrics, discovery, openapi
//!    ├─ aggregate ─► relay ─► another API server
//!    ├─ usage ─► tunnel ─► kubelets
//!    └─ call ─ list, watch ◄─ filter, encode ◄─ memory
//!            ├ subresource ─ tunnel, proxy ─► relay ─► kubelet, pod, service
//!            └ patch, subresource, reviews ─► write ─ admission, reserve ─► backend
//! ```

mod admission;
mod aggregate;
mod apply;
mod aside;
mod audit;
mod authenticate;
mod authorize;
mod body;
mod bootstrap;
mod call;
mod config;
mod core;
mod custom;
mod decode;
mod discovery;
mod encode;
mod filter;
mod flow;
mod follow;
mod health;
mod identity;
mod issuer;
mod kubeconfig;
mod list;
mod metrics;
mod negotiate;
mod object;
mod openapi;
mod options;
mod passage;
mod patch;
mod proxy;
mod quota;
mod rbac;
mod recent;
mod registry;
mod relay;
mod reserve;
mod reviews;
mod route;
mod server;
mod service;
mod status;
mod subresource;
mod template;
mod tokens;
mod tunnel;
mod usage;
mod watch;
mod webhook;
mod websocket;
mod write;

pub use admission::{AdmissionError, AdmissionOptions, ConfigurationError};
pub use aggregate::FrontProxy;
pub use audit::{AuditError, AuditOptions, BatchOptions, FileFormat, FileOptions, PolicyError};
pub use authenticate::{
    Anonymous, Authentication, AuthenticationError, AuthenticationFile, AuthenticationFileError, ClaimOrExpression,
    JwtIssuer, OidcFlags, RequestHeaders, Rule, StaticTokens, TokenFileError, TokenWebhookOptions,
};
pub use authorize::{AuthorizationError, AuthorizationMode, FailurePolicy, WebhookOptions};
pub use body::ResponseBody;
pub use config::{Config, ConfigError};
pub use identity::{User, UserInfo};
pub use kubeconfig::KubeconfigError;
pub use passage::parse_duration;
pub use server::{ApiServer, StartError, attributes_of};
pub use service::ApiService;
pub use status::ApiError;
