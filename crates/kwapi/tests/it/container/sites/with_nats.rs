//! The compose file in which each site has a NATS server: the servers are configured as in its README, and run.

use kwapi_peers::nats::NatsServer;

use super::*;

/// The compose file, and this machine's places for what it names.
struct Composed {
    lab: Lab,
    services: serde_json::Map<String, Value>,
    /// API, pages and status of each service; of a server, where clients and leaf nodes connect.
    ports: BTreeMap<String, [u16; 3]>,
}

fn is_server(name: &str) -> bool {
    name.ends_with("-nats")
}

fn is_setup(name: &str) -> bool {
    name.ends_with("-setup")
}

impl Composed {
    /// Reads it, and writes the configurations of the servers by the command of its README.
    fn read() -> Self {
        let lab = Lab::empty();
        let services = compose("sites-nats")["services"].as_object().unwrap().clone();
        let ports = services.keys().map(|name| (name.clone(), [0; 3].map(|_: u16| free_port()))).collect();
        let file = folder().join("sites-nats/servers.toml").display().to_string();
        let sites = ["--site", "lyon", "--site", "paris"];
        let write = [&["nats-setup", "--config", &file, "--write", "servers"], &sites[..]].concat();
        let (is_success, text) = run(&write, lab.path());
        assert!(is_success, "{text}");
        let readme = std::fs::read_to_string(folder().join("sites-nats/README.md")).unwrap();
        assert!(
            readme.contains(&sites.join(" "))
                && readme.contains("/sites/servers.toml --write /sites/servers")
        );
        Self { lab, services, ports }
    }

    fn names(&self, is: fn(&str) -> bool) -> Vec<String> {
        self.services.keys().filter(|name| is(name)).cloned().collect()
    }

    fn networks(&self, name: &str) -> Vec<&str> {
        texts(&self.services[name]["networks"])
    }

    /// Names of servers become addresses of this machine; `name` must have a network in common with each.
    fn adapted(&self, name: &str, text: &str) -> String {
        let mut text = text.to_owned();
        for server in self.names(is_server) {
            for (port, here) in [4222, 7422].iter().zip(self.ports[&server]) {
                let there = format!("{server}:{port}");
                if text.contains(&there) {
                    let theirs = self.networks(&server);
                    assert!(
                        theirs.iter().any(|it| self.networks(name).contains(it)),
                        "{server} is out of reach"
                    );
                    text = text.replace(&there, &format!("127.0.0.1:{here}"));
                }
            }
        }
        text
    }

    fn server(&self, name: &str) -> NatsServer {
        let (service, [clients, leaves, _]) = (&self.services[name], self.ports[name]);
        let text =
            std::fs::read_to_string(self.lab.join(mounted(service, "/etc/nats/nats.conf:ro").unwrap()));
        assert!(mounted(service, "/var/lib/nats").is_some(), "{name}");
        let text = self
            .adapted(name, &text.unwrap())
            .replace("0.0.0.0:4222", &format!("127.0.0.1:{clients}"))
            .replace("0.0.0.0:7422", &format!("127.0.0.1:{leaves}"))
            .replace("/var/lib/nats", &self.lab.join(name).join("store").display().to_string());
        NatsServer::configured(&self.lab.join(name), clients, &text)
    }

    /// Puts what a service is given into a folder of its own; returns its command.
    fn command(&self, name: &str) -> Vec<String> {
        let (service, [api, pages, status]) = (&self.services[name], self.ports[name]);
        let here = self.lab.join(name);
        std::fs::create_dir(&here).unwrap();
        for inside in ["lyon.secret", "paris.secret", "nats.secret"] {
            let Some(outside) = mounted(service, &format!("/etc/kwapi/{inside}:ro")) else { continue };
            let text = if outside.starts_with("./servers/") {
                std::fs::read_to_string(self.lab.join(outside)).unwrap()
            } else {
                format!("{outside} 0123456789abcdef0123456789abcdef")
            };
            std::fs::write(here.join(inside), text).unwrap();
            let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(here.join(inside), own).unwrap();
        }
        let file = mounted(service, "/etc/kwapi/kwapi.toml:ro").unwrap();
        let toml = std::fs::read_to_string(folder().join("sites-nats").join(file)).unwrap();
        let toml = self
            .adapted(name, &toml)
            .replace("0.0.0.0:5000", &format!("0.0.0.0:{api}"))
            .replace("0.0.0.0:8080", &format!("0.0.0.0:{pages}"));
        let listens = format!("\n[status]\nlisten = '127.0.0.1:{status}'\n");
        std::fs::write(here.join("kwapi.toml"), toml + &listens).unwrap();
        let mut command: Vec<String> = texts(&service["command"]).into_iter().map(str::to_owned).collect();
        command.extend(["--config".to_owned(), here.join("kwapi.toml").display().to_string()]);
        command
    }

    fn program(&self, name: &str) -> Peer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kwapi"));
        command.args(self.command(name)).env("STATE_DIRECTORY", self.lab.join(name).join("state"));
        Peer::start(&mut command, self.lab.join(format!("{name}.log")))
    }

    /// The probes of the API.
    fn probes(&self) -> Vec<String> {
        let answer = get(self.ports["centre"][0], "/v1/probe-ids/").map(|(_, body)| body);
        let answer: Value = answer.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
        texts(&answer["probe_ids"]).into_iter().map(str::to_owned).collect()
    }

    /// A value of a service's `/metrics`, the sum over its labels.
    fn metric(&self, name: &str, metric: &str) -> f64 {
        let (_, text) = get(self.ports[name][2], "/metrics").unwrap_or_default();
        let values = text.lines().filter(|line| line.starts_with(metric));
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Messages that both sites have stored.
    fn stored(&self) -> f64 {
        ["lyon-drivers", "paris-drivers"]
            .map(|site| self.metric(site, "kwapi_nats_messages_total{"))
            .iter()
            .sum()
    }
}

#[test]
fn each_service_of_the_compose_file_with_nats_is_confined() {
    if !need_python("python") {
        return;
    }
    let compose = compose("sites-nats");
    for (name, service) in compose["services"].as_object().unwrap() {
        let image = if is_server(name) { "docker.io/library/nats:2.14" } else { "kwapi" };
        assert_eq!(service["image"], image, "{name}");
        assert_eq!((&service["read_only"], &service["cap_drop"][0]), (&true.into(), &"all".into()), "{name}");
        // What creates streams ends when it has.
        assert_eq!(
            service["restart"],
            if is_setup(name) { "on-failure" } else { "unless-stopped" },
            "{name}"
        );
        let is_open = |port: &&str| !port.starts_with("127.0.0.1:");
        assert_eq!(texts(&service["ports"]).into_iter().find(is_open), None, "{name}");
    }
}

#[test]
fn the_centre_of_the_compose_file_with_nats_has_what_the_sites_stored_while_it_was_away() {
    if !need_python("python") || !need_python("nats") {
        return;
    }
    let composed = Composed::read();
    let mut servers: BTreeMap<String, NatsServer> =
        composed.names(is_server).into_iter().map(|name| (name.clone(), composed.server(&name))).collect();
    for name in composed.names(is_setup) {
        let command = composed.command(&name);
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let (is_success, text) = run(&words, composed.lab.path());
        assert!(is_success, "{name}: {text}");
    }
    let names = composed.names(|name| !is_setup(name) && !is_server(name));
    assert_eq!(names, ["centre", "lyon-drivers", "paris-drivers"]);
    let programs: BTreeMap<&str, Peer> =
        names.iter().map(|name| (name.as_str(), composed.program(name))).collect();
    let until = |what: &str, done: &dyn Fn() -> bool| {
        let start = std::time::Instant::now();
        while !done() {
            assert!(start.elapsed() < 5 * PATIENCE, "{what}:\n{}", log(&programs));
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    until("both sites", &|| composed.probes().len() == 12);
    let probes = composed.probes();
    let of = |site: &str| probes.iter().filter(|id| id.starts_with(site)).count();
    assert_eq!((of("lyon.rack1."), of("paris.rack1.")), (8, 4), "{probes:?}");
    servers.get_mut("centre-nats").unwrap().kill();
    let before = composed.stored();
    until("the sites store for themselves", &|| composed.stored() > before + 60.0);
    let meanwhile = composed.stored();
    servers.get_mut("centre-nats").unwrap().restart();
    until("the centre has it", &|| composed.metric("centre", "kwapi_collector_messages_total{") >= meanwhile);
    until("nothing is missing", &|| composed.metric("centre", "kwapi_collector_lost_messages") == 0.0);
    for name in &names {
        let address = format!("127.0.0.1:{}", composed.ports[name][2]);
        let (is_well, output) = run(&["status", "--json", "--address", &address], composed.lab.path());
        assert!(is_well, "{name}: {output}");
    }
}
