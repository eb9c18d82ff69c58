//! Answers questions: names of the cluster from the table, others from the host's resolvers.

use std::sync::{PoisonError, RwLock};

use hickory_proto::op::{Edns, Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use hickory_proto::serialize::binary::{BinDecodable as _, BinDecoder, BinEncodable as _, BinEncoder};

use crate::table::Table;
use crate::upstream::{UDP_BYTES_MAX, Upstream};
use crate::zone::{Found, Lookup, Zone};

/// How many aliases are followed: an ExternalName may lead to another.
const ALIASES_MAX: usize = 4;
/// What a client gets by UDP at most, whatever it says it can take.
const UDP_ANSWER_BYTES_MAX: u16 = 4096;
/// What every client can take by UDP (RFC 1035).
const UDP_ANSWER_BYTES_MIN: u16 = 512;

/// How a question came, which limits the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// Knows the answers.
pub(crate) struct Answerer {
    domain: Name,
    table: RwLock<Table>,
    upstream: Upstream,
}

impl Answerer {
    pub(crate) fn new(domain: &Name, upstream: Upstream) -> Self {
        Self { domain: domain.to_lowercase(), table: RwLock::default(), upstream }
    }

    /// Changes what is known.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Table)) {
        change(&mut self.table.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The answer to a question, both as they are sent. None: it deserves none.
    pub(crate) async fn answer(&self, question: &[u8], transport: Transport) -> Option<Vec<u8>> {
        // The header: what has none cannot even be told that it is wrong. Answers are not questions, whoever sends them.
        let id = u16::from_be_bytes([*question.first()?, *question.get(1)?]);
        if question.len() < 12 || question[2] & 0x80 != 0 {
            return None;
        }
        match Message::read(&mut BinDecoder::new(question)) {
            Ok(question) => encode(&self.respond(&question).await, &question, transport),
            Err(_) => Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok(),
        }
    }

    async fn respond(&self, request: &Message) -> Message {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let refused = |code| Found { code, ..Found::default() };
        let found = match (request.metadata.op_code, request.queries.as_slice()) {
            (OpCode::Query, [query]) if query.query_type() == RecordType::AXFR => refused(ResponseCode::Refused),
            (OpCode::Query, [query]) if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) => {
                refused(ResponseCode::Refused)
            }
            (OpCode::Query, [query]) => {
                let (found, ours) = self.find(query.name(), query.query_type()).await;
                metadata.authoritative = ours;
                found
            }
            (OpCode::Query, _) => refused(ResponseCode::FormErr),
            _ => refused(ResponseCode::NotImp),
        };
        metadata.response_code = found.code;
        let mut response = Message::response(metadata.id, metadata.op_code);
        response.metadata = metadata;
        response.queries.clone_from(&request.queries);
        response.answers = found.answers;
        response.authorities = found.authority;
        response.additionals = found.additionals;
        response.edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().clamp(UDP_ANSWER_BYTES_MIN, UDP_BYTES_MAX));
            edns
        });
        response
    }

    /// Looks a name up, here or elsewhere, and follows the alias it may have. True: the answer is the zone's own.
    async fn find(&self, name: &Name, kind: RecordType) -> (Found, bool) {
        let (mut found, ours) = self.look_up(name, kind).await;
        for _ in 0..ALIASES_MAX {
            let Some(alias) = found.alias.take() else { break };
            let (further, _) = self.look_up(&alias, kind).await;
            found.answers.extend(further.answers);
            found.alias = further.alias;
        }
        (found, ours)
    }

    async fn look_up(&self, name: &Name, kind: RecordType) -> (Found, bool) {
        let here = {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            Zone::new(&self.domain, &table).look_up(name, kind)
        };
        match here {
            Lookup::Found(found) => (found, true),
            Lookup::Elsewhere => match self.upstream.ask(name, kind).await {
                Ok(answer) => {
                    let found = Found {
                        code: answer.metadata.response_code,
                        answers: answer.answers,
                        additionals: answer.additionals,
                        authority: answer.authorities,
                        alias: None,
                    };
                    (found, false)
                }
                Err(error) => {
                    tracing::debug!(%name, error = &error as &dyn std::error::Error, "no answer from outside");
                    (Found { code: ResponseCode::ServFail, ..Found::default() }, false)
                }
            },
        }
    }
}

/// As many records as the client can take; if these are not all, the answer says so.
fn encode(response: &Message, question: &Message, transport: Transport) -> Option<Vec<u8>> {
    let asked = question.edns.as_ref().map_or(0, Edns::max_payload);
    let bytes_max = match transport {
        Transport::Udp => asked.clamp(UDP_ANSWER_BYTES_MIN, UDP_ANSWER_BYTES_MAX),
        Transport::Tcp => u16::MAX,
    };
    let mut bytes = Vec::new();
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(bytes_max);
    match response.emit(&mut encoder) {
        Ok(()) => Some(bytes),
        Err(error) => {
            tracing::debug!(%error, "failed to write an answer");
            let code = ResponseCode::ServFail;
            Message::error_msg(response.metadata.id, response.metadata.op_code, code).to_vec().ok()
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
