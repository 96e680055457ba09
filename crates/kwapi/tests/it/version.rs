//! Which commit a release build records that it is of: also where it is built without a repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use kwapi_peers::{Lab, need, output};

/// What the build script passes to the compiler of the commit, run in `folder` for a release.
fn commit_of(script: &Path, folder: &Path, given: Option<&str>) -> String {
    let mut command = Command::new(script);
    command.current_dir(folder).env("PROFILE", "release").env_remove("KWAPI_COMMIT");
    command.env("GIT_CEILING_DIRECTORIES", script.parent().unwrap());
    if let Some(given) = given {
        command.env("KWAPI_COMMIT", given);
    }
    let text = output(&mut command);
    let line = text.lines().find_map(|line| line.strip_prefix("cargo:rustc-env=KWAPI_COMMIT="));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_release_names_its_commit_from_a_repository_a_tarball_or_its_builder() {
    if !need(&["rustc", "git", "tar"]) {
        return;
    }
    let lab = Lab::empty();
    let script = lab.join("script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    output(Command::new("rustc").args(["--edition=2024", "-o"]).arg(&script).arg(&source));

    let bare = lab.join("bare");
    fs::create_dir(&bare).unwrap();
    assert_eq!(commit_of(&script, &bare, None), "", "a tree of unknown origin has none");
    assert_eq!(commit_of(&script, &bare, Some("0123456789abcdef")), " (0123456)");
    assert_eq!(commit_of(&script, &bare, Some("main")), "", "a branch is no commit");

    let repository = lab.join("repository");
    fs::create_dir(&repository).unwrap();
    fs::copy(&source, repository.join("build.rs")).unwrap();
    fs::copy(source.with_file_name("commit"), repository.join("commit")).unwrap();
    fs::write(repository.join(".gitattributes"), "commit export-subst\n").unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=k", "-c", "user.email=k@localhost", "-C"]).arg(&repository);
        output(command.args(arguments)).trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "x"]);
    let commit = format!(" ({})", &git(&["rev-parse", "HEAD"])[..7]);
    assert_eq!(commit_of(&script, &repository, None), commit);

    // A tarball, unpacked where it has no repository, and one within a repository that is not its own.
    git(&["archive", "--output", "../archive.tar", "HEAD"]);
    for place in ["unpacked", "repository/unpacked"] {
        let place = lab.join(place);
        fs::create_dir(&place).unwrap();
        output(Command::new("tar").arg("-xf").arg(lab.join("archive.tar")).arg("-C").arg(&place));
        assert_eq!(commit_of(&script, &place, None), commit);
    }
    let stranger = repository.join("stranger");
    fs::create_dir(&stranger).unwrap();
    fs::copy(&source, stranger.join("build.rs")).unwrap();
    assert_eq!(commit_of(&script, &stranger, None), "", "the repository around it is another's");
}
