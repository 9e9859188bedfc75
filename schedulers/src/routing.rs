//! From inferences to deployments.
//!
//! [`Deployments`] folds what the CONTROL stream says; [`route`] picks; [`serve`] does it for every admitted fact and
//! every lost attempt. [`WorkerWatch`] folds heartbeats and says which workers are lost, [`history_after_loss`] who may be
//! to blame for it.

mod blame;
mod decision;
mod deployments;
mod losses;
mod service;
mod withdrawal;
mod worker_watch;

pub use blame::{Reached, history_after_loss};
pub use decision::{Attempt, Refusal, Route, RoutingPolicy, route};
pub use deployments::{Deployment, Deployments};
pub use service::serve;
pub use worker_watch::{Hearing, LostWorker, WorkerWatch};
