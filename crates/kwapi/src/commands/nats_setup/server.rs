//! Configurations for nats-server: of the centre, and of the server of each site, a leaf node of it. Each user can do what its
//! part of kwapi needs, and no more.
//!
//! Source: docs.nats.io, running a NATS service, configuration: authorization, leaf nodes, JetStream, clustering.

use std::collections::BTreeSet;
use std::path::Path;

use kwapi_bus::{EndpointConfig, NatsSite};
use kwapi_core::hex;

/// The JetStream domain of the centre's server, and its name.
const CENTRE: &str = "centre";
/// What answers are addressed to.
const ANSWERS: &str = "_INBOX.>";
/// How lines to sites are compressed. What nats-server chooses by itself goes by the round trip, which is long while a backlog
/// is sent: it comes to its slowest level, which takes a whole core for 30 000 measurements a second (2.14, profiled).
const LEAF_COMPRESSION: &str = "compression: s2_fast";
/// Where histories report what they have on their disks (ADR 0053).
const POSITIONS: &str = "%position.>";

/// A configuration as a file.
pub(super) struct ServerFile {
    pub(super) name: String,
    pub(super) text: String,
}

impl ServerFile {
    fn new(name: &str, parts: &[String]) -> Self {
        Self { name: format!("{name}.conf"), text: parts.concat() }
    }

    /// The password of each user of a server, for the configuration of what logs in.
    fn passwords(server: &str, users: &[User]) -> Vec<Self> {
        let file = |user: &User| Self {
            name: format!("{server}.{}.secret", user.name),
            text: format!("{}\n", user.password),
        };
        users.iter().map(file).collect()
    }
}

/// What is written.
pub(super) struct ServerFiles {
    pub(super) configurations: Vec<ServerFile>,
    /// What is in them already, each alone.
    pub(super) passwords: Vec<ServerFile>,
}

/// Somebody who logs in, with a password of its own.
struct User {
    name: String,
    password: String,
    publish: Vec<String>,
    subscribe: Vec<String>,
}

impl User {
    fn new(name: impl Into<String>, publish: Vec<String>, subscribe: Vec<String>) -> Self {
        let password = hex::encode(&rand::random::<[u8; 16]>());
        Self { name: name.into(), password, publish, subscribe }
    }

    /// Who makes streams and consumers.
    fn setup() -> Self {
        Self::new("setup", vec!["$JS.API.>".to_owned()], vec![ANSWERS.to_owned()])
    }

    /// Who publishes to `subjects` of a stream.
    fn drivers(stream: &str, subjects: String) -> Self {
        let publish = vec![
            subjects,
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.STREAM.MSG.GET.{stream}"),
        ];
        Self::new(format!("{stream}-drivers"), publish, vec![ANSWERS.to_owned(), POSITIONS.to_owned()])
    }

    /// Who receives what is published.
    fn live(stream: &str) -> Self {
        Self::new(format!("{stream}-live"), Vec::new(), vec![format!("{stream}.>")])
    }

    /// The history whose consumer this is.
    fn history(stream: &str, consumer: &str) -> Self {
        let publish = [
            format!("$JS.API.STREAM.INFO.{stream}"),
            format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}"),
            format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}.>"),
            format!("$JS.API.CONSUMER.RESET.{stream}.{consumer}"),
            // One that began with what was new is made again where it has to be set back further.
            format!("$JS.API.CONSUMER.DELETE.{stream}.{consumer}"),
            format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            format!("$JS.ACK.{stream}.{consumer}.>"),
            format!("%position.{consumer}.>"),
        ];
        // What is published as well: the present is shown while a backlog is read.
        let subscribe = vec![ANSWERS.to_owned(), format!("{stream}.>")];
        Self::new(format!("{stream}-{consumer}"), publish.to_vec(), subscribe)
    }

    /// The server of a site: what the centre's server takes from it, and nothing of another site's.
    fn site(site: &NatsSite, streams: &BTreeSet<String>) -> Self {
        let mut publish = vec![format!("{}.>", site.deliveries()), "$JSC.R.*".to_owned()];
        let mut subscribe = vec![format!("{}.CONSUMER.>", site.requests()), POSITIONS.to_owned()];
        for stream in streams {
            publish.push(site.subjects(stream));
            subscribe.push(format!("$JS.FC.{stream}.>"));
        }
        Self::new(format!("site-{}", site.name()), publish, subscribe)
    }

    fn text(&self) -> String {
        let Self { name, password, publish, subscribe } = self;
        let list = |subjects: &[String]| {
            if subjects.is_empty() {
                return "{ deny: \">\" }".to_owned();
            }
            let quoted: Vec<_> = subjects.iter().map(|subject| format!("\"{subject}\"")).collect();
            format!("[{}]", quoted.join(", "))
        };
        format!(
            "    {{ user: \"{name}\", password: \"{password}\", permissions: {{\n        publish: {}\n        \
             subscribe: {}\n    }} }}\n",
            list(publish),
            list(subscribe)
        )
    }
}

/// The configuration of the server of `streams`, and of the server of each site; and the passwords of its users.
///
/// # Errors
/// When two sites have a name or a probe in common, or one has the centre's name, as text.
pub(super) fn files(
    streams: &[(EndpointConfig, Vec<&str>)],
    sites: &[NatsSite],
    sync_seconds: Option<u16>,
) -> Result<ServerFiles, String> {
    NatsSite::check(sites)?;
    if sites.iter().any(|site| site.name() == CENTRE) {
        return Err(format!("--site {CENTRE}: the server that takes from sites is named {CENTRE}"));
    }
    let stream_of = |endpoint: &EndpointConfig| endpoint.nats_stream().unwrap_or_default();
    let names: BTreeSet<String> = streams.iter().map(|(endpoint, _)| stream_of(endpoint)).collect();
    let mut users = vec![User::setup()];
    for name in &names {
        // A stream of sites takes nothing from publishers.
        users.extend(sites.is_empty().then(|| User::drivers(name, format!("{name}.>"))));
        users.push(User::live(name));
    }
    for (endpoint, consumers) in streams {
        users.extend(consumers.iter().map(|consumer| User::history(&stream_of(endpoint), consumer)));
    }
    let logins: Vec<User> = sites.iter().map(|site| User::site(site, &names)).collect();
    let centre = Centre::of(streams, sync_seconds);
    let name = if sites.is_empty() { "nats-server".to_owned() } else { CENTRE.to_owned() };
    let all = users.iter().chain(&logins);
    let mut files = vec![ServerFile::new(&name, &[centre.head(!sites.is_empty()), authorization(all)])];
    let mut passwords = ServerFile::passwords(&name, &users);
    for (site, login) in sites.iter().zip(&logins) {
        let mut users = vec![User::setup()];
        for stream in &names {
            users.push(User::drivers(stream, site.subjects(stream)));
            users.push(User::live(stream));
        }
        let name = site.name();
        let parts = [
            head(name, &server_name(name), Some(name), sync_seconds),
            centre.remote(login),
            authorization(&users),
        ];
        files.push(ServerFile::new(name, &parts));
        passwords.extend(ServerFile::passwords(name, &users));
    }
    Ok(ServerFiles { configurations: files, passwords })
}

/// The server, or the cluster, that sites connect to.
struct Centre<'a> {
    hosts: Vec<String>,
    is_tls: bool,
    ca: Option<&'a Path>,
    /// Of the servers of sites as well.
    sync_seconds: Option<u16>,
}

impl<'a> Centre<'a> {
    /// As the first endpoint is configured.
    fn of(streams: &'a [(EndpointConfig, Vec<&str>)], sync_seconds: Option<u16>) -> Self {
        let first = streams.first().map(|(endpoint, _)| endpoint);
        Self {
            hosts: first.map(EndpointConfig::nats_hosts).unwrap_or_default(),
            is_tls: first.is_some_and(|endpoint| endpoint.url.starts_with("tls://")),
            ca: first.and_then(|endpoint| endpoint.nats.ca.as_deref()),
            sync_seconds,
        }
    }

    fn head(&self, has_sites: bool) -> String {
        let is_cluster = self.hosts.len() > 1;
        let name = match (is_cluster, has_sites) {
            (true, _) => {
                "# In the environment of each server, another for each.\nserver_name: $SERVER_NAME\n"
                    .to_owned()
            }
            (false, true) => server_name(CENTRE),
            (false, false) => String::new(),
        };
        let mut text = head(CENTRE, &name, has_sites.then_some(CENTRE), self.sync_seconds);
        if is_cluster {
            let password = hex::encode(&rand::random::<[u8; 16]>());
            let routes: Vec<_> = self
                .hosts
                .iter()
                .map(|host| format!("\"nats://cluster:{password}@{}:6222\"", bracketed(host)))
                .collect();
            text += &format!(
                "cluster {{\n  name: \"{CENTRE}\"\n  listen: \"0.0.0.0:6222\"\n  \
                 authorization {{ user: \"cluster\", password: \"{password}\" }}\n  routes: [{}]\n}}\n\n",
                routes.join(", ")
            );
        }
        if has_sites {
            text += "# Where servers of sites connect; between hosts, it needs a `tls` block of its own.\n\
                     leafnodes {\n  listen: \"0.0.0.0:7422\"\n";
            text += &format!("  {LEAF_COMPRESSION}\n}}\n\n");
        }
        text
    }

    /// How the server of a site connects.
    fn remote(&self, login: &User) -> String {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        let User { name, password, .. } = login;
        let url = |host: &String| format!("\"{scheme}://{name}:{password}@{}:7422\"", bracketed(host));
        let urls: Vec<_> = self.hosts.iter().map(url).collect();
        let ca = self.ca.map_or_else(String::new, |ca| format!(", tls: {{ ca_file: \"{}\" }}", ca.display()));
        format!(
            "# A fixed level: the server's own choice goes by the round trip, and comes to the slowest while a backlog is sent.\n\
             leafnodes {{\n  remotes: [{{ urls: [{}]{ca}, {LEAF_COMPRESSION} }}]\n}}\n\n",
            urls.join(", ")
        )
    }
}

/// What each server has. `domain`: where there are leaf nodes, each server has a JetStream of its own.
fn head(title: &str, server_name: &str, domain: Option<&str>, sync_seconds: Option<u16>) -> String {
    let of = domain.map_or_else(String::new, |_| format!(" of {title}"));
    let domain = domain.map_or_else(String::new, |domain| format!("  domain: \"{domain}\"\n"));
    let sync = match sync_seconds {
        None => "  # A message is on the disk before it is confirmed. Without this, a power failure of the server costs what\n  \
                 # was stored within the last two minutes.\n  sync_interval: always\n"
            .to_owned(),
        Some(seconds) => {
            format!("  # What a power failure of the server costs, at most.\n  sync_interval: \"{seconds}s\"\n")
        }
    };
    format!(
        "# The server{of}: nats-server -c FILE. Each user can do what its part of kwapi needs, and no more; the passwords\n\
         # were generated for this output. Between hosts, add a `tls` block and use tls:// in kwapi's configuration.\n\
         {server_name}listen: \"0.0.0.0:4222\"\n\
         # A connection that is gone without a word is closed after so long.\n\
         ping_interval: \"5s\"\nping_max: 2\n\n\
         jetstream {{\n  store_dir: \"/var/lib/nats\"\n{domain}{sync}}}\n\n"
    )
}

fn server_name(name: &str) -> String {
    format!("server_name: \"{name}\"\n")
}

fn authorization<'a>(users: impl IntoIterator<Item = &'a User>) -> String {
    let users: Vec<_> = users.into_iter().map(User::text).collect();
    format!("authorization {{\n  users = [\n{}  ]\n}}\n", users.concat())
}

/// A host as it stands in a URL.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
