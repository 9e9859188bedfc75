//! LoRA adapters, loaded and unloaded on every worker of a model.

use std::sync::Arc;

use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::administration::tell_all;
use crate::deployments::Task;
use crate::error::{ApiError, ErrorBody};
use crate::json_body;
use crate::state::ApiState;

/// An adapter to load.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LoadLoraAdapterRequest {
    /// The name under which it is then asked for.
    lora_name: String,
    /// A directory in PEFT's format, below the one that the workers allow.
    lora_path: String,
    /// Whether it takes the place of one of the same name.
    #[serde(default)]
    load_inplace: bool,
    /// The base model; may be left out while there is only one.
    #[serde(skip_serializing)]
    base_model_name: Option<String>,
}

/// An adapter to unload.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UnloadLoraAdapterRequest {
    lora_name: String,
}

/// Loads an adapter on every worker of its base model.
#[utoipa::path(post, path = "/v1/load_lora_adapter", tag = "administration", request_body = LoadLoraAdapterRequest,
    responses(
        (status = 200, description = "It can be asked for", body = String, content_type = "text/plain"),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn load_lora_adapter(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<String, ApiError> {
    let body = json_body::read(&state.config, request).await?;
    let request: LoadLoraAdapterRequest = json_body::parse_object(&body)?;
    check_not_empty("lora_name", &request.lora_name)?;
    check_not_empty("lora_path", &request.lora_path)?;
    let base = match &request.base_model_name {
        Some(name) => state.deployments.find_for(name, Task::Generate)?,
        None => state.deployments.find_only()?,
    };
    let workers = state.deployments.workers_of(Some(&base.model));
    let loaded = tell_all(&state, &workers, "load_lora", &request).await;
    if loaded.has_failed_after_success() && !request.load_inplace {
        // All or none: those that took it give it back.
        let unload = UnloadLoraAdapterRequest { lora_name: request.lora_name.clone() };
        let undone = tell_all(&state, &loaded.succeeded, "unload_lora", &unload).await;
        if let Err(error) = undone.into_result() {
            tracing::warn!(%error, "an adapter that not every worker could load stays on some");
        }
    }
    loaded.into_result()?;
    Ok(format!("Success: LoRA adapter '{}' added successfully.", request.lora_name))
}

/// Unloads an adapter on every worker that has it; sequences that use it go on to their ends first.
#[utoipa::path(post, path = "/v1/unload_lora_adapter", tag = "administration", request_body = UnloadLoraAdapterRequest,
    responses(
        (status = 200, description = "It is gone", body = String, content_type = "text/plain"),
        (status = "default", description = "What went wrong", body = ErrorBody)))]
pub(crate) async fn unload_lora_adapter(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<String, ApiError> {
    let body = json_body::read(&state.config, request).await?;
    let request: UnloadLoraAdapterRequest = json_body::parse_object(&body)?;
    check_not_empty("lora_name", &request.lora_name)?;
    let mut workers = state.deployments.workers_of(None);
    workers.retain(|(_, deployment)| deployment.adapters.contains(&request.lora_name));
    if workers.is_empty() {
        return Err(ApiError::UnknownAdapter { name: request.lora_name.chars().take(200).collect() });
    }
    tell_all(&state, &workers, "unload_lora", &request).await.into_result()?;
    Ok(format!("Success: LoRA adapter '{}' removed successfully.", request.lora_name))
}

fn check_not_empty(field: &'static str, value: &str) -> Result<(), ApiError> {
    if value.is_empty() {
        Err(ApiError::invalid(field, format!("{field} must not be empty")))
    } else {
        Ok(())
    }
}
