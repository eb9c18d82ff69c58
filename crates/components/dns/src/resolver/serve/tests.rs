use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::names::Change;
use crate::protocol;
use crate::zone::tests::shop;

type Running = tokio::task::JoinHandle<io::Result<()>>;

/// A resolver in this process, and the server's end of its first connection.
fn start(directory: &Path, sockets: Sockets) -> (Link, Running) {
    let listener = minato_linux::readiness::watch(protocol::listen_in(directory).unwrap()).unwrap();
    let (ours, theirs) = Link::pair().unwrap();
    let resolv_conf = directory.join("resolv.conf");
    let settings = Settings { cluster_domain: "cluster.local".to_owned(), own: Vec::new(), resolv_conf };
    let domain = crate::domain(&settings.cluster_domain).unwrap();
    let serving = Serving { settings, domain, sockets, owner: nix::unistd::geteuid().as_raw() };
    let running = tokio::spawn(async move { serve(serving, Link::new(theirs)?, &listener).await });
    (ours, running)
}

/// As a new server does.
async fn find(directory: &Path) -> (Link, Sockets) {
    let link = Link::connect(directory).unwrap();
    tell(&link, [Order::Hello]).await;
    match link.receive::<Word>(&mut Buffer::new()).await.unwrap() {
        Some((Word::Here { protocol: PROTOCOL, .. }, descriptors)) => (link, Sockets::received(descriptors).unwrap()),
        other => panic!("{other:?}"),
    }
}

async fn tell(link: &Link, orders: impl IntoIterator<Item = Order>) {
    for order in orders {
        link.send(&order, &[]).await.unwrap();
    }
}

async fn tell_all(link: &Link, changes: Vec<Change>) {
    let changes = changes.into_iter().map(Order::Change);
    tell(link, [Order::Begin].into_iter().chain(changes).chain([Order::Commit])).await;
    let word = link.receive::<Word>(&mut Buffer::new()).await.unwrap();
    assert!(matches!(word, Some((Word::Serving, _))), "{word:?}");
}

/// The code and the number of answers.
async fn ask(server: SocketAddr, name: &str) -> (ResponseCode, usize) {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    let asking = async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&question.to_vec().unwrap(), server).await.unwrap();
        let mut buffer = vec![0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), asking).await.unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    (answer.metadata.response_code, answer.answers.len())
}

const WEB: &str = "web.shop.svc.cluster.local.";
const FOUND: (ResponseCode, usize) = (ResponseCode::NoError, 1);
const MISSING: (ResponseCode, usize) = (ResponseCode::NXDomain, 0);

#[tokio::test]
async fn answers_stand_until_the_next_server_has_told_all() {
    let directory = tempfile::tempdir().unwrap();
    let sockets = Sockets::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
    let address = sockets.address;
    let (first, running) = start(directory.path(), sockets);
    // A question that comes before anything is known waits for its answer.
    let early = tokio::spawn(ask(address, WEB));
    tell_all(&first, shop()).await;
    assert_eq!(early.await.unwrap(), FOUND);
    tell(&first, [Order::Begin]).await;
    drop(first);
    assert_eq!(ask(address, WEB).await, FOUND);

    let (second, sockets) = find(directory.path()).await;
    assert_eq!(sockets.address, address);
    tell(&second, [Order::Begin, Order::Change(shop().remove(0))]).await;
    assert_eq!(ask(address, WEB).await, FOUND);
    tell_all(&second, Vec::new()).await;
    assert_eq!(ask(address, WEB).await, MISSING);
    tell(&second, shop().into_iter().map(Order::Change)).await;
    // Orders are obeyed one after the other, so when this one is answered all are.
    tell(&second, [Order::Commit]).await;
    assert!(second.receive::<Word>(&mut Buffer::new()).await.unwrap().is_some());
    assert_eq!(ask(address, WEB).await, FOUND);
    assert!(!running.is_finished());
}

#[tokio::test]
async fn no_question_is_lost_when_one_resolver_takes_the_place_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let sockets = Sockets::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
    let address = sockets.address;
    let (link, mut running) = start(directory.path(), sockets);
    tell_all(&link, shop()).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let askers: Vec<_> = (0..8)
        .map(|_| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    assert_eq!(ask(address, WEB).await, FOUND);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let (former, sockets) = find(directory.path()).await;
        let (link, next) = start(directory.path(), sockets);
        tell_all(&link, shop()).await;
        tell(&former, [Order::Retire]).await;
        std::mem::replace(&mut running, next).await.unwrap().unwrap();
        tokio::task::yield_now().await;
    }
    stop.send_replace(true);
    for asker in askers {
        asker.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_takes_questions_until_it_talks_nonsense() {
    let directory = tempfile::tempdir().unwrap();
    let sockets = Sockets::bind(Ipv4Addr::LOCALHOST, 0).unwrap();
    let address = sockets.address;
    let (link, _running) = start(directory.path(), sockets);
    tell_all(&link, shop()).await;
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(WEB).unwrap(), RecordType::A));
    let question = question.to_vec().unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        stream
            .write_all(&[&u16::try_from(question.len()).unwrap().to_be_bytes(), &question[..]].concat())
            .await
            .unwrap();
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 1);
    }
    stream.write_all(&u16::MAX.to_be_bytes()).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);

    // Of one client's connections, some are turned away when there are too many.
    let mut streams = Vec::new();
    for _ in 0..17 {
        streams.push(TcpStream::connect(address).await.unwrap());
    }
    let mut byte = [0; 1];
    let closed = streams.last_mut().unwrap().read(&mut byte);
    assert_eq!(tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap().unwrap(), 0);
}
