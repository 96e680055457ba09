//! The measured command: started, signalled, waited for.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{Signal as Arrivals, SignalKind, signal};

/// Exit statuses of shells, where a command cannot be started.
const NOT_FOUND: u8 = 127;
const NOT_STARTED: u8 = 126;
/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// Signals that are passed on, as they arrive.
pub(super) struct Signals(Vec<(Arrivals, Signal)>);

impl Signals {
    /// Takes them over: from now on they do not end this process.
    pub(super) fn take() -> io::Result<Self> {
        let all = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];
        let arrivals =
            all.into_iter().map(|number| Ok((signal(SignalKind::from_raw(number.as_raw()))?, number)));
        arrivals.collect::<io::Result<_>>().map(Self)
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (arrivals, number) in &mut self.0 {
                if arrivals.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// A command that was started.
pub(super) struct Job {
    child: Child,
    pid: Option<Pid>,
}

impl Job {
    /// Starts it.
    ///
    /// # Errors
    /// The exit status that a shell would have, and why.
    #[expect(clippy::disallowed_methods, reason = "what is measured is a command that the user gives")]
    pub(super) fn start(words: &[OsString]) -> Result<Self, (u8, String)> {
        let (program, arguments) = words.split_first().ok_or((NOT_STARTED, "no command".to_owned()))?;
        let child = Command::new(program).args(arguments).spawn().map_err(|error| {
            let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_STARTED };
            (status, format!("{}: {error}", program.display()))
        })?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        Ok(Self { child, pid })
    }

    /// What signals are sent to.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// Waits for its end.
    pub(super) fn wait(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

/// Passes a signal on to a job that has not ended, unless the terminal has sent it to the job as well.
pub(super) fn pass_on(pid: Option<Pid>, number: Signal) {
    let is_of_terminal = matches!(number, Signal::INT | Signal::QUIT)
        && tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground == getpgrp());
    if let (Some(pid), false) = (pid, is_of_terminal) {
        _ = kill_process(pid, number);
    }
}

/// The exit status as a shell has it.
pub(super) fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
