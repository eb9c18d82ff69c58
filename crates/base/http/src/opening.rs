//! A connection whose first bytes must come within a time: whoever connects and says nothing is not kept.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Reads fail once the time has passed without the first bytes; after these it is the stream itself.
pub(crate) struct Opening<S> {
    stream: S,
    /// Bytes that are still to come, and until when.
    awaited: Option<(usize, Pin<Box<Sleep>>)>,
}

impl<S> Opening<S> {
    pub(crate) fn new(stream: S, bytes: usize, limit: Duration) -> Self {
        Self { stream, awaited: Some((bytes, Box::pin(tokio::time::sleep(limit)))) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opening<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buf);
        let Some((bytes, deadline)) = &mut this.awaited else { return read };
        match read {
            Poll::Ready(result) => {
                *bytes = bytes.saturating_sub(buf.filled().len() - before);
                if *bytes == 0 {
                    this.awaited = None;
                }
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(deadline.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came after the handshake")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opening<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
