//! The push driver and a script that feeds it.

use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::suite::{Device, Fault, complies};

struct Script {
    directory: TempDir,
    task: JoinHandle<()>,
}

fn start() -> Script {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("s");
    let task = tokio::spawn(async move {
        loop {
            sleep(Duration::from_millis(20)).await;
            let Ok(mut socket) = UnixStream::connect(&path).await else { continue };
            while socket.write_all(b"{\"watts\": 61.5}\n").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    });
    Script { directory, task }
}

impl Device for Script {
    const DRIVER: &'static str = "push";

    fn keys(&self) -> String {
        format!("listen = \"unix:{}/s\"", self.directory.path().display())
    }

    async fn inflict(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Hang => self.task.abort(),
            // Wrong lines are answered to whoever sent them, and a sender that leaves is no fault of the socket.
            _ => return false,
        }
        true
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test]
async fn push_complies() {
    complies(async || start()).await;
}
