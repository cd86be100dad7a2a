//! Addresses as the user reads them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::exchange::Endpoint;

/// Texts kept; beyond, they are made anew.
const KEPT: usize = 4096;

/// Address of an endpoint, which many exchanges share.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<Endpoint, Arc<str>>);

impl Addresses {
    /// `None` where the endpoint is not known.
    pub(super) fn text(&mut self, endpoint: &Endpoint) -> Option<Arc<str>> {
        if let Some(text) = self.0.get(endpoint) {
            return Some(Arc::clone(text));
        }
        let text: Arc<str> = match endpoint {
            Endpoint::Unknown => return None,
            Endpoint::Tcp(address) => address.to_string().into(),
            Endpoint::Unix(path) => path.as_deref().unwrap_or("unix socket").into(),
        };
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(endpoint.clone(), Arc::clone(&text));
        Some(text)
    }
}
