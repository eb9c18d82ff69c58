//! Many requests at once, on all cores, ended with their caller.

use tokio::task::JoinSet;

use crate::error::Error;

/// Runs all of `requests` at the same time and returns their outputs, in no order. Dropping the future aborts the rest.
pub(crate) async fn all_at_once<F>(requests: impl IntoIterator<Item = F>) -> Result<Vec<F::Output>, Error>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let mut running: JoinSet<F::Output> = requests.into_iter().collect();
    let mut outputs = Vec::with_capacity(running.len());
    while let Some(output) = running.join_next().await {
        outputs.push(output?);
    }
    Ok(outputs)
}
