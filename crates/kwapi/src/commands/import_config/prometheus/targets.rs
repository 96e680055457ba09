//! The jobs of a Prometheus configuration and their targets, also those in files of their own (`file_sd_configs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::draft::Draft;
use super::super::file::read;
use super::super::notation::{host_and_port, seconds};
use super::super::yaml::Yaml;
use crate::config::matching;

/// Prometheus' own, where neither the job nor the configuration has one.
const SCRAPE_INTERVAL: &str = "1m";

/// Targets of one job that are read alike.
#[derive(Clone, Debug)]
pub(super) struct ScrapeJob {
    /// The file and the job's name.
    pub(super) origin: String,
    pub(super) path: String,
    pub(super) module: Option<String>,
    pub(super) auth: Option<String>,
    pub(super) interval_seconds: Option<f64>,
    pub(super) hosts: Vec<(String, Option<u16>)>,
    /// What Prometheus attaches to all that it reads from them.
    pub(super) labels: BTreeMap<String, String>,
}

/// Whether a document is a list of targets.
pub(super) fn is_list(yaml: &Yaml) -> bool {
    !yaml.items().is_empty() && yaml.items().iter().all(|item| item.get("targets").is_some())
}

/// All jobs of all configurations; lists of targets that none of them names are reported.
pub(super) fn jobs(files: &[(PathBuf, Yaml)], draft: &mut Draft) -> Vec<ScrapeJob> {
    let mut all = Vec::new();
    let mut named = Vec::new();
    for (path, yaml) in files {
        let global = yaml.get("global").and_then(|global| global.text_of("scrape_interval"));
        if yaml.get("scrape_config_files").is_some() {
            draft.lost(format!("{}: scrape_config_files: name these files as well", path.display()));
        }
        for job in yaml.get("scrape_configs").map(Yaml::items).unwrap_or_default() {
            job_of(path, job, global, &mut all, &mut named, draft);
        }
    }
    for (path, _) in files.iter().filter(|(path, yaml)| is_list(yaml) && !named.contains(path)) {
        draft.lost(format!("{}: a list of targets that no job given here names", path.display()));
    }
    all
}

fn job_of(
    path: &Path,
    job: &Yaml,
    global: Option<&str>,
    all: &mut Vec<ScrapeJob>,
    named: &mut Vec<PathBuf>,
    draft: &mut Draft,
) {
    let name = job.text_of("job_name").unwrap_or("?");
    let parameter = |key: &str| {
        let values =
            job.get("params").and_then(|params| params.get(key)).map(Yaml::texts).unwrap_or_default();
        Some(values.join(",")).filter(|text| !text.is_empty())
    };
    let interval = job.text_of("scrape_interval").or(global).unwrap_or(SCRAPE_INTERVAL);
    let base = ScrapeJob {
        origin: format!("{}: job {name}", path.display()),
        path: job.text_of("metrics_path").unwrap_or("/metrics").trim_end_matches('/').to_owned(),
        module: parameter("module"),
        auth: parameter("auth"),
        interval_seconds: seconds(interval),
        hosts: Vec::new(),
        labels: BTreeMap::new(),
    };
    let rules = job.get("relabel_configs").map(Yaml::items).unwrap_or_default();
    let of_target: Vec<&Yaml> =
        rules.iter().filter(|rule| rule.text_of("target_label") == Some("__param_target")).collect();
    let rewrites = |rule: &&&Yaml| {
        rule.text_of("replacement").is_some_and(|replacement| !["$1", "${1}"].contains(&replacement))
    };
    if let Some(rule) = of_target.iter().find(rewrites) {
        draft.lost(format!(
            "{}: relabel_configs make the target {:?}: correct hosts",
            base.origin,
            rule.text_of("replacement").unwrap_or_default()
        ));
    }
    // One device for the job; what is listed is the exporter then.
    let target = parameter("target").filter(|_| of_target.is_empty());
    let mut groups: Vec<Yaml> =
        job.get("static_configs").map(|groups| groups.items().to_vec()).unwrap_or_default();
    for discovery in job.get("file_sd_configs").map(Yaml::items).unwrap_or_default() {
        for pattern in discovery.get("files").map(Yaml::texts).unwrap_or_default() {
            let pattern = path.parent().unwrap_or(Path::new(".")).join(pattern);
            let found = matching(&pattern).unwrap_or_default();
            if found.is_empty() {
                draft.lost(format!("{}: no file {}", base.origin, pattern.display()));
            }
            for file in found {
                let yaml = read(&file).and_then(|text| Yaml::read(&text));
                match yaml {
                    Ok(yaml) => groups.extend(yaml.items().iter().cloned()),
                    Err(why) => draft.lost(format!("{}: {}: {why}", base.origin, file.display())),
                }
                named.push(file);
            }
        }
    }
    for (key, _) in
        job.entries().iter().filter(|(key, _)| key.ends_with("_sd_configs") && key != "file_sd_configs")
    {
        draft.lost(format!(
            "{}: {key}: targets are found at run time; list them, or use kwapi discover",
            base.origin
        ));
    }
    for group in groups {
        let label =
            |key: &str| group.get("labels").and_then(|labels| labels.text_of(key)).map(ToOwned::to_owned);
        let (module, auth) = (label("__param_module"), label("__param_auth"));
        let target = label("__param_target").or(target.clone());
        let alike = ScrapeJob {
            module: module.or(base.module.clone()),
            auth: auth.or(base.auth.clone()),
            labels: labels(&group),
            ..base.clone()
        };
        let same = all.iter().position(|other| {
            other.origin == alike.origin
                && other.module == alike.module
                && other.auth == alike.auth
                && other.labels == alike.labels
        });
        if same.is_none() {
            all.push(alike);
        }
        let at = same.unwrap_or(all.len() - 1);
        let Some(job) = all.get_mut(at) else { continue };
        let listed = group.get("targets").map(Yaml::texts).unwrap_or_default();
        for target in target.as_deref().map_or(listed, |target| vec![target]) {
            match host_and_port(target) {
                Some(host) if !job.hosts.contains(&host) => job.hosts.push(host),
                Some(_) => {}
                None => draft.lost(format!("{}: target {target:?} is no host", job.origin)),
            }
        }
    }
}

/// The labels of a group, but for those that only steer Prometheus.
fn labels(group: &Yaml) -> BTreeMap<String, String> {
    let all = group.get("labels").map(Yaml::entries).unwrap_or_default();
    let all = all.iter().filter(|(name, _)| !name.starts_with("__"));
    all.filter_map(|(name, value)| Some((name.clone(), value.text()?.to_owned()))).collect()
}
