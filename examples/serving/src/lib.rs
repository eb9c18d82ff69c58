//! A small HTTP server for small programs that live in containers: it stops so that no request fails.
//!
//! On SIGTERM or SIGINT the server is *stopping*: the program should answer its readiness probe with an error, so that
//! it gets no new connections. For the *linger* time it still accepts what arrives all the same, because the news of
//! its end takes a moment to reach everybody. Then it closes the port, finishes the requests under way, and returns.

mod answer;
mod options;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use answer::{Body, Query, html, json, redirect, text};
pub use options::{Options, UsageError};

/// A request's headers must arrive within this time.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// Requests under way get this long to finish.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// Tells when the program has been asked to stop.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Listens for SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// If the signal handlers cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            sender.send_replace(true);
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Whether the program has been asked to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when the program is asked to stop.
    pub async fn wait(&self) {
        // The sender ends only after it has said so.
        let _ = self.0.clone().wait_for(|stopping| *stopping).await;
    }
}

/// Serves until the program is asked to stop, then lingers, drains and returns.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn serve<H, F>(listen: SocketAddr, linger: Duration, stopping: Stopping, handler: H) -> io::Result<()>
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    serve_on(listener, linger, stopping, handler).await;
    Ok(())
}

/// As [`serve`], on a port that is open already.
pub async fn serve_on<H, F>(listener: TcpListener, linger: Duration, stopping: Stopping, handler: H)
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let mut end = pin!(async {
        stopping.wait().await;
        tokio::time::sleep(linger).await;
    });
    loop {
        let (stream, client) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    eprintln!("accept failed: {error}");
                    tokio::time::sleep(Duration::from_millis(10)).await; // out of file descriptors, most likely
                    continue;
                }
            },
            () = &mut end => break,
        };
        let (handler, stopping) = (handler.clone(), stopping.clone());
        let service = service_fn(move |request| {
            let (answer, stopping) = (handler(request, client), stopping.clone());
            async move {
                let mut response = answer.await;
                if stopping.is_set() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response)
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A client that goes away in the middle is no concern of ours.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_WITHIN, graceful.shutdown()).await.is_err() {
        eprintln!("some requests did not finish within {DRAIN_WITHIN:?}");
    }
}
