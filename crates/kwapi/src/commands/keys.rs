//! `kwapi keys`: makes and lists the keys of the bus.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kwapi_bus::{CurveConfig, CurvePair, Key, Scheme};
use kwapi_core::{Pattern, Secret, Timestamp, hex};

use super::counted;
use crate::cli::{KeysCommand, SigningArgs};
use crate::config::{Config, chain};
use crate::stack::wall_clock;

/// Makes a key, or lists those of the configuration.
///
/// # Errors
/// When a file is there already or cannot be written or read, or the configuration is wrong, as one line.
pub(crate) fn keys(command: &KeysCommand, named: Option<&Path>) -> Result<(), String> {
    match command {
        KeysCommand::Curve(arguments) => curve(&arguments.file),
        KeysCommand::Signing(arguments) => signing(arguments),
        KeysCommand::Public(arguments) => {
            println!("{}", public(&arguments.file)?);
            Ok(())
        }
        KeysCommand::List => {
            print!("{}", list(&super::configuration(named)?, wall_clock().now()));
            Ok(())
        }
    }
}

fn curve(file: &Path) -> Result<(), String> {
    let pair = CurvePair::generate().map_err(|error| format!("cannot make a key: {error}"))?;
    keep(file, pair.secret_key.expose())?;
    let (name, public) = (file.display(), &pair.public_key);
    println!(
        "secret key  {name}, stays on this machine\n\
         public key  {public}\n\n\
         The side that binds, with the public key of each peer:\n\
         \x20 curve = {{ secret_key = {{ file = \"{name}\" }}, clients = [\"…\"] }}\n\
         The side that connects, with the public key of the side that binds:\n\
         \x20 curve = {{ secret_key = {{ file = \"{name}\" }}, public_key = \"{public}\", server_key = \"…\" }}"
    );
    Ok(())
}

fn signing(arguments: &SigningArgs) -> Result<(), String> {
    let secret = hex::encode(&rand::random::<[u8; 32]>());
    let SigningArgs { file, id, probes, valid_from, valid_until } = arguments;
    let secret_key = Key::new(id, secret);
    let key =
        Key { probes: probes.clone(), valid_from: *valid_from, valid_until: *valid_until, ..secret_key };
    key.check(Scheme::Kwapi1).map_err(|error| chain(&error))?;
    keep(file, key.secret.expose())?;
    let name = file.display();
    let more = valid_for(probes) + &valid_when(&key);
    let key = format!("{{ id = \"{id}\", secret = {{ file = \"{name}\" }}{more} }}");
    println!(
        "secret  {name}\n\n\
         Where measurements are signed:\n  [bus]\n  key = {key}\n\
         Where they are verified, with a copy of the file:\n  [bus]\n  keys = [{key}]"
    );
    Ok(())
}

fn valid_for(probes: &Pattern) -> String {
    match probes {
        Pattern::All => String::new(),
        probes => format!(", probes = \"{probes}\""),
    }
}

fn valid_when(key: &Key) -> String {
    let written = |name: &str, at: Option<Timestamp>| -> Option<String> {
        let at =
            i64::try_from(at?.micros()).ok().and_then(|at| jiff::Timestamp::from_microsecond(at).ok())?;
        Some(format!(", {name} = \"{at}\""))
    };
    let both = [written("valid_from", key.valid_from), written("valid_until", key.valid_until)];
    both.into_iter().flatten().collect()
}

fn public(file: &Path) -> Result<String, String> {
    let error_text = |message: &str| format!("{}: {message}", file.display());
    let content = std::fs::read_to_string(file).map_err(|error| error_text(&error.to_string()))?;
    let public = CurveConfig::public_of(&Secret::new(content.trim()));
    public.ok_or_else(|| error_text("not a secret CURVE key, which has 40 Z85 characters"))
}

/// Writes a secret to a new file that only its owner can read.
fn keep(file: &Path, secret: &str) -> Result<(), String> {
    let error_text = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} exists already; a key is never overwritten, choose another name", file.display())
        }
        _ => format!("cannot write {}: {error}", file.display()),
    };
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(file).map_err(error_text)?;
    writeln!(opened, "{secret}").and_then(|()| opened.sync_all()).map_err(error_text)
}

/// A line for each key: what it is for and from when until when, and the part of it that is public.
fn list(config: &Config, now: Timestamp) -> String {
    let mut lines = Vec::new();
    let bus = &config.bus;
    let line = |what: &str, key: &Key, place: &str| {
        let state = match (key.valid_from, key.valid_until) {
            (Some(from), _) if now < from => " (not valid yet)",
            (_, Some(until)) if until <= now => " (no longer valid)",
            _ => "",
        };
        let validity = key.validity().map(|validity| format!(", {validity}")).unwrap_or_default();
        format!("{what:<14} {:<16} for {}{validity}{state}{place}", key.id, key.probes)
    };
    if bus.key.is_empty() {
        lines.push("signs with     no key".to_owned());
    }
    lines.extend(bus.key.iter().map(|key| line("signs with", key, "")));
    lines.extend(bus.keys.iter().map(|key| line("accepts", key, "")));
    for (url, curve, keys) in config.endpoints() {
        lines.extend(keys.iter().map(|key| line("accepts", key, &format!(", at {url}"))));
        let Some(curve) = curve else { continue };
        let own = CurveConfig::public_of(&curve.secret_key).unwrap_or_else(|| "not a key".to_owned());
        lines.push(format!("CURVE          {own} at {url}"));
        lines.extend(curve.server_key.iter().map(|key| format!("  connects to  {key}")));
        lines.extend(curve.clients.iter().map(|key| format!("  lets in      {key}")));
        if curve.server_key.is_none() {
            lines.push(format!("  {} may connect", counted(curve.clients.len(), "peer")));
        }
    }
    lines.join("\n") + "\n"
}
