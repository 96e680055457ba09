//! Reads a Gnocchi as a cloud's administrator does: by its REST API, and with the commands of the manual.

use std::path::Path;
use std::process::Command;

use kwapi_peers::openstack::{Gnocchi, Keystone};
use kwapi_peers::{output, python_environment};
use serde_json::{Value, json};

use crate::ceilometer::token;
use crate::harness::request;

/// Queries Gnocchi's API as the cloud's administrator, who is not the user that publishes.
pub(crate) struct Reader<'a> {
    gnocchi: &'a Gnocchi,
    token: String,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(keystone: &Keystone, gnocchi: &'a Gnocchi) -> Self {
        Self { gnocchi, token: token(keystone, "admin", "adminpw", "admin") }
    }

    /// Whether nothing that was published waits for `gnocchi-metricd`.
    pub(crate) fn has_aggregated_all(&self) -> bool {
        self.get("/v1/status")["storage"]["summary"]["measures"] == 0
    }

    /// The unit and the archive policy of a probe's metric.
    pub(crate) fn about(&self, probe: &str, metric: &str) -> [String; 2] {
        let metric = self.get(&format!("/v1/metric/{}", self.metric(probe, metric)));
        [&metric["unit"], &metric["archive_policy"]["name"]].map(|word| word.as_str().unwrap().to_owned())
    }

    /// What is kept of a metric, a value an hour, the oldest first.
    pub(crate) fn measures(&self, probe: &str, metric: &str, aggregation: &str) -> Vec<f64> {
        let metric = self.metric(probe, metric);
        let path = format!("/v1/metric/{metric}/measures?granularity=3600&aggregation={aggregation}");
        let measures = self.get(&path);
        measures.as_array().unwrap().iter().map(|measure| measure[2].as_f64().unwrap()).collect()
    }

    /// The newest total of a probe's `energy`, in kWh.
    pub(crate) fn total(&self, probe: &str) -> f64 {
        *self.measures(probe, "energy", "last").last().unwrap()
    }

    /// The id of a metric of the one resource that stands for `probe`.
    fn metric(&self, probe: &str, metric: &str) -> String {
        let query = json!({ "=": { "original_resource_id": probe } }).to_string();
        let found = self.request("POST /v1/search/resource/kwapi_probe HTTP/1.1", &query);
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{probe}: {found}");
        found[0]["metrics"][metric].as_str().unwrap_or_else(|| panic!("no {metric}: {found}")).to_owned()
    }

    fn get(&self, path: &str) -> Value {
        self.request(&format!("GET {path} HTTP/1.1"), "")
    }

    fn request(&self, line: &str, body: &str) -> Value {
        let text = format!(
            "{line}\r\nHost: localhost\r\nX-Auth-Token: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.token,
            body.len()
        );
        let (status, _, body) = request(self.gnocchi.port, &text).unwrap();
        let body = String::from_utf8_lossy(&body);
        assert_eq!(status, 200, "{line}: {body}\n{}", self.gnocchi.log());
        serde_json::from_str(&body).unwrap()
    }
}

/// Runs the commands of the manual's first block of shell that contains `words`, as the cloud's administrator.
pub(crate) fn run_of_the_manual(keystone: &Keystone, words: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/manual/openstack.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let commands = blocks.find(|block| block.contains(words)).unwrap();
    let programs = python_environment("ceilometer").parent().unwrap().display().to_string();
    output(
        Command::new("bash")
            .args(["-euxc", commands])
            .env("PATH", format!("{programs}:{}", std::env::var("PATH").unwrap()))
            .env("PYTHONWARNINGS", "ignore")
            .env("OS_AUTH_TYPE", "password")
            .env("OS_AUTH_URL", keystone.url(""))
            .env("OS_USERNAME", "admin")
            .env("OS_PASSWORD", "adminpw")
            .env("OS_PROJECT_NAME", "admin")
            .env("OS_USER_DOMAIN_ID", "default")
            .env("OS_PROJECT_DOMAIN_ID", "default"),
    )
}
