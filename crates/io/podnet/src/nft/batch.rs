//! Changes of one table that happen together or not at all.

use super::expression::{Expression, Verdict};
use super::wire::{ACK, APPEND, CREATE, FAMILY_HEADER, Header, IPV4, REQUEST, Wire};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const GET_CHAIN: u16 = 4;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const GET_ELEMENTS: u16 = 13;
const DELETE_ELEMENTS: u16 = 14;

/// An attribute holds 64 KiB at most; element lists are cut well before.
const ELEMENTS_BYTES_MAX: usize = 32 * 1024;

/// Where in a packet's way a chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    Prerouting = 0,
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A chain that the kernel calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BaseChain {
    pub(crate) kind: &'static str,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
}

/// What a set maps its keys to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    None,
    Verdicts,
    /// Bytes, and the type by which the `nft` program prints them.
    Data {
        length: u32,
        display: u32,
    },
}

/// A set or map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Set {
    pub(crate) name: &'static str,
    pub(crate) key_length: u32,
    /// The type by which the `nft` program prints keys; the kernel does not care.
    pub(crate) key_display: u32,
    pub(crate) values: Values,
    /// Rules add elements themselves; each lives for a time, and there are at most so many.
    pub(crate) learned_max: Option<u32>,
}

/// The value of a map's element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    None,
    Data(Vec<u8>),
    Verdict(Verdict),
}

/// What a set's element looks like.
pub(crate) type Element = (Vec<u8>, Value);

/// A transaction on one table, and a word about each of its messages.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    table: &'a str,
    wire: Wire,
    steps: Vec<String>,
    first_sequence: u32,
}

/// A finished transaction.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) first_sequence: u32,
    pub(crate) last_sequence: u32,
    steps: Vec<String>,
}

impl Encoded {
    /// What the message of that number was to do.
    pub(crate) fn step(&self, sequence: u32) -> String {
        let index = sequence.wrapping_sub(self.first_sequence).wrapping_sub(1) as usize;
        self.steps.get(index).cloned().unwrap_or_else(|| "commit the transaction".to_owned())
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(table: &'a str, first_sequence: u32) -> Self {
        let mut wire = Wire::default();
        let header =
            Header { kind: BATCH_BEGIN, flags: REQUEST, sequence: first_sequence, family: 0, resource: SUBSYSTEM };
        wire.message(header, |_| {});
        Self { table, wire, steps: Vec::new(), first_sequence }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Asks for an acknowledgement of the last step and ends the transaction.
    pub(crate) fn finish(mut self) -> Encoded {
        let last_sequence = self.sequence();
        // A renewed table declaration changes nothing; it carries the request for the acknowledgement.
        self.step("finish", NEW_TABLE, CREATE | ACK, |_| {});
        let header =
            Header { kind: BATCH_END, flags: REQUEST, sequence: self.sequence(), family: 0, resource: SUBSYSTEM };
        self.wire.message(header, |_| {});
        Encoded { bytes: self.wire.into_bytes(), first_sequence: self.first_sequence, last_sequence, steps: self.steps }
    }

    fn sequence(&self) -> u32 {
        // Far fewer than 4 billion steps fit into memory.
        self.first_sequence.wrapping_add(1).wrapping_add(self.steps.len() as u32)
    }

    /// Every message starts with the table's name, as attribute 1.
    fn step(&mut self, step: impl Into<String>, kind: u16, flags: u16, body: impl FnOnce(&mut Wire)) {
        let header = Header {
            kind: SUBSYSTEM << 8 | kind,
            flags: REQUEST | flags,
            sequence: self.sequence(),
            family: IPV4,
            resource: 0,
        };
        let table = self.table;
        self.wire.message(header, |wire| {
            wire.text(1, table);
            body(wire);
        });
        self.steps.push(step.into());
    }

    pub(crate) fn add_table(&mut self) {
        self.step(format!("add table {}", self.table), NEW_TABLE, CREATE, |_| {});
    }

    pub(crate) fn delete_table(&mut self) {
        self.step(format!("delete table {}", self.table), DELETE_TABLE, 0, |_| {});
    }

    /// The acknowledging step of [`Batch::finish`] would bring the table back, so this ends the transaction itself.
    pub(crate) fn finish_without_table(mut self) -> Encoded {
        let last_sequence = self.sequence();
        self.step(format!("delete table {}", self.table), DELETE_TABLE, ACK, |_| {});
        let header =
            Header { kind: BATCH_END, flags: REQUEST, sequence: self.sequence(), family: 0, resource: SUBSYSTEM };
        self.wire.message(header, |_| {});
        let first_sequence = self.first_sequence;
        Encoded { bytes: self.wire.into_bytes(), first_sequence, last_sequence, steps: self.steps }
    }

    pub(crate) fn add_base_chain(&mut self, name: &str, base: BaseChain) {
        self.step(format!("add chain {name}"), NEW_CHAIN, CREATE, |wire| {
            wire.text(3, name);
            wire.nest(4, |wire| {
                wire.be32(1, base.hook as u32);
                wire.bytes(2, &base.priority.to_be_bytes());
            });
            wire.text(7, base.kind);
        });
    }

    pub(crate) fn add_chain(&mut self, name: &str) {
        self.step(format!("add chain {name}"), NEW_CHAIN, CREATE, |wire| wire.text(3, name));
    }

    pub(crate) fn delete_chain(&mut self, name: &str) {
        self.flush_chain(name);
        self.step(format!("delete chain {name}"), DELETE_CHAIN, 0, |wire| wire.text(3, name));
    }

    pub(crate) fn flush_chain(&mut self, name: &str) {
        self.step(format!("flush chain {name}"), DELETE_RULE, 0, |wire| wire.text(2, name));
    }

    pub(crate) fn add_rule(&mut self, chain: &str, rule: &[Expression]) {
        self.step(format!("add a rule to chain {chain}"), NEW_RULE, CREATE | APPEND, |wire| {
            wire.text(2, chain);
            wire.nest(4, |wire| rule.iter().for_each(|expression| expression.write(wire)));
        });
    }

    pub(crate) fn add_set(&mut self, set: Set, id: u32) {
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const LEARNED: u32 = 0x20;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        self.step(format!("add set {}", set.name), NEW_SET, CREATE, |wire| {
            let map = if set.values == Values::None { 0 } else { MAP };
            let learned = if set.learned_max.is_some() { TIMEOUT | LEARNED } else { 0 };
            wire.text(2, set.name);
            wire.be32(3, map | learned);
            wire.be32(4, set.key_display);
            wire.be32(5, set.key_length);
            match set.values {
                Values::None => {}
                Values::Verdicts => wire.be32(6, VERDICT_TYPE),
                Values::Data { length, display } => {
                    wire.be32(6, display);
                    wire.be32(7, length);
                }
            }
            wire.be32(10, id);
            if let Some(size) = set.learned_max {
                wire.nest(9, |wire| wire.be32(1, size));
            }
        });
    }

    pub(crate) fn add_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) {
        self.elements("add", NEW_ELEMENTS, CREATE, set, elements);
    }

    pub(crate) fn delete_elements(&mut self, set: &str, elements: impl IntoIterator<Item = Element>) {
        self.elements("delete", DELETE_ELEMENTS, 0, set, elements);
    }

    pub(crate) fn flush_set(&mut self, set: &str) {
        self.step(format!("flush set {set}"), DELETE_ELEMENTS, 0, |wire| wire.text(2, set));
    }

    fn elements(
        &mut self,
        action: &str,
        kind: u16,
        flags: u16,
        set: &str,
        elements: impl IntoIterator<Item = Element>,
    ) {
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            let mut count = 0;
            let from = self.steps.len();
            self.step("", kind, flags, |wire| {
                wire.text(2, set);
                wire.nest(3, |wire| {
                    let start = wire.len();
                    while wire.len() - start < ELEMENTS_BYTES_MAX
                        && let Some((key, value)) = elements.next()
                    {
                        write_element(wire, &key, &value);
                        count += 1;
                    }
                });
            });
            self.steps[from] = format!("{action} {count} elements of set {set}");
        }
    }
}

fn write_element(wire: &mut Wire, key: &[u8], value: &Value) {
    wire.nest(1, |wire| {
        wire.nest(1, |wire| wire.bytes(1, key));
        match value {
            Value::None => {}
            Value::Data(data) => wire.nest(2, |wire| wire.bytes(1, data)),
            Value::Verdict(verdict) => verdict.write(wire, 2),
        }
    });
}

/// A request for all elements of a set.
pub(crate) fn elements_request(table: &str, set: &str, sequence: u32) -> Vec<u8> {
    let mut wire = Wire::default();
    let header = Header {
        kind: SUBSYSTEM << 8 | GET_ELEMENTS,
        flags: REQUEST | super::wire::DUMP,
        sequence,
        family: IPV4,
        resource: 0,
    };
    wire.message(header, |wire| {
        wire.text(1, table);
        wire.text(2, set);
    });
    wire.into_bytes()
}

/// The elements in one message of the answer; what cannot be read is left out.
pub(crate) fn read_elements(payload: &[u8], elements: &mut Vec<Element>) {
    use super::wire::{attribute, attributes};
    let body = payload.get(FAMILY_HEADER..).unwrap_or_default();
    for (_, element) in attributes(attribute(body, 3).unwrap_or_default()) {
        let Some(key) = attribute(element, 1).and_then(|key| attribute(key, 1)) else { continue };
        let value = attribute(element, 2).map_or(Some(Value::None), |data| {
            let verdict = || attribute(data, 2).and_then(read_verdict).map(Value::Verdict);
            attribute(data, 1).map(|bytes| Value::Data(bytes.to_vec())).or_else(verdict)
        });
        elements.extend(value.map(|value| (key.to_vec(), value)));
    }
}

/// A request for the chains of all tables.
pub(crate) fn chains_request(sequence: u32) -> Vec<u8> {
    list_request(GET_CHAIN, sequence)
}

/// A request for all tables.
pub(crate) fn tables_request(sequence: u32) -> Vec<u8> {
    list_request(GET_TABLE, sequence)
}

fn list_request(kind: u16, sequence: u32) -> Vec<u8> {
    let mut wire = Wire::default();
    let (kind, flags) = (SUBSYSTEM << 8 | kind, REQUEST | super::wire::DUMP);
    wire.message(Header { kind, flags, sequence, family: IPV4, resource: 0 }, |_| {});
    wire.into_bytes()
}

/// The table's name in one message of the answer.
pub(crate) fn read_table(payload: &[u8]) -> Option<String> {
    read_text(payload.get(FAMILY_HEADER..)?, 1).map(str::to_owned)
}

/// The chain's name in one message of the answer, if it belongs to `table`.
pub(crate) fn read_chain(payload: &[u8], table: &str) -> Option<String> {
    let body = payload.get(FAMILY_HEADER..)?;
    (read_text(body, 1)? == table).then(|| read_text(body, 3).map(str::to_owned))?
}

fn read_text(body: &[u8], kind: u16) -> Option<&str> {
    std::str::from_utf8(super::wire::attribute(body, kind)?.strip_suffix(&[0])?).ok()
}

fn read_verdict(verdict: &[u8]) -> Option<Verdict> {
    use super::wire::attribute;
    let code = i32::from_be_bytes(attribute(verdict, 1)?.try_into().ok()?);
    let chain = || read_text(verdict, 2).map(str::to_owned);
    match code {
        0 => Some(Verdict::Drop),
        1 => Some(Verdict::Accept),
        -5 => Some(Verdict::Return),
        -3 => chain().map(Verdict::Jump),
        -4 => chain().map(Verdict::Goto),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::messages;
    use super::*;

    #[test]
    fn elements_are_cut_into_messages_and_read_back() {
        let elements: Vec<Element> = (0_u32..5000)
            .map(|n| (n.to_be_bytes().to_vec(), Value::Verdict(Verdict::Goto(format!("lb-{}", n % 7)))))
            .collect();
        let mut batch = Batch::new("minato-test", 100);
        batch.add_elements("frontends", elements.clone());
        let encoded = batch.finish();
        let mut read = Vec::new();
        let mut sequences = Vec::new();
        for message in messages(&encoded.bytes) {
            sequences.push(message.sequence);
            if message.kind == SUBSYSTEM << 8 | NEW_ELEMENTS {
                read_elements(message.payload, &mut read);
            }
        }
        assert_eq!(read, elements);
        assert!(sequences.len() > 4, "one attribute cannot hold them all");
        assert!(sequences.iter().copied().eq(100..100 + sequences.len() as u32));
        assert_eq!(encoded.step(101), "add 745 elements of set frontends");
        assert_eq!(encoded.last_sequence, 100 + sequences.len() as u32 - 2);
    }
}
