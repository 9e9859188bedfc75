//! What models cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::v1::Price;

use crate::deployments::Deployments;

/// Prices by the names of models, aliases and adapters. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Prices(Arc<BTreeMap<String, Price>>);

impl Prices {
    /// The price of what was asked for: under its own name or else under that of the model that answers for it.
    pub(crate) fn of(&self, model: &str, deployments: &Deployments) -> Option<Price> {
        if self.0.is_empty() {
            return None;
        }
        let of_base = || self.0.get(&deployments.find(model).ok()?.model);
        self.0.get(model).or_else(of_base).cloned()
    }
}

impl FromIterator<(String, Price)> for Prices {
    fn from_iter<T: IntoIterator<Item = (String, Price)>>(prices: T) -> Self {
        Self(Arc::new(prices.into_iter().collect()))
    }
}
