//! A guestbook: a page that lists and adds messages, a store with one leader and read replicas.
//!
//! ```text
//! browser ──► guestbook web ──reads──► guestbook store --leader=http://…   (replicas: memory only)
//!                   │                        │ follow (long poll)
//!                   └────writes────► guestbook store --data=/data          (the leader: a file)
//! ```
//!
//! The leader appends every message to a file and flushes it before it answers. Replicas copy the leader and keep up
//! by long polling. A leader that starts without a file takes over what the replicas have.

mod client;
mod journal;
mod message;
mod page;
mod shelf;
mod store;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use serving::{Options, Stopping};

const USAGE: &str = "usage:
  guestbook web   [--listen=0.0.0.0:8080] [--leader=URL] [--replicas=URL] [--linger-ms=3000]
  guestbook store [--listen=0.0.0.0:8081] --data=DIRECTORY [--replicas=URL]     the leader
  guestbook store [--listen=0.0.0.0:8081] --leader=URL                          a replica
  guestbook version";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guestbook: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    let listen = if role == "web" { "0.0.0.0:8080" } else { "0.0.0.0:8081" };
    let defaults = [("listen", listen), ("leader", ""), ("replicas", ""), ("data", ""), ("linger-ms", "3000")];
    match role.as_str() {
        "web" | "store" => {}
        "version" => {
            println!("guestbook {}", env!("CARGO_PKG_VERSION"));
            return Ok(());
        }
        _ => return Err(USAGE.into()),
    }
    let options = Options::read(arguments, &defaults)?;
    let (leader, replicas) = (options.get::<String>("leader")?, options.get::<String>("replicas")?);
    let data = options.get::<String>("data")?;
    let (listen, linger) = (options.get("listen")?, Duration::from_millis(options.get("linger-ms")?));
    let stopping = Stopping::listen()?;
    match (role.as_str(), data.is_empty(), leader.is_empty()) {
        ("web", true, false) => {
            let web = web::Web::new(leader, replicas, stopping.clone());
            serving::serve(listen, linger, stopping, move |request, _| web.clone().answer(request)).await?;
        }
        ("store", false, true) => {
            let store = store::Store::leader(data.as_ref(), &replicas, stopping.clone()).await?;
            serving::serve(listen, linger, stopping, move |request, _| store.clone().answer(request)).await?;
        }
        ("store", true, false) => {
            let store = store::Store::replica(leader, stopping.clone());
            serving::serve(listen, linger, stopping, move |request, _| store.clone().answer(request)).await?;
        }
        _ => return Err(USAGE.into()),
    }
    println!("stopped");
    Ok(())
}
