//! Serial lines: which driver reads what sends on them.

use std::path::{Path, PathBuf};

use kwapi_drivers::serial::{self, LineFinding};
use tokio::task::JoinSet;
use toml::Value;

/// Listens to all lines at the same time; what was received, as tables to paste and comments, in the order they were
/// named.
pub(super) async fn listen(lines: &[PathBuf]) -> String {
    let mut listening = JoinSet::new();
    for (number, line) in lines.iter().cloned().enumerate() {
        eprintln!("listening on {}, at most 30 s", line.display());
        listening.spawn(async move {
            let finding = serial::listen(&line).await.map_err(|error| error.to_string());
            (number, table(&line, finding))
        });
    }
    let mut finding = Vec::new();
    while let Some(done) = listening.join_next().await {
        finding.extend(done.ok());
    }
    finding.sort();
    finding.into_iter().map(|(_, text)| text).collect()
}

fn table(line: &Path, finding: Result<LineFinding, String>) -> String {
    let device = line.display();
    match finding {
        Ok(LineFinding::Meter { driver, baud, meter }) => {
            let name = line.file_name().map_or_else(|| "line".into(), |name| name.to_string_lossy());
            let quoted = |text: String| Value::String(text).to_string();
            let (path, probe) = (quoted(device.to_string()), quoted(format!("{name}.{{outlet}}")));
            format!(
                "\n# {meter}\n[[meter]]\ndriver = \"{driver}\"\ndevice = {path}\nbaud = {baud}\nprobe = {probe}\n"
            )
        }
        Ok(LineFinding::Noise) => format!(
            "# {device}: data received, but no meter telegram at 9600 or 115200 baud; check whether the cable inverts the line\n"
        ),
        Ok(LineFinding::Silence) => format!(
            "# {device}: no data received; for an older meter under an optical head use driver = \"sml\" with \
             request_seconds, for others driver = \"modbus\" or \"wattsup\"\n"
        ),
        Err(why) => format!("# {why}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_received_on_a_line_is_a_configuration() {
        let finding = LineFinding::Meter { driver: "sml", baud: 9_600, meter: "SML (0a01)".to_owned() };
        let text = table(Path::new("/dev/tty\"USB0"), Ok(finding));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("found.toml");
        std::fs::write(&file, &text).unwrap();
        let config = crate::config::Config::read(&file).unwrap();
        assert_eq!(config.meters[0].driver.name(), "sml");
        assert!(text.starts_with("\n# SML (0a01)\n[[meter]]"), "{text}");
        for finding in [Ok(LineFinding::Noise), Ok(LineFinding::Silence), Err("no such line".to_owned())] {
            let text = table(Path::new("/dev/ttyUSB0"), finding);
            assert!(text.starts_with("# ") && text.lines().count() == 1, "{text}");
        }
    }
}
