//! The Debian package in a Debian of its own: installed, started with an older version's state, upgraded, removed, purged.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kwapi_peers::{Lab, Peer, free_port, need, output, skip, wait_until};
use serde_json::Value;

use crate::harness::{PATIENCE, get};
use crate::upgrade::copy;

mod booted;

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A Debian system in a directory, and the packages to put there.
struct Debian {
    lab: Lab,
    root: PathBuf,
}

impl Debian {
    /// A copy of the system that `crates/kwapi-peers/install` made, if it can be entered from here.
    fn copy_of(made: Option<PathBuf>) -> Option<Self> {
        if !need(&["dpkg-deb", "dpkg-shlibdeps", "strip", "chroot"]) {
            return None;
        }
        let Some(made) = made else {
            skip("a Debian system is missing: run crates/kwapi-peers/install");
            return None;
        };
        if !rustix::process::geteuid().is_root() {
            skip("only root can enter another root directory");
            return None;
        }
        let lab = Lab::empty();
        let root = lab.join("root");
        output(Command::new("cp").args(["-a", "--reflink=auto"]).arg(made).arg(&root));
        Some(Self { lab, root })
    }

    /// Packs this binary as a package of `version`.
    fn pack(&self, version: &str) -> PathBuf {
        let build = repository().join("packaging/debian/build");
        output(
            Command::new(build)
                .args([
                    "--binary",
                    env!("CARGO_BIN_EXE_kwapi"),
                    "--version",
                    version,
                    "--uncompressed",
                    "--output",
                ])
                .arg(self.root.join("root")),
        );
        let packed = std::fs::read_dir(self.root.join("root")).unwrap().map(|entry| entry.unwrap().path());
        packed
            .filter(|path| path.to_string_lossy().contains(&format!("kwapi_{version}_")))
            .map(|path| Path::new("/").join(path.strip_prefix(&self.root).unwrap()))
            .next()
            .expect("a package")
    }

    /// A command inside, with nothing of this process's environment.
    fn command(&self, user: &str, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(format!("--userspec={user}")).arg(&self.root).arg(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// What a command of root prints inside.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        output(self.command("root:root", program).args(arguments))
    }

    fn install(&self, package: &Path) {
        self.run("dpkg", &["--install", package.to_str().unwrap()]);
    }

    /// Files and directories, with owner and mode, but for dpkg's own records and the copies that adduser makes of its files.
    fn files(&self) -> Vec<String> {
        let listing = self.run(
            "find",
            &[
                "/etc",
                "/usr",
                "/var/lib",
                "-not",
                "-path",
                "/var/lib/dpkg*",
                "-not",
                "-path",
                "/etc/*-",
                "-printf",
                "%p %u:%g %m\\n",
            ],
        );
        let mut files: Vec<_> = listing.lines().map(ToOwned::to_owned).collect();
        files.sort();
        files
    }

    /// The service as its unit starts it: its user, its state directory, the installed configuration.
    fn serve(&self, name: &str) -> Peer {
        let mut command = self.command("kwapi:kwapi", "/usr/bin/kwapi");
        command.arg("run").env("STATE_DIRECTORY", "/var/lib/kwapi");
        Peer::start(&mut command, self.lab.join(name))
    }

    /// What `ls` of owner, group and mode prints of a path.
    fn access(&self, path: &str) -> String {
        self.run("stat", &["--format=%U:%G %a", path]).trim().to_owned()
    }
}

/// The joules of a probe, once a message of the running process is in them.
fn joules(api: u16, probe: &str) -> (f64, f64) {
    let entry: Value = wait_until("the probe", PATIENCE, || {
        let (status, body) = get(api, &format!("/v2/probes/{probe}/"))?;
        let entry: Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
        entry["watts"].is_number().then_some(entry)
    });
    (entry["joules"].as_f64().unwrap(), entry["since"].as_f64().unwrap())
}

#[test]
fn the_package_is_installed_upgraded_with_its_state_removed_and_purged() {
    let Some(debian) = Debian::copy_of(kwapi_peers::debian()) else { return };
    let before = debian.files();
    let old = debian.pack("0.1.0-1");
    let new = debian.pack("0.2.0-1");

    debian.install(&old);
    assert_eq!(debian.access("/var/lib/kwapi"), "kwapi:kwapi 750");
    assert_eq!(debian.access("/etc/kwapi"), "root:kwapi 750");
    assert_eq!(debian.access("/etc/kwapi/kwapi.toml"), "root:kwapi 640");
    let checked = output(
        debian.command("kwapi:kwapi", "/usr/bin/kwapi").arg("check").env("STATE_DIRECTORY", "/var/lib/kwapi"),
    );
    assert!(checked.contains("0 meters"), "{checked}");
    for page in ["kwapi", "kwapi-run", "kwapi-check", "kwapi-discover"] {
        let page = debian.run("zcat", &[&format!("/usr/share/man/man1/{page}.1.gz")]);
        assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{page}");
    }
    let completes = "source /usr/share/bash-completion/completions/kwapi; COMP_WORDS=(kwapi stat) COMP_CWORD=1; _kwapi kwapi stat kwapi; echo ${COMPREPLY[@]}";
    assert_eq!(debian.run("bash", &["-c", completes]).trim(), "status");
    let links = debian.run("find", &["/etc/systemd/system", "-lname", "*/kwapi.service"]);
    assert_eq!(links.trim(), "/etc/systemd/system/multi-user.target.wants/kwapi.service", "enabled");

    // The operator's meters, and the state of a version before.
    let (api, web, status) = (free_port(), free_port(), free_port());
    let toml = format!(
        "[api]\nlisten = '127.0.0.1:{api}'\n[rrd]\nlisten = '127.0.0.1:{web}'\n[status]\nlisten = '127.0.0.1:{status}'\n\
         [[meter]]\ndriver = 'dummy'\nwatts = 1\nprobes = ['rack.a', 'rack.b']\n"
    );
    std::fs::write(debian.root.join("etc/kwapi/kwapi.toml"), &toml).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/state-0.1.0/run");
    copy(&golden, &debian.root.join("var/lib/kwapi"));
    debian.run("chown", &["-R", "kwapi:kwapi", "/var/lib/kwapi"]);
    let service = debian.serve("old.log");
    let (first, since) = joules(api, "rack.b");
    assert!((2_359_999.0..2_361_000.0).contains(&first), "{first}\n{}", service.log());
    service.stop(libc::SIGTERM, Duration::from_secs(20));
    let kept = format!("/var/lib/kwapi/before-{}/kwapi-backup.json", env!("CARGO_PKG_VERSION"));
    assert_eq!(debian.access(&kept).split(' ').next(), Some("kwapi:kwapi"), "the records from before");

    debian.install(&new);
    assert_eq!(
        std::fs::read_to_string(debian.root.join("etc/kwapi/kwapi.toml")).unwrap(),
        toml,
        "the operator's"
    );
    assert_eq!(debian.access("/etc/kwapi/kwapi.toml"), "root:kwapi 640");
    let service = debian.serve("new.log");
    let (second, since_then) = joules(api, "rack.b");
    assert!((first..first + 1_000.0).contains(&second), "{first} then {second}\n{}", service.log());
    assert_eq!(since_then.to_bits(), since.to_bits());
    service.stop(libc::SIGTERM, Duration::from_secs(20));

    debian.run("dpkg", &["--remove", "kwapi"]);
    assert!(!debian.root.join("usr/bin/kwapi").exists());
    assert!(debian.root.join("var/lib/kwapi/history").is_dir(), "the state stays");
    assert!(debian.root.join("etc/kwapi/kwapi.toml").is_file(), "so does the configuration");
    std::fs::write(debian.root.join("etc/kwapi/pdu.secret"), "public").unwrap();
    debian.run("dpkg", &["--purge", "kwapi"]);
    let after = debian.files();
    let left: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
    let names: Vec<_> = left.iter().filter_map(|file| file.split(' ').next()).collect();
    assert_eq!(
        names,
        ["/etc/kwapi", "/etc/kwapi/pdu.secret"],
        "what the administrator put there, and nothing else: {left:?}"
    );
    let gone: Vec<_> = before.iter().filter(|file| !after.contains(file)).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn the_default_configuration_shows_keys_that_exist() {
    let shown = std::fs::read_to_string(repository().join("packaging/debian/kwapi.toml")).unwrap();
    // A key or a table behind its sign; prose has a space there.
    let is_toml = |line: &str| {
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
    };
    let (mut top, mut tables) = (String::new(), String::new());
    for line in shown.lines() {
        let Some(line) = line.strip_prefix('#').filter(|line| is_toml(line)) else { continue };
        if line.starts_with("include") {
            continue;
        }
        let into = if tables.is_empty() && !line.starts_with('[') { &mut top } else { &mut tables };
        *into += &format!("{line}\n");
    }
    let lab = Lab::empty();
    std::fs::write(lab.join("kwapi.toml"), format!("{top}{tables}")).unwrap();
    let checked = output(
        Command::new(env!("CARGO_BIN_EXE_kwapi"))
            .args(["check", "--no-files", "--config"])
            .arg(lab.join("kwapi.toml")),
    );
    assert!(checked.contains("lyon.node200"), "{checked}");
}

#[test]
fn systemd_accepts_each_unit_and_calls_it_well_confined() {
    if !need(&["systemd-analyze"]) {
        return;
    }
    let lab = Lab::empty();
    let units = lab.join("usr/lib/systemd/system");
    copy(&repository().join("packaging/systemd"), &units);
    // What the units name, and the targets they belong to.
    for (from, to) in [("/bin/true", "usr/bin/kwapi"), ("/bin/sh", "bin/sh")] {
        std::fs::create_dir_all(lab.join(to).parent().unwrap()).unwrap();
        std::fs::copy(from, lab.join(to)).unwrap();
    }
    let targets = "cp -a /usr/lib/systemd/system/*.target \"$0\"";
    output(Command::new("sh").args(["-c", targets]).arg(&units));
    for unit in ["kwapi", "kwapi-drivers", "kwapi-forwarder", "kwapi-api", "kwapi-rrd"] {
        let text = std::fs::read_to_string(units.join(format!("{unit}.service"))).unwrap();
        for needed in [
            "User=kwapi",
            "StateDirectory=kwapi",
            "NoNewPrivileges=yes",
            "EnvironmentFile=-/etc/default/kwapi",
        ] {
            assert!(text.lines().any(|line| line == needed), "{unit}: {needed}");
        }
        // From 0 (confined) to 10; a threshold of 20 is an exposure of 2.0, above which it fails.
        output(
            Command::new("systemd-analyze")
                .args(["security", "--offline=yes", "--threshold=20", "--no-pager", "--root"])
                .arg(lab.path())
                .arg(format!("{unit}.service")),
        );
        // A key that systemd does not support is reported and skipped: nothing may be reported.
        let verified = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--root"])
            .arg(lab.path())
            .arg(format!("{unit}.service"))
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && complaints.is_empty(), "{unit}: {complaints}");
    }
}
