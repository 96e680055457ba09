//! Tokens of a real Keystone, judged as keystonemiddleware's clients expect.

use std::time::Duration;

use kwapi_plugins::audit::AuditLog;
use kwapi_plugins::auth::{Auth, AuthConfig, LoginConfig, Logins};
use kwapi_plugins::directory::Directory;
use kwapi_plugins::http::{Hosts, Listen, Listener, Seats};
use kwapi_plugins::web;
use serde_json::{Value, json};

use crate::cloud::{Cloud, by_password};
use crate::stand::{Stand, wall};

/// How long tokens live that a test waits to see expire.
const TOKEN_SECONDS: u32 = 15;

/// Our side of Keystone, as an operator configures it.
pub(crate) fn auth(cloud: &Cloud) -> Auth {
    auth_with(cloud, "", "")
}

/// The same, with more of `[api.auth]` before and after the table of Keystone.
fn auth_with(cloud: &Cloud, before: &str, after: &str) -> Auth {
    let password_file = cloud.keystone.lab.join("password");
    std::fs::write(&password_file, "kwapipw\n").unwrap();
    let toml = format!(
        "{before}\n[keystone]\nurl = '{}'\nusername = 'kwapi'\npassword_file = '{}'\n\
         cache_seconds = 2\nrefusal_cache_seconds = 1\ntimeout_seconds = 10\n{after}",
        cloud.url(""),
        password_file.display(),
    );
    Auth::new(&toml::from_str::<AuthConfig>(&toml).unwrap(), wall(), Directory::default()).unwrap()
}

struct Reader<'a> {
    cloud: &'a Cloud,
    stand: &'a Stand,
}

impl Reader<'_> {
    /// The status of a GET with these headers.
    async fn status(&self, path: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = self.cloud.http.get(self.stand.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    async fn with(&self, token: &str) -> u16 {
        self.status("/v1/probes/", &[("x-auth-token", token)]).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_of_a_real_keystone_are_distinguished() {
    if !kwapi_peers::need_python("keystone") {
        return;
    }
    let mut cloud = tokio::task::block_in_place(|| Cloud::start(1));
    let auth = auth(&cloud);
    let stand = Stand::start(0, Some(auth.clone()));
    stand.receive("A", 97.0, 3_600_000);

    {
        let reader = Reader { cloud: &cloud, stand: &stand };
        none_and_bad_ones(&reader).await;
        valid_ones(&reader, &auth).await;
        revoked_unscoped_and_wrong_role(&reader).await;
        access_rules(&reader).await;
        scopes_of_projects(&cloud).await;
        people_log_in(&cloud).await;
    }
    stopped_and_started(&mut cloud, &stand).await;
    // From here on Keystone's tokens are short-lived, our own included.
    let stand = Stand::start(0, Some(self::auth(&cloud)));
    expired(&Reader { cloud: &cloud, stand: &stand }).await;
}

async fn none_and_bad_ones(reader: &Reader<'_>) {
    let answer = reader.cloud.http.get(reader.stand.url("/v1/probes/")).send().await.unwrap();
    let challenge = format!("Keystone uri=\"{}\"", reader.cloud.url(""));
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["www-authenticate"].to_str().unwrap()),
        (401, &*challenge)
    );
    let body: Value = answer.json().await.unwrap();
    let message = "The request you have made requires authentication.";
    assert_eq!(body, json!({ "error": { "code": 401, "title": "Unauthorized", "message": message } }));
    assert_eq!(reader.with("gAAAAA-not-a-token").await, 401);
    assert_eq!(
        reader.status("/v1/probes/", &[("x-roles", "admin"), ("x-identity-status", "Confirmed")]).await,
        401
    );
}

async fn valid_ones(reader: &Reader<'_>, auth: &Auth) {
    let token = reader.cloud.token("ceilometer", "ceilpw", "service").await;
    let before = auth.keystone_requests();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = reader.cloud.http.get(reader.stand.url("/v1/probes/")).header("x-auth-token", &token);
        all.spawn(async { request.send().await.unwrap().status().as_u16() });
    }
    assert_eq!(all.join_all().await, [200; 20]);
    assert_eq!(auth.keystone_requests() - before, 1, "one queries, all get the answer");
    assert_eq!(reader.status("/v1/probes/", &[("x-storage-token", &token)]).await, 200);
    assert_eq!(reader.status("/v1/probes/A/w/", &[("authorization", &format!("Bearer {token}"))]).await, 200);
    let system = json!({ "system": { "all": true } });
    let (system, _) = reader.cloud.authenticate(by_password("admin", "adminpw"), Some(system)).await;
    assert_eq!(reader.with(&system).await, 200);
}

async fn revoked_unscoped_and_wrong_role(reader: &Reader<'_>) {
    let token = reader.cloud.token("ceilometer", "ceilpw", "service").await;
    assert_eq!(reader.with(&token).await, 200);
    let revoke = reader.cloud.http.delete(reader.cloud.url("/auth/tokens"));
    let revoke = revoke.header("x-auth-token", &token).header("x-subject-token", &token);
    assert_eq!(revoke.send().await.unwrap().status().as_u16(), 204);
    let mut status = 200;
    for _ in 0..60 {
        status = reader.with(&token).await; // Trusted for at most the 2 s of the cache.
        if status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 401);

    let (unscoped, _) = reader.cloud.authenticate(by_password("demo", "demopw"), None).await;
    assert_eq!(reader.with(&unscoped).await, 403);
    let member = reader.cloud.token("demo", "demopw", "demo").await;
    assert_eq!(reader.with(&member).await, 403);
    let headers = [("x-auth-token", member.as_str()), ("x-roles", "admin")];
    assert_eq!(reader.status("/v1/probes/", &headers).await, 403);
}

async fn access_rules(reader: &Reader<'_>) {
    let scope = json!({ "project": { "name": "service", "domain": { "id": "default" } } });
    let (token, body) = reader.cloud.authenticate(by_password("ceilometer", "ceilpw"), Some(scope)).await;
    let user = body["token"]["user"]["id"].as_str().unwrap();
    let url = reader.cloud.url(&format!("/users/{user}/application_credentials"));
    let restricted = async |name: &str, service: &str| {
        let rules = json!([{ "service": service, "method": "GET", "path": "/v1/probes/**" }]);
        let credential = json!({ "application_credential": { "name": name, "access_rules": rules } });
        let request = reader.cloud.http.post(&url).header("x-auth-token", &token).json(&credential);
        let made: Value = request.send().await.unwrap().json().await.unwrap();
        let made = &made["application_credential"];
        let identity = json!({
            "methods": ["application_credential"],
            "application_credential": { "id": made["id"], "secret": made["secret"] }
        });
        reader.cloud.authenticate(identity, None).await.0
    };
    let for_another_service = restricted("clerk", "identity").await;
    assert_eq!(reader.with(&for_another_service).await, 401);
    let restricted = restricted("poller", "energy").await;
    assert_eq!(reader.with(&restricted).await, 200);
    assert_eq!(reader.status("/v1/probes/A/", &[("x-auth-token", &restricted)]).await, 200);
    assert_eq!(reader.status("/v1/probe-ids/", &[("x-auth-token", &restricted)]).await, 401);
}

/// A project by its name, then by the id that Keystone gave it; Ceilometer sees all by its role.
async fn scopes_of_projects(cloud: &Cloud) {
    let policy = cloud.keystone.lab.join("policy.yaml");
    std::fs::write(&policy, "\"kwapi:read\": \"role:admin or role:member\"\n").unwrap();
    let before = format!("policy_file = '{}'", policy.display());
    let scope = json!({ "project": { "name": "demo", "domain": { "id": "default" } } });
    let (member, body) = cloud.authenticate(by_password("demo", "demopw"), Some(scope)).await;
    let id = body["token"]["project"]["id"].as_str().unwrap();
    let ceilometer = cloud.token("ceilometer", "ceilpw", "service").await;
    for (whose, seen) in [
        ("project_name = 'demo'".to_owned(), true),
        ("project_name = 'demo'\nproject_domain_name = 'Default'".to_owned(), true),
        (format!("project_id = '{id}'"), true),
        ("project_id = 'demo'".to_owned(), false),
        ("project_name = 'demo'\nproject_domain_id = 'other'".to_owned(), false),
    ] {
        let auth = auth_with(cloud, &before, &format!("[[scope]]\n{whose}\nprobes = ['lyon.*']"));
        let stand = Stand::start(0, Some(auth));
        for probe in ["A", "lyon.a"] {
            stand.receive(probe, 97.0, 3_600_000);
        }
        let reader = Reader { cloud, stand: &stand };
        let of_member = [("x-auth-token", member.as_str())];
        let answers = ["/v1/probes/", "/v1/probes/lyon.a/", "/v1/probes/A/"];
        let mut statuses = Vec::new();
        for path in answers {
            statuses.push(reader.status(path, &of_member).await);
        }
        assert_eq!(statuses, [200, if seen { 200 } else { 404 }, 404], "{whose}");
        assert_eq!(reader.status("/v1/probes/A/", &[("x-auth-token", &ceilometer)]).await, 200, "{whose}");
    }
}

/// The pages, of which people see what their project is mapped to.
struct Pages {
    url: String,
    http: reqwest::Client,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Pages {
    fn start(cloud: &Cloud) -> Self {
        let before = format!("policy_file = '{}'", cloud.keystone.lab.join("policy.yaml").display());
        let auth = auth_with(cloud, &before, "[[scope]]\nproject_name = 'demo'\nprobes = ['lyon.*']");
        let audit = AuditLog::new(cloud.keystone.lab.join("audit.log"), wall());
        let logins = Logins::new(&LoginConfig::default(), auth, audit).unwrap();
        let router = web::router(Directory::default(), web::Settings::default(), wall(), Some(logins));
        let listen = Listen {
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            connections_max: 100,
            seats: Seats::new(100),
            hosts: Hosts::Any,
            access_log: false,
            routes: web::ROUTES,
        };
        let listener = Listener::bind(&listen).unwrap();
        let url = format!("http://{}", listener.address());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(listener.serve(router, async { _ = stopped.await }));
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        Self { url, http: client.tls_certs_only([]).build().unwrap(), _stop: stop }
    }

    /// Sends the form: the status, the cookie of a login, and the page.
    async fn log_in(&self, form: &str) -> (u16, String, String) {
        let request = self.http.post(format!("{}/login/", self.url)).body(form.to_owned());
        let answer = request.send().await.unwrap();
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
        let cookie = cookie.unwrap_or_default().split(';').next().unwrap().to_owned();
        (answer.status().as_u16(), cookie, answer.text().await.unwrap())
    }

    async fn look(&self, cookie: &str) -> (u16, String) {
        let request = self.http.get(format!("{}/last/minute/", self.url));
        let answer = request.header("cookie", cookie).header("accept", "text/html").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// With name and password; a user who is disabled at Keystone is logged out.
async fn people_log_in(cloud: &Cloud) {
    let pages = Pages::start(cloud);
    for (form, status, words) in [
        ("user=demo&password=wrong", 401, "This user name and password do not match."),
        ("user=nobody&password=demopw", 401, "This user name and password do not match."),
        ("user=demo&password=demopw&domain=Elsewhere", 401, "This user name and password do not match."),
        ("user=demo&password=demopw&project=other", 422, "Which project? demo"),
        ("token=nonsense", 401, "This token is not known, or has ended."),
    ] {
        let (actual, cookie, page) = pages.log_in(form).await;
        assert!(actual == status && cookie.is_empty() && page.contains(words), "{form}: {actual} {page}");
        assert!(!page.contains("demopw"), "{page}");
    }
    for form in [
        "user=demo&password=demopw",
        "user=demo&password=demopw&domain=Default&project=demo",
        &format!("token={}", cloud.token("demo", "demopw", "demo").await),
    ] {
        let (status, cookie, page) = pages.log_in(form).await;
        assert_eq!(status, 303, "{form}: {page}");
        let (status, page) = pages.look(&cookie).await;
        assert!(status == 200 && page.contains("demo (demo)"), "{form}: {status} {page}");
    }
    let (_, cookie, _) = pages.log_in("user=demo&password=demopw").await;
    let admin = json!({ "project": { "name": "admin", "domain": { "id": "default" } } });
    let (admin, _) = cloud.authenticate(by_password("admin", "adminpw"), Some(admin)).await;
    let (_, body) = cloud.authenticate(by_password("demo", "demopw"), None).await;
    let user = cloud.url(&format!("/users/{}", body["token"]["user"]["id"].as_str().unwrap()));
    let enable = async |enabled: bool| {
        let change = json!({ "user": { "enabled": enabled } });
        let request = cloud.http.patch(&user).header("x-auth-token", &admin).json(&change);
        assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    };
    enable(false).await;
    let mut status = 200;
    for _ in 0..60 {
        status = pages.look(&cookie).await.0; // Trusted for at most the 2 s of the cache.
        if status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 303, "to the login");
    enable(true).await;
    assert_eq!(pages.look(&cookie).await.0, 303, "it has ended for good");
    let log = std::fs::read_to_string(cloud.keystone.lab.join("audit.log")).unwrap();
    assert!(log.contains("\"who\":\"demo (demo)\"") && !log.contains("demopw"), "{log}");
}

async fn stopped_and_started(cloud: &mut Cloud, stand: &Stand) {
    let remembered = cloud.token("ceilometer", "ceilpw", "service").await;
    let unknown = cloud.token("ceilometer", "ceilpw", "service").await;
    assert_eq!(Reader { cloud, stand }.with(&remembered).await, 200);
    cloud.keystone.stop();
    let reader = Reader { cloud, stand };
    assert_eq!(reader.with(&remembered).await, 200);
    assert_eq!(reader.with(&unknown).await, 503, "never 401: the token may be good");
    cloud.keystone.token_seconds = TOKEN_SECONDS;
    tokio::task::block_in_place(|| cloud.keystone.resume());
    assert_eq!(Reader { cloud, stand }.with(&unknown).await, 200);
}

/// Both the caller's token and our own expire: his is refused, ours is replaced.
async fn expired(reader: &Reader<'_>) {
    let old = reader.cloud.token("ceilometer", "ceilpw", "service").await;
    let old = old.as_str();
    let mut status = reader.with(old).await;
    assert_eq!(status, 200);
    for _ in 0..u64::from(TOKEN_SECONDS) * 10 {
        status = reader.with(old).await;
        if status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 401);
    let new = reader.cloud.token("ceilometer", "ceilpw", "service").await;
    assert_eq!(reader.with(&new).await, 200);

    let service = reader.cloud.token("kwapi", "kwapipw", "service").await;
    let headers = [("x-auth-token", old), ("x-service-token", service.as_str())];
    assert_eq!(reader.status("/v1/probes/", &headers).await, 200, "a service may finish what a user began");
    let no_service = reader.cloud.token("demo", "demopw", "demo").await;
    let headers = [("x-auth-token", new.as_str()), ("x-service-token", no_service.as_str())];
    assert_eq!(reader.status("/v1/probes/", &headers).await, 401);
}
