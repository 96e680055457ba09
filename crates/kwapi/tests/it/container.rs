//! The container: what its file defines, and the program run by that definition: by a user of a number only, in a root
//! file system that cannot be written to, with the health check.

use std::path::{Path, PathBuf};
use std::process::Command;

use kwapi_peers::{Lab, Peer, free_port, need, output, skip, wait_until};

use crate::harness::{PATIENCE, get};

mod sites;

/// Where the commands that enter it are found.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/container")
}

/// The instructions of a stage: name and what follows, continued lines joined.
#[derive(Debug)]
struct Stage {
    image: String,
    instructions: Vec<(String, String)>,
}

impl Stage {
    fn all(&self, name: &str) -> Vec<&str> {
        let of_name = self.instructions.iter().filter(|(instruction, _)| instruction == name);
        of_name.map(|(_, rest)| rest.as_str()).collect()
    }

    fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "{name}: {self:?}");
        all[0]
    }
}

fn stages() -> Vec<Stage> {
    let text = std::fs::read_to_string(folder().join("Containerfile")).unwrap().replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, rest) = line.split_once(' ').unwrap();
        let known = [
            "FROM",
            "RUN",
            "COPY",
            "WORKDIR",
            "ARG",
            "ENV",
            "USER",
            "VOLUME",
            "EXPOSE",
            "HEALTHCHECK",
            "ENTRYPOINT",
            "CMD",
        ];
        assert!(known.contains(&name), "{line}");
        if name == "FROM" {
            stages.push(Stage { image: rest.to_owned(), instructions: Vec::new() });
        } else {
            stages.last_mut().unwrap().instructions.push((name.to_owned(), rest.trim().to_owned()));
        }
    }
    stages
}

/// The words of an instruction in the form that needs no shell.
fn words(rest: &str) -> Vec<String> {
    serde_json::from_str(rest).unwrap_or_else(|error| panic!("{rest}: {error}"))
}

fn user(stage: &Stage) -> (u32, u32) {
    let (user, group) = stage.one("USER").split_once(':').unwrap();
    (user.parse().unwrap(), group.parse().unwrap())
}

fn health_check(stage: &Stage) -> Vec<String> {
    words(stage.one("HEALTHCHECK").split_once(" CMD ").unwrap().1)
}

#[test]
fn the_image_has_nothing_but_the_program_and_is_nobodys_root() {
    let stages = stages();
    let [build, image] = stages.as_slice() else { panic!("{stages:?}") };
    assert!(build.image.ends_with(" AS build"), "{}", build.image);
    for stage in &stages {
        let name = stage.image.split(' ').next().unwrap();
        assert!(
            !name.ends_with(":latest") && name.contains('/'),
            "{name} names neither registry nor version"
        );
    }
    assert!(image.all("RUN").is_empty(), "there is no shell in it");
    for copy in image.all("COPY") {
        assert!(copy.starts_with("--from=build "), "{copy}");
    }
    let (uid, gid) = user(image);
    assert!(uid >= 1_000 && gid >= 1_000);
    let state = words(image.one("VOLUME")).remove(0);
    assert!(image.all("ENV").contains(&format!("STATE_DIRECTORY={state}").as_str()));
    assert!(
        image
            .all("COPY")
            .iter()
            .any(|copy| copy.contains(&format!("--chown={uid}:{gid} ")) && copy.ends_with(&state))
    );
    let program = words(image.one("ENTRYPOINT")).remove(0);
    assert_eq!(health_check(image)[0], program);
    assert!(image.all("COPY").iter().any(|copy| copy.ends_with(&program)));
    // The context has neither history nor what was built here.
    let ignored = std::fs::read_to_string(folder().join("../../.containerignore")).unwrap();
    assert!(ignored.lines().any(|line| line == ".git") && ignored.lines().any(|line| line == "target"));
    assert!(build.all("ENV").iter().any(|entry| entry.starts_with("KWAPI_COMMIT=")));
}

/// What the program is linked to, the loader among it.
fn libraries(binary: &str) -> Vec<String> {
    let listed = output(Command::new("ldd").arg(binary));
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(ToOwned::to_owned).collect()
}

fn copy_into(root: &Path, from: &Path, to: &str) {
    let to = root.join(to.trim_start_matches('/'));
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

#[test]
fn the_program_runs_as_that_user_in_a_root_that_cannot_be_written_to() {
    if !need(&["unshare", "mount", "chroot", "ldd"]) {
        return;
    }
    let may_mount =
        || Command::new("unshare").args(["--mount", "true"]).output().is_ok_and(|done| done.status.success());
    if !rustix::process::geteuid().is_root() || !may_mount() {
        skip("only root can mount and enter another root directory");
        return;
    }
    let stages = stages();
    let image = stages.last().unwrap();
    let (uid, gid) = user(image);
    let state = words(image.one("VOLUME")).remove(0);
    let program = words(image.one("ENTRYPOINT")).remove(0);
    let command = words(image.one("CMD")).join(" ");

    let lab = Lab::empty();
    let root = lab.join("root");
    let binary = env!("CARGO_BIN_EXE_kwapi");
    copy_into(&root, Path::new(binary), &program);
    for library in libraries(binary) {
        copy_into(&root, Path::new(&library), &library);
    }
    for folder in [state.trim_start_matches('/'), "etc/kwapi", "proc"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    let (api, web, status) = (free_port(), free_port(), free_port());
    let toml = format!(
        "[api]\nlisten = '0.0.0.0:{api}'\ninsist_without_auth = true\n[rrd]\nlisten = '0.0.0.0:{web}'\ninsist_without_auth = true\n\
         [status]\nlisten = '127.0.0.1:{status}'\n[[meter]]\ndriver = 'dummy'\nprobe = 'a'\n\
         [[meter]]\ndriver = 'tasmota'\nhost = '127.0.0.1:{nobody}'\nprobe = 'plug'\n",
        nobody = free_port()
    );
    std::fs::write(root.join("etc/kwapi/kwapi.toml"), toml).unwrap();
    let inside = format!(
        "set -e; mount --bind {0} {0}; mount -t tmpfs -o uid={uid},gid={gid},mode=750 tmpfs {0}{state}; \
         mount -o remount,ro,bind {0}; mount -t proc proc {0}/proc; \
         exec chroot --userspec={uid}:{gid} {0} {program} {command}",
        root.display()
    );
    let mut served = Command::new("unshare");
    served.args(["--mount", "sh", "-c", &inside]).env_clear();
    served.env("PATH", PATH).env("STATE_DIRECTORY", &state);
    let service = Peer::start(&mut served, lab.join("kwapi.log"));
    wait_until("the probe", PATIENCE, || get(api, "/v1/probes/a/").filter(|(status, _)| *status == 200));
    let ready =
        wait_until("readiness", PATIENCE, || get(status, "/readyz").filter(|(status, _)| *status == 200));
    assert!(ready.1.contains("ready"), "{}", service.log());
    // There are no certificates of authorities in it: a device without one is queried nevertheless.
    let plug = wait_until("an attempt to query", PATIENCE, || {
        let (_, meters) = get(status, "/meters")?;
        let meters: serde_json::Value = serde_json::from_str(&meters).ok()?;
        meters[1]["last_error"].as_str().map(ToOwned::to_owned)
    });
    assert!(plug.contains("check the address") && !plug.contains("trusted roots"), "{plug}");
    let check = health_check(image);
    let health = || {
        let mut checked = Command::new("chroot");
        checked.arg(format!("--userspec={uid}:{gid}")).arg(&root).args(&check).env_clear().env("PATH", PATH);
        checked.output().unwrap()
    };
    let healthy = health();
    assert!(healthy.status.success(), "{healthy:?}");
    service.stop(libc::SIGTERM, PATIENCE);
    assert!(!health().status.success(), "nobody answers any more");
    let written = std::fs::read_dir(lab.join(format!("root{state}"))).unwrap().count();
    assert_eq!(written, 0, "the state was in the volume alone");
}
