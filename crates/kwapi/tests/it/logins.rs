//! Who looks at the pages, through the whole configuration and a reload of it.

use kwapi_peers::{Lab, free_port, wait_until};

use crate::harness::{Kwapi, PATIENCE, request};

/// The hashes of the tokens `physics-token` and `biology-token`.
const PHYSICS: &str = "60527ae8cf728a305487ae87bedf0b1ce4613ece6caa621df5b06ff282e9fe90";
const BIOLOGY: &str = "31d8359c2201f199cac62b675875f412dbdb3de514e862aa5b1a340fa4015862";

fn tokens(physics: &str) -> String {
    format!(
        "[[api.auth.token]]\nname = 'physics'\nsha256 = '{physics}'\nprobes = ['lyon.*']\n\
         [[api.auth.token]]\nname = 'biology'\nsha256 = '{BIOLOGY}'\n"
    )
}

/// Requests the pages as a browser does that has this cookie: status, head and body.
fn browse(kwapi: &Kwapi, path: &str, cookie: &str) -> (u16, String, String) {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    let (status, head, body) = request(kwapi.web, &head).unwrap_or_default();
    (status, head, String::from_utf8_lossy(&body).into_owned())
}

/// Logs in, and returns the answer's status and the cookie.
fn log_in(kwapi: &Kwapi, token: &str) -> (u16, String) {
    let form = format!("token={token}");
    let head = format!(
        "POST /login/ HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{form}",
        form.len()
    );
    let (status, head, _) = request(kwapi.web, &head).unwrap_or_default();
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    (status, cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_default().to_owned())
}

#[test]
fn a_login_shows_its_own_probes_and_ends_when_its_token_is_revoked_by_a_reload() {
    let lab = Lab::empty();
    let file = lab.join("tokens.toml");
    std::fs::write(&file, tokens(PHYSICS)).unwrap();
    let meter = |probe: &str| {
        format!("[[meter]]\ndriver = 'dummy'\nprobe = '{probe}'\nwatts = 40\ninterval_seconds = 0.2\n")
    };
    let toml = format!(
        "include = ['tokens.toml']\nstate_directory = '@DIR@/state'\n[status]\nlisten = '127.0.0.1:@STATUS@'\n\
         [rrd]\nlisten = '127.0.0.1:@WEB@'\n[rrd.auth]\n[api]\nlisten = '127.0.0.1:@API@'\n{}{}\
         [[meter]]\nname = 'ups of paris'\ndriver = 'nut'\nhost = '127.0.0.1:{}'\nprobe = 'paris.ups'\n",
        meter("lyon.a"),
        meter("paris.b"),
        free_port(),
    );
    let kwapi = Kwapi::start_in(lab, &["run"], &toml);
    wait_until("the pages", PATIENCE, || (browse(&kwapi, "/last/minute/", "").0 == 303).then_some(()));
    let tunnel = format!("ssh -L {0}:127.0.0.1:{0} ", kwapi.web);
    wait_until("how to look at it from elsewhere", PATIENCE, || {
        kwapi.process.log().contains(&tunnel).then_some(())
    });

    assert_eq!(log_in(&kwapi, "nonsense"), (401, String::new()));
    let (status, cookie) = log_in(&kwapi, "physics-token");
    assert_eq!(status, 303);
    wait_until("physics sees its probe", PATIENCE, || {
        let (status, _, page) = browse(&kwapi, "/last/minute/", &cookie);
        (status == 200 && page.contains("lyon.a") && !page.contains("paris")).then_some(())
    });
    assert_eq!(browse(&kwapi, "/probe/paris.b/", &cookie).0, 404);
    let (_, biology) = log_in(&kwapi, "biology-token");
    wait_until("biology sees both", PATIENCE, || {
        let (_, _, page) = browse(&kwapi, "/last/minute/", &biology);
        (page.contains("lyon.a") && page.contains("paris.b")).then_some(())
    });
    // Nobody listens where the UPS should be: who sees everything is shown that, and what to try.
    wait_until("the meter that is not read", PATIENCE, || {
        let (_, _, page) = browse(&kwapi, "/meters/", &biology);
        let expected = [
            "<strong>backoff</strong>",
            "Connection refused",
            "<code>kwapi probe &#39;ups of paris&#39;</code>",
        ];
        expected.iter().all(|expected| page.contains(expected)).then_some(())
    });
    let (status, _, page) = browse(&kwapi, "/meters/", &cookie);
    assert!(status == 200 && !page.contains("paris"), "{page}");

    std::fs::write(kwapi.file("tokens.toml"), tokens(&"0".repeat(64))).unwrap();
    wait_until("the login has ended", PATIENCE, || {
        let (status, head, _) = browse(&kwapi, "/last/minute/", &cookie);
        (status == 303 && head.contains("/login/?back=%2Flast%2Fminute%2F")).then_some(())
    });
    assert_eq!(browse(&kwapi, "/last/minute/", &biology).0, 200, "the other's stands");
    assert!(!kwapi.process.log().contains("a restart is required"), "{}", kwapi.process.log());

    let audit = std::fs::read_to_string(kwapi.file("state/audit.log")).unwrap();
    let count = |what: &str| audit.matches(what).count();
    assert_eq!(count("\"event\":\"key\",\"change\":\"present\""), 2, "{audit}");
    assert_eq!(count("\"event\":\"key\",\"change\":\"changed\",\"key\":\"token physics\""), 1, "{audit}");
    assert_eq!((count("\"event\":\"login\""), count("\"event\":\"refused\"")), (2, 1), "{audit}");
    assert!(!audit.contains("physics-token") && !audit.contains(PHYSICS), "{audit}");
}
