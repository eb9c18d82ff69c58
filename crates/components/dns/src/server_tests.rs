use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::DNSClass;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::zone::tests::shop;

/// A running server on the loopback address; nobody outside is ever asked.
async fn started() -> (SocketAddr, hickory_server::Server<Answerer<crate::zone::tests::Listed>>) {
    let sockets = Sockets::bind(Ipv4Addr::LOCALHOST, 0).await.unwrap();
    let address = sockets.address;
    let mut shop = shop();
    for number in 10..60 {
        let mut slice = (*shop.slices[0]).clone();
        slice.endpoints.as_mut().unwrap()[1].addresses = vec![format!("10.42.1.{number}")];
        shop.slices.push(Arc::new(slice));
    }
    let zone = Zone::new(Name::from_ascii("cluster.local.").unwrap(), Arc::new(shop));
    let upstream = Upstream::new("/nonexistent/resolv.conf".into(), vec![]);
    (address, crate::serve(sockets, Answerer::new(zone, upstream)))
}

fn question(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    let mut query = Query::query(Name::from_ascii(name).unwrap(), kind);
    query.set_query_class(DNSClass::IN);
    message.add_query(query);
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

async fn ask(server: SocketAddr, question: &Message) -> Message {
    let asking = async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        socket.send(&question.to_vec().unwrap()).await.unwrap();
        let mut buffer = vec![0; 65_535];
        let length = socket.recv(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), asking).await.unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

#[tokio::test]
async fn questions_are_answered_by_udp() {
    let (server, _running) = started().await;
    let answer = ask(server, &question("web.shop.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 1));
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available && answer.metadata.recursion_desired);

    let answer = ask(server, &question("nope.shop.svc.cluster.local.", RecordType::A, None)).await;
    assert_eq!((answer.metadata.response_code, answer.authorities.len()), (ResponseCode::NXDomain, 1));

    // An alias within the cluster comes with what it leads to; one outside with an error, as nobody can be asked.
    let answer = ask(server, &question("inner.shop.svc.cluster.local.", RecordType::A, None)).await;
    let kinds: Vec<_> = answer.answers.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::CNAME, RecordType::A]);

    let answer = ask(server, &question("example.com.", RecordType::A, None)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_comes_whole_by_tcp() {
    let (server, _running) = started().await;
    let small = question("db.shop.svc.cluster.local.", RecordType::A, None);
    let answer = ask(server, &small).await;
    assert!(answer.metadata.truncation && answer.answers.len() < 52);
    let answer = ask(server, &question("db.shop.svc.cluster.local.", RecordType::A, Some(4096))).await;
    assert!(!answer.metadata.truncation && answer.answers.len() == 52 && answer.edns.is_some());

    let mut stream = TcpStream::connect(server).await.unwrap();
    let bytes = small.to_vec().unwrap();
    stream.write_all(&[&u16::try_from(bytes.len()).unwrap().to_be_bytes(), &bytes[..]].concat()).await.unwrap();
    let mut buffer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(Message::from_vec(&buffer).unwrap().answers.len(), 52);
}

#[tokio::test]
async fn a_taken_port_is_given_up_for_another() {
    let first = Sockets::bind(Ipv4Addr::LOCALHOST, 0).await.unwrap();
    let second = Sockets::bind(Ipv4Addr::LOCALHOST, first.address.port()).await.unwrap();
    assert_ne!(first.address, second.address);
    let port = first.address.port();
    drop(first);
    assert_eq!(Sockets::bind(Ipv4Addr::LOCALHOST, port).await.unwrap().address.port(), port);
}
