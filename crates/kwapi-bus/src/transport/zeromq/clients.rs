//! Who may connect to the encrypted endpoints of a component that are bound: lists of public keys that change while it runs.

use std::collections::HashSet;
use std::sync::Arc;

use super::curve::CurveKey;
use super::zap::Admission;
use crate::endpoint::EndpointConfig;
use crate::error::BusError;

/// The list of one socket.
#[derive(Clone)]
pub(crate) struct ClientList {
    pub(super) urls: Vec<String>,
    pub(super) admission: Arc<Admission>,
}

impl PartialEq for ClientList {
    /// Whether a change of one is a change of the other.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.admission, &other.admission)
    }
}

/// The lists of a component.
#[derive(Clone, Default)]
pub(crate) struct ClientLists(Vec<ClientList>);

impl ClientLists {
    pub(crate) fn new(client_lists: impl IntoIterator<Item = ClientList>) -> Self {
        Self(client_lists.into_iter().collect())
    }

    /// Lets in the clients that `endpoints` name now. Who is new is let in from now on; the connections of who was removed
    /// are dropped within a fraction of a second.
    ///
    /// # Errors
    /// When a key is none, or an endpoint would let in nobody; nothing has changed then.
    pub(crate) fn replace(&self, endpoints: &[EndpointConfig]) -> Result<(), BusError> {
        let mut lists: Vec<(&ClientList, HashSet<CurveKey>)> = Vec::new();
        for client_list in &self.0 {
            let mut clients = HashSet::new();
            for endpoint in endpoints.iter().filter(|endpoint| client_list.urls.contains(&endpoint.url)) {
                let Some(curve) = &endpoint.curve else { continue };
                clients.extend(curve.server(&endpoint.url)?.1);
            }
            // An endpoint that is configured no more, or otherwise, stands until the restart that takes it.
            if !clients.is_empty() {
                lists.push((client_list, clients));
            }
        }
        for (client_list, clients) in lists {
            client_list.admission.replace(&clients);
        }
        Ok(())
    }
}

impl std::fmt::Debug for ClientLists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ClientLists").field(&self.0.len()).finish()
    }
}
