//! Takes the server's orders, and answers meanwhile and afterwards.

mod intake;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use minato_linux::{memory, passing};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::answer::Answerer;
use crate::protocol::{Buffer, Link, Order, PROTOCOL, Settings, Word};
use crate::sockets::Sockets;
use crate::table::Table;
use crate::upstream::Upstream;
use intake::Intake;

/// How long the answers under way may take when the resolver retires.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// What a resolver works with.
pub(crate) struct Serving {
    pub(crate) settings: Settings,
    pub(crate) domain: Name,
    pub(crate) sockets: Sockets,
    /// The user whose servers may give orders.
    pub(crate) owner: u32,
}

/// Serves until it is retired. `first` is the connection to the server that started it.
pub(crate) async fn serve(serving: Serving, first: Link, listener: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let Serving { settings, domain, sockets, owner } = serving;
    let upstream = Upstream::new(settings.resolv_conf.clone(), settings.own.clone());
    let answerer = Arc::new(Answerer::new(&domain, upstream));
    let mut intake: Option<Intake> = None;
    let mut link = Some(first);
    let mut staged: Option<Table> = None;
    let mut buffer = Buffer::new();
    loop {
        let order = tokio::select! {
            connected = accept(listener) => {
                // The last server that comes is the one that counts: only one can have the data directory.
                if let Some(connected) = connected.filter(|link| link.peer().is_ok_and(|(_, user)| user == owner)) {
                    (link, staged) = (Some(connected), None);
                }
                continue;
            }
            order = next_order(link.as_ref(), &mut buffer) => order,
        };
        let answered = match (order, &link) {
            (Ok(Some(Order::Hello)), Some(link)) => {
                let here = Word::Here { protocol: PROTOCOL, settings: settings.clone() };
                link.send(&here, &sockets.descriptors()).await
            }
            (Ok(Some(Order::Begin)), _) => {
                staged = Some(Table::default());
                Ok(())
            }
            (Ok(Some(Order::Change(change))), _) => {
                match &mut staged {
                    Some(staged) => staged.apply(change),
                    None => answerer.change(|table| table.apply(change)),
                }
                Ok(())
            }
            (Ok(Some(Order::Commit)), Some(link)) => {
                if let Some(staged) = staged.take() {
                    answerer.change(|table| *table = staged);
                    memory::trim_heap();
                }
                if intake.is_none() {
                    intake = Some(Intake::start(sockets.try_clone()?, &answerer)?);
                    tracing::info!(address = %sockets.address, "answering");
                }
                link.send(&Word::Serving, &[]).await
            }
            (Ok(Some(Order::Retire)), _) => {
                tracing::info!("retired");
                if let Some(intake) = intake {
                    intake.stop(DRAIN_DEADLINE).await;
                }
                return Ok(());
            }
            (Ok(Some(Order::Serve(_))), _) => Err(io::ErrorKind::InvalidData.into()),
            (Ok(_), _) => Err(io::ErrorKind::UnexpectedEof.into()),
            (Err(error), _) => Err(error),
        };
        if let Err(error) = answered {
            if intake.is_none() {
                // Nobody has ever been told anything; the next server does better to begin anew.
                return Err(error);
            }
            tracing::info!(reason = %error, "the server is gone; answering from what it said last");
            (link, staged) = (None, None);
        }
    }
}

async fn accept(listener: &AsyncFd<OwnedFd>) -> Option<Link> {
    let accepted = listener.async_io(Interest::READABLE, |listener| passing::accept(listener)).await;
    match accepted.and_then(Link::new) {
        Ok(link) => Some(link),
        Err(error) => {
            tracing::warn!(%error, "failed to accept a connection of the server's");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// Never ends without a server.
async fn next_order(link: Option<&Link>, buffer: &mut Buffer) -> io::Result<Option<Order>> {
    match link {
        Some(link) => Ok(link.receive::<Order>(buffer).await?.map(|(order, _)| order)),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
