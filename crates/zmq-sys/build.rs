//! Builds libzmq from the source in `zeromq-src`, with the bounds of `bounds/` put in, against the libsodium that
//! `libsodium-sys-stable` has just built. Nothing is downloaded and no system package is used; it takes a C++ compiler
//! and make.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use zeromq_src::{Build, LibLocation};

const PATCH: &str = include_str!("bounds/libzmq-4.3.5.patch");
const BOUNDS: [(&str, &str); 2] = [
    ("kwapi_bounds.hpp", include_str!("bounds/kwapi_bounds.hpp")),
    ("kwapi_bounds.cpp", include_str!("bounds/kwapi_bounds.cpp")),
];
/// The files that the patch changes, and those that include a header whose layout it changes.
const RECOMPILED: [&str; 8] =
    ["mtrie", "pipe", "pub", "session_base", "socket_base", "stream_engine_base", "stream_listener_base", "xpub"];
/// As `zeromq-src` defines them.
const DEFINES: &[&str] = &[
    "HAVE_STRNLEN",
    "ZMQ_HAVE_CURVE",
    "ZMQ_HAVE_IPC",
    "ZMQ_HAVE_STRUCT_SOCKADDR_UN",
    "ZMQ_HAVE_UIO",
    "ZMQ_HAVE_WS",
    "ZMQ_POLL_BASED_ON_POLL",
    "ZMQ_STATIC",
    "ZMQ_USE_BUILTIN_SHA1",
    "ZMQ_USE_CV_IMPL_STL11",
    "ZMQ_USE_LIBSODIUM",
    #[cfg(target_os = "linux")]
    "ZMQ_HAVE_LINUX",
    #[cfg(target_os = "linux")]
    "ZMQ_IOTHREAD_POLLER_USE_EPOLL",
    #[cfg(not(target_os = "linux"))]
    "ZMQ_IOTHREAD_POLLER_USE_KQUEUE",
    #[cfg(not(target_os = "linux"))]
    "ZMQ_HAVE_STRLCPY",
];
/// What `zeromq-src` finds out by a trial: the C library has `strlcpy` since glibc 2.38.
const PLATFORM: &str = "
#if defined __linux__
#include <features.h>
#if !defined __GLIBC__
#define ZMQ_HAVE_STRLCPY 1
#elif __GLIBC_PREREQ (2, 38)
#define ZMQ_HAVE_STRLCPY 1
#endif
#endif
";

fn main() -> Result<(), Box<dyn Error>> {
    for file in ["build.rs", "bounds"] {
        println!("cargo:rerun-if-changed={file}");
    }
    for flags in ["CFLAGS", "CXXFLAGS"] {
        let given = env::var(flags).unwrap_or_default();
        // SAFETY: this program has no other thread yet. The compiler's warnings on libzmq are its authors' to read.
        unsafe { env::set_var(flags, format!("{given} -w")) };
    }
    let libsodium = LibLocation::new(env::var("DEP_SODIUM_LIB")?, env::var("DEP_SODIUM_INCLUDE")?);
    Build::new().with_libsodium(Some(libsodium.clone())).build();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let source = out.join("patched");
    _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source)?;
    for entry in fs::read_dir(out.join("source/src"))? {
        let entry = entry?;
        fs::copy(entry.path(), source.join(entry.file_name()))?;
    }
    apply(PATCH, &source)?;
    for (name, text) in BOUNDS.iter().chain(&[("platform.hpp", PLATFORM)]) {
        fs::write(source.join(name), text)?;
    }
    let mut build = cc::Build::new();
    build.cpp(true).std("c++11").cargo_metadata(false);
    build.include(&source).include(out.join("source/include")).include(libsodium.include_dir());
    for define in DEFINES {
        build.define(define, "1");
    }
    let names = RECOMPILED.into_iter().chain(["kwapi_bounds"]);
    build.files(names.map(|name| source.join(name).with_extension("cpp")));
    let objects = build.try_compile_intermediates()?;
    replace(&build, &out.join("lib/libzmq.a"), &objects)
}

/// Puts `objects` into `library` in place of those of the same sources.
fn replace(build: &cc::Build, library: &Path, objects: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let archiver = |operation: &str, members: &[&Path]| {
        let mut command = build.try_get_archiver()?;
        let output = command.arg(operation).arg(library).args(members).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok::<_, Box<dyn Error>>(String::from_utf8(output.stdout)?)
    };
    let members = archiver("t", &[])?;
    for name in RECOMPILED {
        let ending = format!("-{name}.o");
        let mut old = members.lines().filter(|member| member.ends_with(&ending));
        let (Some(member), None) = (old.next(), old.next()) else {
            return Err(format!("not one {name} in {}", library.display()).into());
        };
        archiver("d", &[Path::new(member)])?;
    }
    archiver("qs", &objects.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
    Ok(())
}

/// Applies a unified diff, each hunk at its very line: what does not fit is an error, not a guess.
fn apply(patch: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut lines = patch.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(old) = line.strip_prefix("--- a/src/") else {
            return Err(format!("not the head of a file: {line}").into());
        };
        lines.next_if(|line| line.starts_with("+++ ")).ok_or("a head without its second line")?;
        let path = directory.join(old.trim());
        let text = fs::read_to_string(&path)?;
        let mut rest = text.lines();
        let (mut at, mut patched) = (1, String::new());
        let keep = |patched: &mut String, line: &str| {
            patched.push_str(line);
            patched.push('\n');
        };
        while let Some(hunk) = lines.next_if(|line| line.starts_with("@@ -")) {
            let begin: usize =
                hunk.trim_start_matches("@@ -").split([',', ' ']).next().ok_or("no line")?.parse()?;
            while at < begin {
                keep(&mut patched, rest.next().ok_or("past the end")?);
                at += 1;
            }
            while let Some(line) = lines.next_if(|line| !line.starts_with("@@ ") && !line.starts_with("--- "))
            {
                let (kind, body) = line.split_at_checked(1).unwrap_or((" ", ""));
                if kind == "+" {
                    keep(&mut patched, body);
                    continue;
                }
                let found = rest.next().ok_or("past the end")?;
                if found != body {
                    return Err(format!("{}:{at}: {found:?} is not {body:?}", path.display()).into());
                }
                at += 1;
                if kind == " " {
                    keep(&mut patched, found);
                }
            }
        }
        rest.for_each(|line| keep(&mut patched, line));
        fs::write(&path, patched)?;
    }
    Ok(())
}
