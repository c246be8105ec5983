//! The signals that end this program while a `credential_process` runs.
//!
//! The command may have a process group of its own, so it would be left running. The handlers are
//! installed before it is started, and once they are, only this module ends the program.

#[cfg(windows)]
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};

/// SIGINT, SIGTERM and SIGHUP; on Windows Ctrl-C, Ctrl-Break, and the end of the console or session.
#[derive(Debug)]
pub(super) struct TerminationSignals {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    signals: Option<(CtrlC, CtrlBreak, CtrlClose, CtrlShutdown)>,
}

impl TerminationSignals {
    /// Has to be called inside of a runtime.
    #[cfg(unix)]
    pub(super) fn install() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        Self {
            signals: kinds.into_iter().filter_map(|k| signal(k).ok()).collect(),
        }
    }

    /// Waits for the first one.
    #[cfg(unix)]
    pub(super) async fn received(&mut self) {
        std::future::poll_fn(|context| {
            let any = |s: &mut tokio::signal::unix::Signal| s.poll_recv(context).is_ready();
            match self.signals.iter_mut().any(any) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }

    #[cfg(windows)]
    pub(super) fn install() -> Self {
        use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
        let all =
            || std::io::Result::Ok((ctrl_c()?, ctrl_break()?, ctrl_close()?, ctrl_shutdown()?));
        Self {
            signals: all().ok(),
        }
    }

    #[cfg(windows)]
    pub(super) async fn received(&mut self) {
        let Some((interrupt, stop, close, shutdown)) = &mut self.signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = stop.recv() => {}
            _ = close.recv() => {}
            _ = shutdown.recv() => {}
        }
    }
}
