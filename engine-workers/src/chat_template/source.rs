//! The chat templates that a model file carries.

/// The template sources of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplateSources {
    /// The one used unless another is named.
    pub default: Option<String>,
    /// Further ones by name, for example `tool_use`.
    pub named: Vec<(String, String)>,
}

impl TemplateSources {
    /// The template for a conversation: `tool_use` if there are tools and the model has it, else the default.
    pub fn select(&self, has_tools: bool) -> Option<&str> {
        let tool_use = || self.named.iter().find(|(name, _)| name == "tool_use");
        match has_tools.then(tool_use).flatten() {
            Some((_, source)) => Some(source),
            None => self.default.as_deref(),
        }
    }
}
