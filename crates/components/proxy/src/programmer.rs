//! Brings plans into the packet filter, and starts over when it refuses.

use std::sync::Arc;
use std::time::Duration;

use minato_podnet::{Firewall, NftError};
use minato_rules::{Changes, Elements, Owner, Planner, ServiceRules};

/// After a refusal the next attempt waits, longer each time.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Where service traffic is programmed: the kernel, or a test's memory.
pub trait PacketFilter: Send + 'static {
    /// What is programmed.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&mut self) -> Result<Elements, NftError>;

    /// Whether what was programmed is still there at all.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn is_in_place(&mut self) -> Result<bool, NftError>;

    /// Changes what is programmed, all at once.
    ///
    /// # Errors
    /// When nothing, or not everything, has changed.
    fn apply(&mut self, changes: &Changes) -> Result<(), NftError>;
}

impl PacketFilter for Firewall {
    fn read(&mut self) -> Result<Elements, NftError> {
        Firewall::read(self)
    }

    fn is_in_place(&mut self) -> Result<bool, NftError> {
        Firewall::is_in_place(self)
    }

    fn apply(&mut self, changes: &Changes) -> Result<(), NftError> {
        Firewall::apply(self, changes)
    }
}

/// The planner together with the packet filter it plans for.
pub struct Programmer<F, O> {
    open: Arc<O>,
    /// Absent after a failure, until it is opened again.
    filter: Option<F>,
    planner: Planner,
    retry: Duration,
}

impl<F, O> Programmer<F, O>
where
    F: PacketFilter,
    O: Fn() -> Result<F, NftError> + Send + Sync + 'static,
{
    /// Opens the packet filter and takes over what is programmed.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub async fn start(open: O) -> Result<Self, NftError> {
        let mut programmer =
            Self { open: Arc::new(open), filter: None, planner: Planner::default(), retry: RETRY_FIRST };
        programmer.reopen().await?;
        Ok(programmer)
    }

    /// Notes what a Service or pod asks for now.
    pub fn set(&mut self, owner: &Owner, rules: ServiceRules) {
        self.planner.set(owner, rules);
    }

    /// Programs what was noted. False: it failed, and is worth another call after [`Programmer::retry_after`].
    pub async fn program(&mut self) -> bool {
        match self.try_program().await {
            Ok(()) => {
                self.retry = RETRY_FIRST;
                true
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "failed to program services; trying again");
                self.filter = None;
                self.retry = (self.retry * 2).min(RETRY_MAX);
                false
            }
        }
    }

    /// Has everything programmed again by the next [`Programmer::program`] if it is gone.
    pub fn check(&mut self) {
        // One small message to the kernel: not worth another thread.
        if !self.filter.as_mut().is_some_and(|filter| filter.is_in_place().unwrap_or(false)) {
            tracing::warn!("somebody emptied the packet filter; programming all services again");
            self.filter = None;
        }
    }

    /// How long to wait before the next attempt.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.retry
    }

    async fn try_program(&mut self) -> Result<(), NftError> {
        if self.filter.is_none() {
            self.reopen().await?;
        }
        let changes = self.planner.changes();
        if changes.is_empty() {
            return Ok(());
        }
        let Some(mut filter) = self.filter.take() else { return Ok(()) };
        let (filter, changes, applied) = off_the_runtime(move || {
            let applied = filter.apply(&changes);
            (filter, changes, applied)
        })
        .await;
        applied?;
        self.filter = Some(filter);
        tracing::debug!(
            added = changes.add.served.len() + changes.add.slots.len(),
            removed = changes.remove.served.len() + changes.remove.slots.len(),
            "programmed services"
        );
        self.planner.applied(&changes);
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), NftError> {
        let open = Arc::clone(&self.open);
        let (filter, programmed) = off_the_runtime(move || {
            let mut filter = open()?;
            let programmed = filter.read()?;
            Ok((filter, programmed))
        })
        .await?;
        self.planner.reset(programmed);
        self.filter = Some(filter);
        Ok(())
    }
}

/// The kernel may take a tenth of a second for ten thousand Services.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking work is only cancelled when the runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
#[path = "programmer_tests.rs"]
mod tests;
