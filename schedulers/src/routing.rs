//! From inferences to deployments.
//!
//! [`Deployments`] folds what the CONTROL stream says; [`route`] picks; [`serve`] does it for every admitted fact and
//! every lost attempt.

mod decision;
mod deployments;
mod service;

pub use decision::{Refusal, Route, RoutingPolicy, route};
pub use deployments::{Deployment, Deployments};
pub use service::serve;
