//! Two sites and a centre, each with a server of its own, configured by `kwapi nats-setup --write`.

use std::path::PathBuf;

use kwapi_peers::Relay;

use super::*;

/// What each site signs with.
const LYON: &str = "id = 'lyon', secret = 'a secret of sixteen bytes or more'";
const PARIS: &str = "id = 'paris', secret = 'another secret of sixteen bytes or more'";

/// The servers and what is between them.
struct Country {
    lab: Lab,
    /// Where their configurations are, as they were written.
    files: PathBuf,
    centre: NatsServer,
    lyon: NatsServer,
    paris: NatsServer,
    /// Between Lyon and the centre.
    link: Relay,
}

fn site_of(name: &str, url: &str) -> String {
    let key = if name == "lyon" { LYON } else { PARIS };
    format!(
        "state_directory = '@DIR@/state'\n[bus]\nkey = {{ {key} }}\n[drivers]\npublish = ['{url}']\n\
         interval_seconds = 0.1\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [[meter]]\ndriver = 'dummy'\nprobe = '{name}.{{outlet}}'\noutlets = 3\nwatts = 100\n"
    )
}

fn centre_of(url: &str) -> String {
    let keys = format!("[{{ {LYON}, probes = 'lyon.*' }}, {{ {PARIS}, probes = 'paris.*' }}]");
    centre(url).replace(&format!("[{KEY}]"), &keys)
}

fn with(toml: &str, login: &str) -> String {
    toml.replace("[bus]\n", &format!("[bus]\n{login}"))
}

/// The count that `kwapi nats-setup` prints of a stream that is there.
fn count(text: &str) -> u64 {
    let (_, rest) = text.split_once("unchanged (").unwrap_or_else(|| panic!("{text}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

impl Country {
    fn new() -> Self {
        Self::with_lyon(true)
    }

    /// Where Lyon's server may not have reached the centre's yet.
    fn with_lyon(is_linked: bool) -> Self {
        let lab = Lab::empty();
        let (port, leaves) = (free_port(), free_port());
        let plain = written(&lab, "plain.toml", &centre_of(&format!("nats://127.0.0.1:{port}/power")));
        let write = ["nats-setup", "--write", "servers", "-c", &plain, "--site", "lyon", "--site", "paris"];
        let text = succeeds(&write, lab.path());
        assert!(text.starts_with("servers/centre.conf\nservers/lyon.conf\nservers/paris.conf\n"), "{text}");
        assert!(text.contains("servers/lyon.power-drivers.secret\n"), "{text}");
        let (is_success, text) = run(&write, lab.path());
        assert!(!is_success && text.contains("servers/centre.conf: File exists"), "{text}");
        let files = lab.join("servers");
        let link = Relay::start(leaves);
        let start = |name: &str, port: u16, leaves: u16| {
            let text = std::fs::read_to_string(files.join(format!("{name}.conf"))).unwrap();
            let folder = lab.join(name);
            let text = text
                .replace("/var/lib/nats", &folder.join("store").display().to_string())
                .replace("0.0.0.0:4222", &format!("127.0.0.1:{port}"))
                .replace("0.0.0.0:7422", &format!("127.0.0.1:{leaves}"))
                .replace("@127.0.0.1:7422", &format!("@127.0.0.1:{leaves}"));
            NatsServer::configured(&folder, port, &text)
        };
        let centre = start("centre", port, leaves);
        let lyon = start("lyon", free_port(), link.port());
        let paris = start("paris", free_port(), leaves);
        let country = Self { lab, files, centre, lyon, paris, link };
        if !is_linked {
            country.link.cut();
        }
        for server in ["lyon", "paris", "centre"] {
            let text = country.setup(server);
            assert!(text.contains("stream    power            created (0 messages)"), "{text}");
            assert_eq!(text.contains("site lyon: not reached"), server == "centre" && !is_linked, "{text}");
        }
        country
    }

    fn url(&self, server: &str) -> String {
        let server = match server {
            "centre" => &self.centre,
            "lyon" => &self.lyon,
            _ => &self.paris,
        };
        server.url("power")
    }

    /// What logs `user` in at a server, by the password that was written.
    fn login(&self, server: &str, user: &str) -> String {
        let file = self.files.join(format!("{server}.{user}.secret"));
        format!("nats = {{ user = '{user}', password = {{ file = '{}' }} }}\n", file.display())
    }

    /// What `kwapi nats-setup` prints at a server.
    fn setup(&self, server: &str) -> String {
        let toml = if server == "centre" {
            centre_of(&self.url(server))
        } else {
            site_of(server, &self.url(server))
        };
        let toml = with(&toml, &self.login(server, "setup"));
        let file = written(&self.lab, &format!("{server}-setup.toml"), &toml);
        let sites = if server == "centre" { &["--site", "lyon", "--site", "paris"][..] } else { &[] };
        succeeds(&[&["nats-setup", "-c", &file], sites].concat(), self.lab.path())
    }

    /// How many messages a server's stream has.
    fn messages(&self, server: &str) -> u64 {
        count(&self.setup(server))
    }

    fn drivers(&self, site: &str) -> Kwapi {
        let login = self.login(site, "power-drivers");
        Kwapi::start(&["drivers"], &with(&site_of(site, &self.url(site)), &login))
    }

    fn history(&self, home: Lab) -> Kwapi {
        let login = self.login("centre", "power-centre");
        Kwapi::start_in(home, &["rrd"], &with(&centre_of(&self.url("centre")), &login))
    }
}

fn received(history: &Kwapi) -> f64 {
    metric(history.status, "kwapi_collector_messages_total{").unwrap_or_default()
}

fn stored(site: &Kwapi) -> f64 {
    metric(site.status, "kwapi_nats_messages_total{").unwrap_or_default()
}

/// Waits until `value` has risen by `more`.
fn until_more(what: &str, more: f64, value: impl Fn() -> f64) {
    let before = value();
    // nats-server tries again at longer and longer intervals, up to two minutes.
    wait_until(what, 5 * PATIENCE, || (value() > before + more).then_some(()));
}

/// The numbers of each session of each probe, in the order of the journal.
fn in_order(history: &Path) -> BTreeMap<(String, u64), Vec<u64>> {
    let (journal, _) = Journal::open(history, JournalConfig::default(), Timestamp::from_seconds(1)).unwrap();
    let mut all: BTreeMap<(String, u64), Vec<u64>> = BTreeMap::new();
    let replayed = journal.replay(Position::default(), |record| {
        let message = record.accounting.unwrap();
        all.entry((record.probe.to_string(), message.session.micros())).or_default().push(message.seq);
    });
    assert_eq!(replayed.unwrap().lost_count, 0);
    all
}

#[test]
fn every_sample_of_two_sites_arrives_once_and_in_order_whatever_is_cut() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut country = Country::new();
    let (lyon, paris) = (country.drivers("lyon"), country.drivers("paris"));
    let history = country.history(Lab::empty());
    let login = country.login("centre", "power-live");
    let api = Kwapi::start(&["api"], &with(&centre_of(&country.url("centre")), &login));
    // What is published at a site is received at the centre at once.
    api.probe("lyon.1");
    api.probe("paris.1");
    until_more("both sites' history comes", 60.0, || received(&history));
    country.link.cut();
    until_more("Lyon stores for itself", 90.0, || stored(&lyon));
    until_more("Paris continues", 60.0, || received(&history));
    assert_eq!(waiting(lyon.status), Some(Value::Null), "Lyon has all it needs");
    wait_until("Lyon is reported, and Paris is not", 2 * PATIENCE, || {
        let (_, text) = get(history.status, "/metrics")?;
        let lacking = |site: &str| {
            let of_site = |line: &&str| {
                line.starts_with("kwapi_nats_site_lacking_seconds{")
                    && line.contains(&format!("site=\"{site}\""))
            };
            text.lines().find(of_site)?.rsplit(' ').next()?.parse::<f64>().ok()
        };
        (lacking("lyon")? > 10.0 && lacking("paris")? == 0.0).then_some(())
    });
    country.link.heal();
    until_more("Lyon's comes too", 250.0, || received(&history));
    country.centre.kill();
    until_more("both store for themselves", 60.0, || stored(&lyon).min(stored(&paris)));
    // With what it had not acknowledged.
    let Kwapi { process, lab: home, .. } = history;
    drop(process);
    country.centre.restart();
    let history = country.history(home);
    until_more("what was stored comes", 250.0, || received(&history));
    country.lyon.kill();
    wait_until("it is reported", PATIENCE, || waiting(lyon.status)?.get("nats_publish").cloned());
    country.lyon.restart();
    until_more("Lyon stores again", 30.0, || stored(&lyon));
    lyon.process.stop(libc::SIGTERM, PATIENCE);
    paris.process.stop(libc::SIGTERM, PATIENCE);
    let stored = country.messages("lyon") + country.messages("paris");
    let start = std::time::Instant::now();
    loop {
        let centre = country.messages("centre");
        if centre == stored {
            break;
        }
        // A server that takes from another one that is not there tries again after up to two minutes.
        assert!(start.elapsed() < 5 * PATIENCE, "the centre has {centre} of {stored}");
    }
    wait_until("the history has all of it", PATIENCE, || {
        country.setup("centre").contains("centre           unchanged (0 messages)").then_some(())
    });
    let Kwapi { process, lab: home, .. } = history;
    process.stop(libc::SIGTERM, PATIENCE);
    let all = in_order(&home.join("state/history"));
    assert_eq!(all.len(), 6, "one session of three probes of each site");
    for ((probe, _), numbers) in &all {
        let count = numbers.len() as u64;
        assert!(count > 100 && numbers.iter().copied().eq(0..count), "{probe}: {numbers:?}");
    }
    let measured: usize = all.values().map(Vec::len).sum();
    assert!(stored * 10 < measured as u64 * 9, "{stored} messages of NATS for {measured} measurements");
}

#[test]
fn what_a_site_stored_before_the_centre_was_reached_comes_when_it_is() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let country = Country::with_lyon(false);
    let lyon = country.drivers("lyon");
    until_more("Lyon stores for itself", 90.0, || stored(&lyon));
    country.link.heal();
    wait_until("the centre takes it", 5 * PATIENCE, || (country.messages("centre") > 30).then_some(()));
    lyon.process.stop(libc::SIGTERM, PATIENCE);
    let all = country.messages("lyon");
    wait_until("the centre has all of it", PATIENCE, || (country.messages("centre") == all).then_some(()));
}

#[test]
fn lyon_cannot_publish_for_paris_not_even_by_a_server_that_lets_anybody_in() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut country = Country::new();
    let foreign = site_of("lyon", &country.url("lyon")).replace("'lyon.{outlet}'", "'paris.{outlet}'");
    let drivers = Kwapi::start(&["drivers"], &with(&foreign, &country.login("lyon", "power-drivers")));
    wait_until("its own server refuses", PATIENCE, || {
        let problem = waiting(drivers.status)?.get("nats_publish")?.to_string().to_lowercase();
        problem.contains("permissions violation for publish").then_some(())
    });
    drop(drivers);
    let text = std::fs::read_to_string(country.lab.join("lyon/nats.conf")).unwrap();
    country.lyon.configure(text.split_once("authorization").unwrap().0);
    country.lyon.restart();
    // As if the key did not state whose probes it is good for.
    let trusting = centre_of(&country.url("centre")).replace("probes = 'lyon.*'", "probes = '*'");
    let api = Kwapi::start(&["api"], &with(&trusting, &country.login("centre", "power-live")));
    // By themselves, so that those of the two can be counted.
    let url = country.url("lyon");
    let single = site_of("lyon", &url)
        .replace(&format!("['{url}']"), &format!("[{{ url = '{url}', batch_messages_max = 1 }}]"));
    let both = format!(
        "{single}[[meter]]\ndriver = 'dummy'\nprobe = 'paris.fake{{outlet}}'\noutlets = 3\nwatts = 1\n"
    );
    let drivers = Kwapi::start(&["drivers"], &both);
    api.probe("lyon.1");
    wait_until("the centre stores Lyon's", PATIENCE, || (country.messages("centre") > 30).then_some(()));
    drivers.process.stop(libc::SIGTERM, PATIENCE);
    let (_, ids) = get(api.api, "/v1/probe-ids/").unwrap();
    assert!(ids.contains("lyon.1") && !ids.contains("paris"), "{ids}");
    // Of what its server has stored, the half that is of its own probes; at the stop each may be a tick behind.
    let open = written(&country.lab, "open.toml", &site_of("lyon", &country.url("lyon")));
    let half = count(&succeeds(&["nats-setup", "-c", &open], country.lab.path())) / 2;
    wait_until("the half", PATIENCE, || (country.messages("centre") + 3 >= half).then_some(()));
    assert!(country.messages("centre") <= half + 3, "of {half}");
}

#[test]
fn a_centre_of_three_servers_takes_what_a_site_stores_and_continues_without_one_of_them() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let [clients, leaves, routes, site_port] = [0; 4].map(|_: u16| free_port());
    let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
    let all = hosts.map(|host| format!("{host}:{clients}")).join(",");
    let url = format!("nats://{all}/power");
    let plain = written(&lab, "plain.toml", &centre_of(&url));
    succeeds(&["nats-setup", "--write", "servers", "-c", &plain, "--site", "lyon"], lab.path());
    let start = |name: &str, host: &str, own: u16, file: &str| {
        let folder = lab.join(name);
        let text = std::fs::read_to_string(lab.join("servers").join(file)).unwrap();
        let text = text
            .replace("$SERVER_NAME", name)
            .replace("/var/lib/nats", &folder.join("store").display().to_string())
            .replace("0.0.0.0:4222", &format!("{host}:{own}"))
            .replace("0.0.0.0:7422", &format!("{host}:{leaves}"))
            .replace("0.0.0.0:6222", &format!("{host}:{routes}"))
            .replace(":7422\"", &format!(":{leaves}\""))
            .replace(":6222\"", &format!(":{routes}\""));
        NatsServer::configured(&folder, own, &text)
    };
    let mut centre = hosts.map(|host| start(host, host, clients, "centre.conf"));
    let _site = start("lyon", "127.0.0.1", site_port, "lyon.conf");
    let login = |server: &str, user: &str| {
        let file = lab.join("servers").join(format!("{server}.{user}.secret"));
        format!("nats = {{ user = '{user}', password = {{ file = '{}' }} }}\n", file.display())
    };
    let site_url = format!("nats://127.0.0.1:{site_port}/power");
    let at_site = with(&site_of("lyon", &site_url), &login("lyon", "setup"));
    succeeds(&["nats-setup", "-c", &written(&lab, "site.toml", &at_site)], lab.path());
    let at_centre = with(&centre_of(&url), &login("centre", "setup"));
    let at_centre = written(&lab, "centre.toml", &at_centre);
    wait_until("the three have a leader", 2 * PATIENCE, || {
        let setup = ["nats-setup", "-c", &at_centre, "--site", "lyon", "--replicas", "3"];
        run(&setup, lab.path()).0.then_some(())
    });
    let history = with(&centre_of(&url), &login("centre", "power-centre"));
    let history = Kwapi::start(&["rrd"], &history);
    let drivers = with(&site_of("lyon", &site_url), &login("lyon", "power-drivers"));
    let drivers = Kwapi::start(&["drivers"], &drivers);
    until_more("the site's come", 60.0, || received(&history));
    for server in &mut centre {
        server.kill();
        until_more("they come without one of the three", 90.0, || received(&history));
        server.restart();
    }
    drivers.process.stop(libc::SIGTERM, PATIENCE);
    let lost = || metric(history.status, "kwapi_collector_lost_messages");
    wait_until("nothing is missing", 2 * PATIENCE, || lost().filter(|lost| *lost == 0.0));
}
