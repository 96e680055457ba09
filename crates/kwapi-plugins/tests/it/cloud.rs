//! A real Keystone with the users, roles and endpoints of a small cloud.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port, output, python_environment};
use serde_json::{Value, json};

/// A running Keystone. Its data outlives its process.
pub(crate) struct Cloud {
    pub(crate) lab: Lab,
    pub(crate) port: u16,
    keystone: Option<Peer>,
    /// How long the tokens live that it issues after its next start.
    pub(crate) token_seconds: u32,
    pub(crate) http: reqwest::Client,
}

/// Where a Python environment is.
pub(crate) fn environment(name: &str) -> PathBuf {
    python_environment(name).ancestors().nth(2).unwrap().to_owned()
}

impl Cloud {
    /// Starts one with our API registered at `api_port`.
    pub(crate) async fn start(api_port: u16) -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .tls_certs_only([])
            .build()
            .unwrap();
        let port = free_port();
        let mut cloud =
            Self { lab: Lab::of("openstack", port), port, keystone: None, token_seconds: 3_600, http };
        cloud.resume().await;
        output(
            Command::new(python_environment("keystone"))
                .arg(cloud.lab.join("openstack/setup_identity.py"))
                .arg(port.to_string())
                .arg(format!("http://127.0.0.1:{api_port}/v1")),
        );
        cloud
    }

    /// Starts it again with the data it had.
    pub(crate) async fn resume(&mut self) {
        let mut command = Command::new("bash");
        command
            .arg(self.lab.join("openstack/start-keystone.sh"))
            .arg(self.port.to_string())
            .arg(self.lab.join("keystone"))
            .env("KS_VENV", environment("keystone"))
            .env("KS_TOKEN_TTL", self.token_seconds.to_string());
        let peer = Peer::start(&mut command, self.lab.join("keystone.out"));
        let port = self.port;
        let ready = move || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        let peer = tokio::task::spawn_blocking(move || peer.ready(Duration::from_secs(120), ready)).await;
        self.keystone = Some(peer.unwrap());
        // It listens before it answers.
        for _ in 0..200 {
            if self.http.get(self.url("")).send().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("Keystone does not answer");
    }

    pub(crate) fn stop(&mut self) {
        self.keystone = None;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/v3{path}", self.port)
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
