//! A real Keystone with the users, roles and endpoints of a small cloud.

use kwapi_peers::openstack::Keystone;
use serde_json::{Value, json};

/// A running Keystone and a client to query it with.
pub(crate) struct Cloud {
    pub(crate) keystone: Keystone,
    pub(crate) http: reqwest::Client,
}

impl Cloud {
    /// Starts one with our API registered at `api_port`.
    pub(crate) fn start(api_port: u16) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .tls_certs_only([])
            .build()
            .unwrap();
        let keystone = Keystone::start();
        keystone.register(api_port);
        Self { keystone, http }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.keystone.url(path)
    }

    /// A token for an `auth` document; its id and Keystone's words about it.
    pub(crate) async fn authenticate(&self, identity: Value, scope: Option<Value>) -> (String, Value) {
        let mut auth = json!({ "identity": identity });
        if let Some(scope) = scope {
            auth["scope"] = scope;
        }
        let answer =
            self.http.post(self.url("/auth/tokens")).json(&json!({ "auth": auth })).send().await.unwrap();
        let token = answer.headers().get("x-subject-token").map(|token| token.to_str().unwrap().to_owned());
        let body: Value = answer.json().await.unwrap();
        (token.unwrap_or_else(|| panic!("{body}")), body)
    }

    /// A token of a user on a project.
    pub(crate) async fn token(&self, user: &str, password: &str, project: &str) -> String {
        let scope = json!({ "project": { "name": project, "domain": { "id": "default" } } });
        self.authenticate(by_password(user, password), Some(scope)).await.0
    }
}

pub(crate) fn by_password(user: &str, password: &str) -> Value {
    let user = json!({ "name": user, "domain": { "id": "default" }, "password": password });
    json!({ "methods": ["password"], "password": { "user": user } })
}
