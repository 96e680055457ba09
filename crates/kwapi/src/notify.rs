//! What is reported to systemd of the service, if it started us.

use sd_notify::NotifyState;

/// The service is up.
pub(crate) fn ready() {
    notify(NotifyState::Ready);
}

/// The state of the service in one line, as `systemctl status` shows it; empty: nothing in particular.
pub(crate) fn status(line: &str) {
    notify(NotifyState::Status(line));
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!(%error, "cannot notify systemd");
    }
}
