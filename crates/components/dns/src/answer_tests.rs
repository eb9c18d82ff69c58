use hickory_proto::op::Query;
use hickory_proto::rr::Record;
use proptest::prelude::*;

use super::*;
use crate::names::Change;
use crate::zone::tests::{shop, table};

/// Knows the shop, with fifty more endpoints of `db`; nobody outside is ever asked.
fn answerer() -> Answerer {
    let mut changes = shop();
    for number in 10..60 {
        let Some(Change::Slice(mut key, Some(mut slice))) =
            changes.iter().find(|change| matches!(change, Change::Slice(..))).cloned()
        else {
            panic!("the shop has a slice");
        };
        key.name = format!("db-{number}");
        slice.endpoints[1].1 = format!("10.42.1.{number}").parse().unwrap();
        changes.push(Change::Slice(key, Some(slice)));
    }
    let upstream = Upstream::new("/nonexistent/resolv.conf".into(), vec![]);
    let answerer = Answerer::new(&Name::from_ascii("cluster.local.").unwrap(), upstream);
    answerer.change(|known| *known = table(changes));
    answerer
}

fn question(name: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.edns = payload.map(|payload| {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        edns
    });
    message
}

async fn ask(answerer: &Answerer, question: &Message, transport: Transport) -> Message {
    let answer = answerer.answer(&question.to_vec().unwrap(), transport).await.unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert_eq!((answer.metadata.id, &answer.queries), (question.metadata.id, &question.queries));
    answer
}

#[tokio::test]
async fn questions_are_answered() {
    let answerer = answerer();
    let answer = ask(&answerer, &question("web.shop.svc.cluster.local.", RecordType::A, None), Transport::Udp).await;
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 1));
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available && answer.metadata.recursion_desired);

    let answer = ask(&answerer, &question("nope.shop.svc.cluster.local.", RecordType::A, None), Transport::Udp).await;
    assert_eq!((answer.metadata.response_code, answer.authorities.len()), (ResponseCode::NXDomain, 1));

    // An alias within the cluster comes with what it leads to; one outside with an error, as nobody can be asked.
    let answer = ask(&answerer, &question("inner.shop.svc.cluster.local.", RecordType::A, None), Transport::Udp).await;
    let kinds: Vec<_> = answer.answers.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::CNAME, RecordType::A]);

    let answer = ask(&answerer, &question("example.com.", RecordType::A, None), Transport::Udp).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn what_does_not_fit_is_cut_and_comes_whole_by_tcp() {
    let answerer = answerer();
    let small = question("db.shop.svc.cluster.local.", RecordType::A, None);
    let answer = ask(&answerer, &small, Transport::Udp).await;
    assert!(answer.metadata.truncation && (1..52).contains(&answer.answers.len()), "{}", answer.answers.len());
    let answer =
        ask(&answerer, &question("db.shop.svc.cluster.local.", RecordType::A, Some(4096)), Transport::Udp).await;
    assert!(!answer.metadata.truncation && answer.answers.len() == 52 && answer.edns.is_some());
    let answer = ask(&answerer, &small, Transport::Tcp).await;
    assert_eq!(answer.answers.len(), 52);
}

#[tokio::test]
async fn wrong_questions_are_refused_and_answers_ignored() {
    let answerer = answerer();
    let good = || question("web.shop.svc.cluster.local.", RecordType::A, None);
    let mut chaos = good();
    chaos.queries[0].set_query_class(DNSClass::CH);
    let transfer = question("cluster.local.", RecordType::AXFR, None);
    let mut two = good();
    two.queries.extend(good().queries);
    let mut notify = good();
    notify.metadata.op_code = OpCode::Notify;
    let cases = [
        (chaos, ResponseCode::Refused),
        (transfer, ResponseCode::Refused),
        (two, ResponseCode::FormErr),
        (notify, ResponseCode::NotImp),
    ];
    for (question, code) in cases {
        assert_eq!(ask(&answerer, &question, Transport::Udp).await.metadata.response_code, code, "{question}");
    }
    let bytes = good().to_vec().unwrap();
    let cut = answerer.answer(&bytes[..20], Transport::Udp).await.unwrap();
    assert_eq!(Message::from_vec(&cut).unwrap().metadata.response_code, ResponseCode::FormErr);
    assert_eq!(cut[..2], bytes[..2]);
    assert_eq!(answerer.answer(&bytes[..11], Transport::Udp).await, None);
    let mut answer = good();
    answer.metadata.message_type = hickory_proto::op::MessageType::Response;
    assert_eq!(answerer.answer(&answer.to_vec().unwrap(), Transport::Udp).await, None);
}

proptest! {
    #[test]
    fn no_packet_does_harm(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300usize, at in 0..60usize, value: u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answerer = answerer();
        let mut nearly = question("_http._tcp.web.shop.svc.cluster.local.", RecordType::SRV, Some(1232)).to_vec().unwrap();
        let at = at.min(nearly.len() - 1);
        nearly[at] = value;
        nearly.truncate(cut.max(1));
        bytes.extend(&nearly);
        runtime.block_on(async {
            for packet in [&bytes, &nearly] {
                if let Some(answer) = answerer.answer(packet, Transport::Udp).await {
                    assert!(answer.len() <= usize::from(UDP_ANSWER_BYTES_MAX) && answer[..2] == packet[..2]);
                }
            }
        });
    }
}
