//! The signals that end this program while a `credential_process` runs.
//!
//! The command may have a process group of its own, so it would be left running. The handlers are
//! installed before it is started, and once they are, only this module ends the program.

/// SIGINT, SIGTERM and SIGHUP.
#[derive(Debug)]
pub(super) struct TerminationSignals {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
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

    #[cfg(not(unix))]
    pub(super) fn install() -> Self {
        Self {}
    }

    #[cfg(not(unix))]
    pub(super) async fn received(&mut self) {
        std::future::pending().await
    }
}
