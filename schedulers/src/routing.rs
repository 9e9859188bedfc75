//! From inferences to deployments.
