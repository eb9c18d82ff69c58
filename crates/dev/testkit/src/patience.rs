//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// How long to wait before the next look: short at first, then longer, so that waiting costs what it waits for little.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(100);

/// Waits until `condition` holds; the error is what it said last.
///
/// # Errors
/// When it does not hold in time.
pub fn eventually<T, E: std::fmt::Display>(
    patience: Duration,
    mut condition: impl FnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let end = Instant::now() + patience;
    let mut look = FIRST_LOOK;
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() > end => anyhow::bail!("not in {patience:?}: {last:#}"),
            Err(_) => std::thread::sleep(look),
        }
        look = (look * 2).min(LAST_LOOK);
    }
}
