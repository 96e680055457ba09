use serde_json::{Value, json};

use super::super::router;
use super::super::tests::{Answer, Stand, request};
use super::*;
use crate::auth::{Auth, AuthConfig, hash_token};

/// A rack with a meter above two machines, and a machine elsewhere, each with energy.
fn stand() -> Stand {
    let stand = Stand::new();
    for (probe, watts) in [("lyon.r3", 100_u32), ("lyon.r3.a", 30), ("lyon.r3.b", 40), ("lyon.x", 7)] {
        stand.receive(probe, 0, f64::from(watts), 0);
        stand.receive(probe, 1, f64::from(watts), u64::from(watts));
    }
    stand
}

async fn get(stand: &Stand, path: &str) -> Answer {
    request(router(stand.api.clone(), None, None), "GET", path, &[]).await
}

async fn get_json(stand: &Stand, path: &str) -> Value {
    let answer = get(stand, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[tokio::test]
async fn every_prefix_of_a_path_is_listed_a_page_at_a_time() {
    let stand = stand();
    let all = get_json(&stand, "/v2/groups/").await;
    let rack = json!({
        "group": "lyon.r3", "timestamp": 1_795_393_618, "watts": 100.0, "known_share": 1.0, "probes": 3,
        "reporting": 3, "meter": "lyon.r3", "rest_watts": 30.0
    });
    let names = |list: &Value| -> Vec<String> {
        list["groups"].as_array().unwrap().iter().map(|of| of["group"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (names(&all), &all["groups"][2], &all["next"]),
        (vec!["C".into(), "lyon".into(), "lyon.r3".into()], &rack, &Value::Null)
    );
    assert_eq!(all["groups"][1]["watts"], 107.0);
    let first = get_json(&stand, "/v2/groups/?limit=2").await;
    assert_eq!((names(&first).len(), first["next"].as_str().unwrap()), (2, "/v2/groups/?limit=2&after=lyon"));
    assert_eq!(names(&get_json(&stand, first["next"].as_str().unwrap()).await), ["lyon.r3"]);
    assert_eq!(names(&get_json(&stand, "/v2/groups/?pattern=lyon.*").await), ["lyon.r3"]);
    assert_eq!(get(&stand, "/v2/groups/?limit=0").await.status, 400);
}

#[tokio::test]
async fn a_group_has_its_power_its_rests_and_the_energy_that_v2_energy_reports() {
    let stand = stand();
    let query = "start=1795393617.857&end=now";
    let group = get_json(&stand, &format!("/v2/groups/lyon.r3/?{query}")).await;
    let energy = get_json(&stand, &format!("/v2/energy?group=lyon.r3&{query}")).await;
    assert_eq!(
        (&group["energy"], &group["watts"], &group["rest_watts"]),
        (&energy, &json!(100.0), &json!(30.0))
    );
    assert_eq!(group["rests"]["position"], energy["position"]);
    let [rest] = &group["rests"]["meters"].as_array().unwrap()[..] else { panic!("{group:#}") };
    assert_eq!(
        (&rest["meter"], &rest["probes_below"], &rest["finding"]),
        (&json!("lyon.r3"), &json!(2), &Value::Null)
    );
    let number = |name: &str| rest[name].as_f64().unwrap();
    assert!((number("joules") - number("below_joules") - number("rest_joules")).abs() < 1e-9, "{rest}");
    assert_eq!(number("joules"), energy["energy"][0]["rows"][0]["joules"].as_f64().unwrap());
    // In steps, and as a table, it is the same answer too.
    for format in ["json", "csv"] {
        let query = format!("{query}&step=1&zone=Europe/Paris&format={format}");
        let group = get(&stand, &format!("/v2/groups/lyon/?{query}")).await;
        let energy = get(&stand, &format!("/v2/energy?group=lyon&{query}")).await;
        assert!(group.body.contains(energy.body.trim()), "{}", group.body);
        let header = |name: &str| (group.header(name).to_owned(), energy.header(name).to_owned());
        for (ours, theirs) in [header("content-type"), header("kwapi-position")] {
            assert_eq!(ours, theirs);
        }
    }
}

#[tokio::test]
async fn what_is_no_group_or_no_question_is_reported() {
    let stand = stand();
    for (path, status, message) in [
        // A machine alone is no group, nor is a piece of a name.
        ("lyon.x/", 404, "There is no group \\\"lyon.x\\\"."),
        ("lyo/", 404, "There is no group \\\"lyo\\\"."),
        ("lyon/?by=total", 400, "Unknown parameter \\\"by\\\"; available: start, end, step, zone, format."),
        ("lyon/?probe=lyon.x", 400, "Unknown parameter \\\"probe\\\""),
        ("lyon/?start=5&end=4", 400, "The end must be after the start"),
        ("lyon/?start=1&step=1", 400, "values requested"),
    ] {
        let answer = get(&stand, &format!("/v2/groups/{path}")).await;
        assert!(
            answer.status == status && answer.body.contains(message),
            "{path}: {} {}",
            answer.status,
            answer.body
        );
    }
    assert_eq!(get(&stand, "/v2/groups/lyon").await.header("location"), "/v2/groups/lyon/");
}

#[tokio::test]
async fn without_a_ledger_there_is_power_and_no_energy() {
    let stand = stand();
    let api = Api::new(stand.directory.clone());
    let answer = async |path: &str| request(router(api.clone(), None, None), "GET", path, &[]).await;
    let group: Value = serde_json::from_str(&answer("/v2/groups/lyon/").await.body).unwrap();
    assert_eq!((&group["watts"], &group["energy"]), (&json!(107.0), &Value::Null));
    assert_eq!(answer("/v2/groups/lyon/?format=csv").await.status, 501);
    assert_eq!(answer("/v2/groups/paris/").await.status, 404);
}

#[tokio::test]
async fn a_group_that_is_partly_another_s_is_no_group_at_all() {
    let stand = stand();
    let toml = format!(
        "[[token]]\nname = 'part'\nsha256 = '{}'\nprobes = ['lyon.r3.a', 'lyon.x']\n\
         [[token]]\nname = 'rack'\nsha256 = '{}'\nprobes = ['lyon.r3', 'lyon.r3.*']\n",
        hash_token("part"),
        hash_token("rack"),
    );
    let config: AuthConfig = toml::from_str(&toml).unwrap();
    let wall = kwapi_core::WallClock::new(|| kwapi_core::Timestamp::EPOCH);
    let auth = Auth::new(&config, wall, stand.directory.clone()).unwrap();
    let router = router(stand.api.clone(), Some(auth), None);
    let as_of = async |token: &str, path: &str| {
        request(router.clone(), "GET", path, &[("x-auth-token", token)]).await
    };
    for path in ["/v2/groups/?x=", "/v2/energy?by=group"] {
        let part = as_of("part", path).await;
        assert!(part.status == 200 && !part.body.contains("lyon"), "{path}: {}", part.body);
        let rack = as_of("rack", path).await;
        assert!(
            rack.body.contains("\"lyon.r3\"") && !rack.body.contains("\"lyon\""),
            "{path}: {}",
            rack.body
        );
    }
    for path in ["/v2/groups/lyon.r3/", "/v2/energy?group=lyon.r3"] {
        let (alien, absent) = (as_of("part", path).await, as_of("part", &path.replace("r3", "r9")).await);
        assert_eq!((alien.status, &alien.headers), (404, &absent.headers), "{path}");
        assert_eq!(alien.body, absent.body.replace("r9", "r3"), "{path}");
        assert_eq!(as_of("rack", path).await.status, 200, "{path}");
    }
    // To choose probes by their path is another thing: that is answered of the caller's own.
    let own = as_of("part", "/v2/energy?group=lyon&by=total").await;
    assert!(own.body.contains("\"probes\":2"), "{}", own.body);
    // Who does not see everything gets no position.
    let rack: Value = serde_json::from_str(&as_of("rack", "/v2/groups/lyon.r3/").await.body).unwrap();
    assert_eq!((&rack["rests"]["position"], &rack["energy"]["position"]), (&Value::Null, &Value::Null));
}
