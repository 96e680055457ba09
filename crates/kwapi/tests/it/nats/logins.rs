//! Logins at a NATS server that change while a service runs, and that nobody reads anywhere.

use super::*;

#[test]
fn a_password_is_changed_by_its_file_alone_and_is_in_no_log_and_no_metric() {
    if !kwapi_peers::need_python("nats") {
        return;
    }
    let lab = Lab::empty();
    let users =
        |password: &str| format!("authorization {{ users = [ {{ user: site, password: {password} }} ] }}");
    let [first, second] = ["walnut-tree-79", "cherry-tree-31"];
    let mut server = NatsServer::start(&lab, free_port(), &users(first));
    let url = server.url("power");
    let file = lab.join("nats.secret");
    let write = |password: &str| std::fs::write(&file, password).unwrap();
    write(first);
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let login = format!("[bus]\nnats = {{ user = 'site', password = {{ file = '{}' }} }}\n", file.display());
    let with = |toml: String| toml.replace("[bus]\n", &login);
    let setup = written(&lab, "setup.toml", &with(centre(&url)));
    succeeds(&["nats-setup", "-c", &setup], lab.path());
    let drivers = Kwapi::start(&["drivers"], &with(site(&url)));
    let history = Kwapi::start(&["rrd"], &with(centre(&url)));
    let services = [&drivers, &history];
    // The one by which measurements pass; a history has another beside it now and then, for present power.
    let are_up = |expected: u8| {
        let (of_stream, end) = (|line: &&str| line.starts_with("kwapi_nats_up{"), format!("}} {expected}"));
        for service in services {
            wait_until("the connection", PATIENCE, || {
                let (_, text) = get(service.status, "/metrics")?;
                let up = text.lines().filter(of_stream).find(|line| !line.contains("side=\"live\""))?;
                up.ends_with(&end).then_some(())
            });
        }
    };
    are_up(1);
    let configured = std::fs::read_to_string(lab.join("nats.conf")).unwrap();
    server.configure(&configured.replace(first, second));
    server.signal(libc::SIGHUP);
    are_up(0);
    for service in services {
        wait_until("what to do", PATIENCE, || {
            let problem = waiting(service.status)?.to_string();
            problem.contains("authentication failed; check the login in `nats`").then_some(())
        });
    }
    write(second);
    are_up(1);
    let before = metric(history.status, "kwapi_collector_messages_total{").unwrap();
    wait_until("measurements come", PATIENCE, || {
        metric(history.status, "kwapi_collector_messages_total{").filter(|count| *count > before + 20.0)
    });
    for service in services {
        let log = service.process.log();
        let mut logs = vec![log.clone()];
        logs.extend(["/metrics", "/readyz"].map(|path| get(service.status, path).unwrap().1));
        let address = format!("127.0.0.1:{}", service.status);
        logs.push(run(&["status", "--json", "--address", &address], lab.path()).1);
        for text in logs {
            assert!(
                !text.is_empty() && ![first, second].iter().any(|secret| text.contains(secret)),
                "{text}"
            );
        }
        assert!(!log.contains("restart is required"), "{log}");
    }
}
