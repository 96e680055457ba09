use kwapi_core::{ProbeId, Timestamp};

use super::super::keystone::Project;
use super::*;
use crate::directory::ConfiguredProbes;

/// Lyon's machines are those of physics.
fn directory() -> Directory {
    Directory::new(ConfiguredProbes::new(
        |probe| {
            let department = if probe.is_within("lyon") { "physics" } else { "biology" };
            [("department".to_owned(), department.to_owned())].into()
        },
        [],
    ))
}

/// The scopes of `[[scope]]` entries, with the roles that see all as they are by default.
fn scopes(toml: &str) -> Scopes {
    let config: super::super::AuthConfig = toml::from_str(toml).unwrap();
    Scopes::new(&config.see_all, &config.scopes, &directory())
}

fn identity(roles: &[&str], project: Option<Project>) -> Identity {
    Identity {
        user_id: "u".to_owned(),
        user_name: None,
        project,
        domain_id: None,
        is_system: false,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        expires_at: Timestamp::EPOCH,
        access_rules: None,
        services: Vec::new(),
    }
}

fn project(id: &str, name: &str, domain_id: &str, domain_name: &str) -> Project {
    Project {
        id: id.to_owned(),
        name: Some(name.to_owned()),
        domain_id: Some(domain_id.to_owned()),
        domain_name: Some(domain_name.to_owned()),
    }
}

#[track_caller]
fn check(scope: &Scope, expected: &str) {
    let seen = ["lyon.a", "lyon.b", "paris.a"].into_iter();
    let seen: Vec<_> = seen.filter(|id| scope.allows(&ProbeId::new(id).unwrap())).collect();
    assert_eq!(seen.join(" "), expected);
}

const ALL: &str = "lyon.a lyon.b paris.a";

#[test]
fn where_there_are_none_the_policy_alone_decides() {
    let none = scopes("");
    check(&none.of_identity(&identity(&["member"], Some(project("1", "demo", "default", "Default")))), ALL);
    check(&none.of_identity(&identity(&[], None)), ALL);
    check(&none.of_token("n", &[], &Scope::All), ALL);
    let own = Scope::of_patterns(&[Pattern::new("paris.*").unwrap()]);
    check(&none.of_token("n", &[], &own), "paris.a");
}

#[test]
fn a_project_is_known_by_its_id_or_by_its_name_in_its_domain() {
    let all = scopes(
        "[[scope]]\nproject_id = '1'\nprobes = ['lyon.a']\n\
         [[scope]]\nproject_name = 'demo'\nprobes = ['lyon.b']\n\
         [[scope]]\nproject_name = 'demo'\nproject_domain_name = 'Science'\nprobes = ['paris.a']\n\
         [[scope]]\nproject_name = 'demo'\nproject_domain_id = 'd2'\nprobes = ['lyon.*']",
    );
    let of = |project| all.of_identity(&identity(&["member"], project));
    check(&of(Some(project("1", "x", "default", "Default"))), "lyon.a");
    check(&of(Some(project("2", "demo", "default", "Default"))), "lyon.b");
    check(&of(Some(project("1", "demo", "default", "Default"))), "lyon.a lyon.b");
    check(&of(Some(project("3", "demo", "d1", "Science"))), "paris.a");
    check(&of(Some(project("3", "demo", "d2", "Other"))), "lyon.a lyon.b");
    check(&of(Some(project("3", "demo", "d3", "Other"))), "");
    check(&of(Some(project("demo", "1", "default", "Default"))), "");
    check(&of(Some(Project { id: "4".to_owned(), ..Project::default() })), "");
}

#[test]
fn where_there_are_some_who_has_none_sees_nothing_but_by_a_role_that_sees_all() {
    let lyon = "[[scope]]\nproject_id = '1'\nprobes = ['lyon.*']\n";
    let by_default = scopes(lyon);
    let of = |scopes: &Scopes, roles: &[&str]| {
        scopes.of_identity(&identity(roles, Some(project("2", "x", "default", "Default"))))
    };
    check(&of(&by_default, &["member"]), "");
    check(&of(&by_default, &["member", "Admin"]), ALL);
    check(&of(&by_default, &["service"]), ALL);
    check(&by_default.of_identity(&identity(&["member"], None)), "");
    check(&by_default.of_identity(&identity(&["admin"], None)), ALL);
    let named = scopes(&format!("see_all = ['telemetry']\n{lyon}"));
    check(&of(&named, &["admin"]), "");
    check(&of(&named, &["telemetry"]), ALL);
}

#[test]
fn a_token_that_a_scope_names_sees_that_and_no_more_whatever_its_roles() {
    let all = scopes("[[scope]]\ntoken = 'physics'\nlabels = { department = 'physics' }");
    let admin = ["admin".to_owned()];
    let of = |name, roles: &[String], own: &Scope| all.of_token(name, roles, own);
    check(&of("physics", &admin, &Scope::All), "lyon.a lyon.b");
    let own = Scope::of_patterns(&["lyon.b", "paris.a"].map(|pattern| Pattern::new(pattern).unwrap()));
    check(&of("physics", &admin, &own), "lyon.b");
    check(&of("other", &admin, &own), "lyon.b paris.a");
    check(&of("other", &admin, &Scope::All), ALL);
    check(&of("other", &["reader".to_owned()], &Scope::All), "");
}
