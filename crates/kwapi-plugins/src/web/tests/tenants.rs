//! Two tenants before the same pages: each gets the bytes of a site that has its own probes and no others.

use super::*;
use crate::auth::{Auth, AuthConfig, guarded, hash_token};

const LYON: [&str; 3] = ["lyon.web1", "lyon.web2", "lyon.db"];
const PARIS: [&str; 3] = ["paris.web1", "paris.web2", "paris.gpu"];

/// The pages of these probes, behind a token `lyon`, a token `paris` and a token that sees all.
fn site_of(probes: &[&str]) -> Router {
    let mut toml = String::new();
    for tenant in ["lyon", "paris", "operator"] {
        toml += &format!("[[token]]\nname = '{tenant}'\nsha256 = '{}'\n", hash_token(tenant));
    }
    for tenant in ["lyon", "paris"] {
        toml += &format!("[[scope]]\ntoken = '{tenant}'\nprobes = ['{tenant}.*']\n");
    }
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let fixture = Fixture::of(probes);
    let auth = Auth::new(&config, fixture.clock(), Directory::default()).unwrap();
    guarded(serve(fixture), auth, ROUTES)
}

async fn get_as(site: &Router, tenant: &str, path: &str) -> Response<Bytes> {
    send(site, "GET", path, &[("x-auth-token", tenant), ("cookie", "kwapi-chosen=lyon.web1~paris.web1")])
        .await
}

/// Every kind of page, of the tenant's own, of the other's, of both, of nobody's.
fn addresses() -> Vec<String> {
    let mut all: Vec<String> =
        ["/", "/nowhere", "/last/bogus/", "/static/design.css"].map(str::to_owned).into();
    for period in Period::ALL {
        for query in ["", "?q=web", "?show=all", "?page=2"] {
            all.push(format!("/last/{period}/{query}"));
        }
        for query in ["", "?format=svg", "?scale=2"] {
            all.push(format!("/graph/{period}/{query}"));
        }
    }
    for probe in LYON.iter().chain(&PARIS).chain(&["none", "web", "gpu"]) {
        all.extend(
            ["/probe/@/", "/probe/@", "/rrd/@/", "/graph/hour/@/"].map(|path| path.replace('@', probe)),
        );
    }
    all
}

#[tokio::test]
async fn a_tenant_gets_the_bytes_of_a_site_that_has_its_own_probes_alone() {
    let both = site_of(&[&LYON[..], &PARIS].concat());
    let own = [("lyon", site_of(&LYON)), ("paris", site_of(&PARIS))];
    let mut compared = 0;
    // Twice, turn by turn: what was made for one is not served to the other.
    for path in addresses().iter().chain(&addresses()) {
        let all = get_as(&both, "operator", path).await;
        for (tenant, alone) in &own {
            let (answer, expected) = (get_as(&both, tenant, path).await, get_as(alone, tenant, path).await);
            assert_eq!(answer.status(), expected.status(), "{path} to {tenant}");
            assert_eq!(answer.headers(), expected.headers(), "{path} to {tenant}");
            assert_eq!(answer.body(), expected.body(), "{path} to {tenant}");
            compared += usize::from(answer.body() != all.body());
        }
    }
    assert!(compared > 100, "what all see together is something else: {compared}");
}

#[tokio::test]
async fn another_s_probe_and_none_at_all_are_the_same_to_the_byte() {
    let site = site_of(&[&LYON[..], &PARIS].concat());
    for path in ["/probe/paris.@/", "/rrd/paris.@/", "/graph/day/paris.@/", "/graph/day/paris.@/?format=svg"]
    {
        let [alien, absent] = ["web1", "nope"].map(|name| path.replace('@', name));
        let (alien, absent) = (get_as(&site, "lyon", &alien).await, get_as(&site, "lyon", &absent).await);
        let text = |answer: &Response<Bytes>| String::from_utf8(answer.body().to_vec()).unwrap();
        assert_eq!(alien.status(), StatusCode::NOT_FOUND);
        assert_eq!(text(&alien), text(&absent).replace("nope", "web1"), "{path}");
        assert!(!text(&alien).contains("paris.gpu"), "{path}");
    }
    let unknown = send(&site, "GET", "/last/minute/", &[]).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
}
