//! Limits and rights of an account, changed by a reload of the server's configuration while both ends run: what is
//! reported, that each end recovers by itself, and that nothing is lost that was published.

use kwapi_core::Secret;

use super::*;

/// More messages than any limit of storage here takes.
const COUNT: u64 = 2_000;
const STORAGE: &str = "jetstream: { max_file: 100MB }";

fn login(user: &str) -> NatsConfig {
    NatsConfig { user: Some(user.to_owned()), password: Some(Secret::new("sesame")), ..NatsConfig::default() }
}

/// An account with these tables, for a site and a centre with these rights.
fn account(tables: &str, site: &str, centre: &str) -> String {
    let user = |name: &str, rights: &str| {
        let rights = if rights.is_empty() { String::new() } else { format!(", permissions: {{ {rights} }}") };
        format!("{{ user: {name}, password: sesame{rights} }}")
    };
    let users = [user("setup", ""), user("site", site), user("centre", centre)].join(", ");
    format!("accounts {{ A: {{ {tables}, users: [ {users} ] }} }}")
}

/// A server with an account, and the two ends of its stream.
struct Account {
    world: World,
    configuration: String,
}

impl Account {
    async fn new(tables: &str) -> Self {
        let configuration = account(tables, "", "");
        let mut world = World::without_stream(&configuration, login("setup"));
        world.make_stream().await;
        world.make_consumer(ConsumerBegin::Now).await;
        world.config = login("centre");
        Self { world, configuration }
    }

    fn site(&self) -> Publisher {
        let endpoint = EndpointConfig { nats: login("site"), ..self.world.endpoint() };
        publisher(&self.world.context, Scheme::Kwapi1, endpoint)
    }

    /// The server reads another configuration, as it runs.
    fn reload(&mut self, configuration: String) {
        let file = std::fs::read_to_string(self.world.lab.join("nats.conf")).expect("its configuration");
        self.world.server.configure(&file.replace(&self.configuration, &configuration));
        let reloads = || {
            let log = std::fs::read_to_string(self.world.lab.join("nats.log")).unwrap_or_default();
            log.matches("Reloaded server configuration").count()
        };
        let before = reloads();
        self.world.server.signal(libc::SIGHUP);
        wait_until("the configuration is read again", LIMIT, || (reloads() > before).then_some(()));
        self.configuration = configuration;
    }
}

/// An account with these tables, whose users may do all.
fn with(tables: &str) -> String {
    account(tables, "", "")
}

fn publish(site: &Publisher, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| site.publish(measurement("a", number)));
}

/// Waits until a link reports something with `words` in it, in whatever case the server writes them.
fn reported(words: &str, links: impl Fn() -> Vec<NatsLink>) -> String {
    let has = |problem: &String| problem.to_lowercase().contains(&words.to_lowercase());
    wait_until(words, 2 * LIMIT, || link(links()).problem.filter(has))
}

/// Waits until the history has all numbers, whatever came twice.
async fn take(history: &Subscriber, numbers: std::ops::Range<u64>) {
    let mut all: Vec<u64> = Vec::new();
    while (all.len() as u64) < numbers.end - numbers.start {
        let (received, acks) = receive(history, 1).await;
        acks.into_iter().for_each(Ack::confirm);
        all.extend(received.iter().filter(|number| numbers.contains(number)));
        all.sort_unstable();
        all.dedup();
    }
    assert_eq!(all, numbers.collect::<Vec<_>>());
}

/// Waits until both ends work, and all of it is acknowledged: what was not confirmed in time is stored, and received, twice.
async fn well(account: &Account, site: &Publisher, history: &Subscriber) {
    wait_until("both ends work", LIMIT, || {
        let problems = [link(site.nats_links()).problem, link(history.nats_links()).problem];
        problems.iter().all(Option::is_none).then_some(())
    });
    let url = &account.world.url;
    let mut stranger =
        Stranger::log_in(url.trim_start_matches("nats://").trim_end_matches("/power"), "setup", "sesame");
    let begun = Instant::now();
    loop {
        let info = stranger.request("$JS.API.CONSUMER.INFO.power.centre", b"");
        if info["num_pending"] == 0 && info["num_ack_pending"] == 0 {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "{info}");
        if let Ok(Some((_, ack))) = timeout(Duration::from_millis(100), history.recv()).await {
            ack.confirm();
        }
    }
    assert_eq!(link(site.nats_links()).dropped, 0);
}

#[tokio::test]
async fn storage_of_an_account_that_is_used_up_is_reported_and_used_again_when_there_is_more() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut account = Account::new("jetstream: { max_file: 100KB }").await;
    let site = account.site();
    publish(&site, 0..COUNT);
    let problem = reported("resource limits exceeded for account", || site.nats_links());
    assert!(problem.contains("raise the limits of the account at the server"), "{problem}");
    account.reload(with(STORAGE));
    let history = account.world.history();
    take(&history, 0..COUNT).await;
    well(&account, &site, &history).await;
}

#[tokio::test]
async fn streams_and_consumers_beyond_those_of_an_account_are_refused_with_the_limit_to_raise() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut account = Account::new("jetstream: { max_file: 100MB, max_streams: 1, max_consumers: 1 }").await;
    let other =
        EndpointConfig { nats: login("setup"), ..EndpointConfig::new(account.world.server.url("other")) };
    let limits = StreamLimits { replicas: 1, bytes_max: None, age_max: Duration::from_secs(86_400) };
    let mut setup = NatsSetup::connect(&other).await.expect("a server");
    let refused = setup.stream(limits, &[], now()).await.expect_err("one stream").to_string();
    assert!(
        refused.contains("maximum number of streams reached; raise the limits of the account"),
        "{refused}"
    );
    let source = account.world.source(Some("second"));
    let history = subscriber(&account.world.context, vec![source], &["*"]);
    let problem = reported("maximum consumers limit reached", || history.nats_links());
    assert!(problem.contains("raise `max_consumers` of the account"), "{problem}");
    account.reload(with(STORAGE));
    wait_until("the consumer", LIMIT, || link(history.nats_links()).problem.is_none().then_some(()));
    let site = account.site();
    publish(&site, 0..10);
    take(&history, 0..10).await;
}

#[tokio::test]
async fn connections_beyond_those_of_an_account_are_reported_and_made_when_there_may_be_more() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut account = Account::new(STORAGE).await;
    let site = account.site();
    publish(&site, 0..10);
    stored(&site, 10);
    account.reload(with(&format!("{STORAGE}, limits: {{ max_connections: 1 }}")));
    let history = account.world.history();
    let problem = reported("connections exceeded", || {
        let mut links = [history.nats_links(), site.nats_links()].concat();
        links.retain(|link| link.problem.is_some());
        if links.is_empty() { site.nats_links() } else { links }
    });
    assert!(problem.ends_with("raise `max_connections` of the server or the account"), "{problem}");
    publish(&site, 10..100);
    account.reload(with(STORAGE));
    take(&history, 0..100).await;
    well(&account, &site, &history).await;
}

#[tokio::test]
async fn a_message_beyond_the_payload_of_an_account_is_given_up_and_others_pass() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut account = Account::new(STORAGE).await;
    let (site, history) = (account.site(), account.world.history());
    publish(&site, 0..10);
    take(&history, 0..10).await;
    // The server reports the limit of the whole server before a login, and that of the account after it.
    account.reload(with(&format!("{STORAGE}, limits: {{ max_payload: 420 }}")));
    site.publish(measurement(&"long".repeat(50), 10));
    publish(&site, 11..20);
    take(&history, 11..20).await;
    wait_until("it is given up", LIMIT, || (link(site.nats_links()).rejected == 1).then_some(()));
    well(&account, &site, &history).await;
}

#[tokio::test]
async fn rights_that_are_withdrawn_from_who_is_connected_are_reported_and_used_when_they_are_back() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut account = Account::new(STORAGE).await;
    let (site, history) = (account.site(), account.world.history());
    publish(&site, 0..10);
    take(&history, 0..10).await;
    let mut next = 10;
    for (of_site, of_centre, words) in [
        ("publish: { deny: \"power.>\" }", "", "violation for publish to \"power.a\""),
        ("subscribe: { deny: \"_INBOX.>\" }", "", "violation for subscription to \"_INBOX."),
        ("", "publish: { deny: \"$JS.API.CONSUMER.MSG.NEXT.>\" }", "violation for publish to \"$JS.API"),
        ("", "publish: { deny: \"$JS.ACK.>\" }", "violation for publish to \"$JS.ACK"),
        ("", "subscribe: { deny: \"_INBOX.>\" }", "violation for subscription to \"_INBOX."),
    ] {
        account.reload(self::account(STORAGE, of_site, of_centre));
        publish(&site, next..next + 100);
        let links = || if of_site.is_empty() { history.nats_links() } else { site.nats_links() };
        // Where it may not acknowledge, it is refused once it has something to acknowledge.
        if words.contains("ACK") {
            take(&history, next..next + 100).await;
        }
        reported(words, links);
        account.reload(with(STORAGE));
        if !words.contains("ACK") {
            take(&history, next..next + 100).await;
        }
        well(&account, &site, &history).await;
        next += 100;
    }
}

#[tokio::test]
async fn an_account_that_is_deleted_is_reported_at_both_ends_and_used_when_it_is_back() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let mut account = Account::new(STORAGE).await;
    let (site, history) = (account.site(), account.world.history());
    publish(&site, 0..10);
    take(&history, 0..10).await;
    account.reload("accounts { B: { users: [ { user: other, password: sesame } ] } }".to_owned());
    publish(&site, 10..100);
    reported("authentication failed; check the login in `nats`", || site.nats_links());
    reported("authentication failed; check the login in `nats`", || history.nats_links());
    // nats-server 2.14 finds the streams of an account that comes back when it is started again.
    account.reload(with(STORAGE));
    account.world.server.restart();
    take(&history, 10..100).await;
    well(&account, &site, &history).await;
}
