//! The log: lines on standard error, each with the id of the request that it belongs to, if it belongs to one.

use std::fmt;
use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Starts logging at `level`, which may be a filter.
pub(crate) fn start(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).with_context(|| format!("log-level: {level:?} is not a level or filter"))?;
    let lines = Lines { rest: Format::default().with_target(false).without_time() };
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(colours).event_format(lines).init();
    Ok(())
}

/// The time, `request=` with its id, and the rest as usual. A span for each request would say the same, and cost every
/// request what only those pay that are logged.
struct Lines {
    rest: Format<Full, ()>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        writer.write_char(' ')?;
        if let Some(written) = minato_http::request_id(|id| write!(writer, "request={id} ")) {
            written?;
        }
        self.rest.format_event(context, writer, event)
    }
}
