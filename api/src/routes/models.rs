//! Which models there are.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::deployments::Deployment;
use crate::error::{ApiError, ErrorBody};
use crate::state::ApiState;

/// Every model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<Model>,
}

/// A model that can be asked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    /// When it was announced, in seconds since the Unix epoch.
    created: u64,
    owned_by: &'static str,
    /// The model behind an alias.
    root: String,
    /// The model that an adapter corrects.
    parent: Option<String>,
    /// Longest prompt and answer together, in tokens.
    max_model_len: u32,
}

impl Model {
    fn new(id: String, deployment: Deployment) -> Self {
        let is_adapter = deployment.adapters.contains(&id);
        Self {
            object: "model",
            created: deployment.announced_at_unix_nanos / 1_000_000_000,
            owned_by: "jetmill",
            root: if is_adapter { id.clone() } else { deployment.model.clone() },
            parent: is_adapter.then_some(deployment.model),
            id,
            max_model_len: deployment.max_model_len_tokens,
        }
    }
}

/// Lists the models.
#[utoipa::path(get, path = "/v1/models", tag = "models",
    responses((status = 200, description = "Every model, aliases and adapters included", body = ModelList)))]
pub(crate) async fn list_models(State(state): State<Arc<ApiState>>) -> Json<ModelList> {
    let mut data = Vec::new();
    for (_, deployment) in state.deployments.all() {
        data.extend(deployment.names().map(|name| Model::new(name.clone(), deployment.clone())));
    }
    Json(ModelList { object: "list", data })
}

/// Describes one model.
#[utoipa::path(get, path = "/v1/models/{*id}", tag = "models",
    params(("id" = String, Path, description = "Its name or an alias; it may hold slashes")),
    responses(
        (status = 200, description = "The model", body = Model),
        (status = 404, description = "There is none of this name", body = ErrorBody)))]
pub(crate) async fn get_model(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Model>, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::Invalid {
        message: "the path is not UTF-8 after percent-decoding".to_owned(),
        param: None,
        code: Some("invalid_path"),
    })?;
    let deployment = state.deployments.find(&id)?;
    Ok(Json(Model::new(id, deployment)))
}
