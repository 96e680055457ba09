//! Sites that are network namespaces, joined by veth links. All of it is made by the test and removed with it; what a test
//! that was killed left behind is removed by the next.

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::{Link, Network, Site, TO_LYON, TO_PARIS, TO_STUTTGART};

const PREFIX: &str = "kwapi-sites-";
const SITES: [Site; 4] = [Site::Paris, Site::Lyon, Site::Stuttgart, Site::Karlsruhe];
const LINKS: [Link; 3] = [TO_PARIS, TO_LYON, TO_STUTTGART];

/// The sites, each a machine of its own.
pub(super) struct Namespaces {
    prefix: String,
}

impl Namespaces {
    /// Makes them, if the system lets us.
    pub(super) fn new() -> Result<Self, String> {
        if kwapi_peers::find("ip").is_none() {
            return Err("no `ip`".to_owned());
        }
        remove_leftovers();
        // Removed as far as it got, if it fails.
        let all = Self { prefix: format!("{PREFIX}{}-", std::process::id()) };
        for site in SITES {
            ip(&["netns", "add", &all.namespace(site)])?;
            ip(&["-n", &all.namespace(site), "link", "set", "lo", "up"])?;
        }
        for (number, link) in LINKS.into_iter().enumerate() {
            let ends = [(link.0, device(link.1)), (link.1, device(link.0))];
            let [(near, near_device), (far, far_device)] = &ends;
            let (near, far) = (all.namespace(*near), all.namespace(*far));
            ip(&[
                "-n",
                &near,
                "link",
                "add",
                near_device,
                "type",
                "veth",
                "peer",
                "name",
                far_device,
                "netns",
                &far,
            ])?;
            for (namespace, device, host) in [(&near, near_device, 1), (&far, far_device, 2)] {
                ip(&["-n", namespace, "addr", "add", &format!("10.77.{number}.{host}/24"), "dev", device])?;
                ip(&["-n", namespace, "link", "set", device, "up"])?;
            }
        }
        Ok(all)
    }

    fn namespace(&self, site: Site) -> String {
        format!("{}{}", self.prefix, site.name())
    }

    fn inside(&self, site: Site, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(site), program]);
        command
    }

    /// Checks that who is not joined to a network cannot reach it: only forwarders lead from one into the other.
    pub(super) fn check_isolation(&self) {
        let reach = |from, address: &str| {
            let script = format!("exec 3<>/dev/tcp/{address}/5557");
            let output = self.inside(from, "bash").args(["-c", &script]).output().unwrap();
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let refused = reach(Site::Stuttgart, "10.77.0.2");
        assert!(refused.contains("refused"), "Paris is there, and nobody listens yet: {refused}");
        let unreachable = reach(Site::Karlsruhe, "10.77.0.2");
        assert!(unreachable.contains("unreachable"), "{unreachable}");
    }
}

impl Network for Namespaces {
    fn kwapi(&self, site: Site) -> Command {
        self.inside(site, env!("CARGO_BIN_EXE_kwapi"))
    }

    fn publish(&self, _site: Site) -> String {
        "tcp://*:5557".to_owned()
    }

    fn url(&self, link: Link) -> String {
        let number = LINKS.iter().position(|other| *other == link).unwrap();
        format!("tcp://10.77.{number}.2:5557")
    }

    fn status(&self, _site: Site) -> String {
        "127.0.0.1:5062".to_owned()
    }

    fn bytes(&self, (listener, source): Link) -> u64 {
        let output =
            ip(&["-n", &self.namespace(listener), "-s", "-j", "link", "show", "dev", &device(source)]);
        let shown: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        shown[0]["stats64"]["rx"]["bytes"].as_u64().unwrap()
    }

    fn messages(&self, _link: Link) -> Option<Vec<(String, String)>> {
        None
    }

    fn cut(&self, (listener, source): Link) {
        ip(&["-n", &self.namespace(source), "link", "set", &device(listener), "down"]).unwrap();
    }

    fn heal(&self, (listener, source): Link) {
        ip(&["-n", &self.namespace(source), "link", "set", &device(listener), "up"]).unwrap();
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for site in SITES {
            _ = ip(&["netns", "del", &self.namespace(site)]); // Its links go with it.
        }
    }
}

/// The device that leads to a site.
fn device(site: Site) -> String {
    format!("to-{}", site.name())
}

fn ip(arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new("ip").args(arguments).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Removes the namespaces of tests that are no more.
fn remove_leftovers() {
    let Ok(listed) = ip(&["netns", "list"]) else { return };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut dead = HashSet::new();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let Some((process, _)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
            continue;
        };
        if !Path::new("/proc").join(process).exists() {
            dead.insert(name);
        }
    }
    for name in dead {
        _ = ip(&["netns", "del", name]);
    }
}
