//! The resolver's log: standard error, which is a file that does not outgrow its bound.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::Mutex;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A log that is longer is begun anew.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Only words of our own: libraries have something to say about every question.
pub(super) fn start() {
    let file = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let Ok(file) = file else { return };
    let lines = tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(Mutex::new(Log(file)));
    let ours = Targets::new().with_target("minato_dns", LevelFilter::INFO);
    tracing_subscriber::registry().with(lines).with(ours).init();
}

struct Log(File);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let metadata = self.0.metadata()?;
        if metadata.is_file() && metadata.len() > LOG_BYTES_MAX {
            self.0.set_len(0)?;
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
