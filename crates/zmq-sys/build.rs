//! Builds libzmq from the source in `zeromq-src`, against the libsodium that `libsodium-sys-stable` has just built.
//! Nothing is downloaded and no system package is used; it takes a C++ compiler and make.

use std::env::{self, VarError};

use zeromq_src::{Build, LibLocation};

fn main() -> Result<(), VarError> {
    println!("cargo:rerun-if-changed=build.rs");
    for flags in ["CFLAGS", "CXXFLAGS"] {
        let given = env::var(flags).unwrap_or_default();
        // SAFETY: this program has no other thread yet. The compiler's warnings on libzmq are its authors' to read.
        unsafe { env::set_var(flags, format!("{given} -w")) };
    }
    let libsodium = LibLocation::new(env::var("DEP_SODIUM_LIB")?, env::var("DEP_SODIUM_INCLUDE")?);
    Build::new().with_libsodium(Some(libsodium)).build();
    Ok(())
}
