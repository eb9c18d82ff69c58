//! Links in HTML pages that come through the proxy, rewritten while the page is streamed.
//!
//! Not a parser of HTML: it finds tags, and in the tags that link the attributes that link; everything else goes through
//! byte by byte. A tag longer than a bound goes through as it is.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use minato_http::BoxError;

use super::rewrite::Rewrite;
use crate::body::ResponseBody;

/// The longest tag that is looked into.
const TAG_BYTES_MAX: usize = 64 * 1024;

/// Attributes that hold a URL, by element.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// `body`, an HTML page, with its links rewritten.
pub(super) fn rewritten(body: ResponseBody, rewrite: Rewrite) -> ResponseBody {
    let chunks = body.into_data_stream().map(Some).chain(futures::stream::once(async { None }));
    let mut page = Page { rewrite, pending: BytesMut::new(), inside: Inside::Text };
    ResponseBody::chunks(chunks.map(move |chunk| -> Result<Bytes, BoxError> {
        match chunk {
            Some(chunk) => Ok(page.feed(&chunk?)),
            None => Ok(page.finish()),
        }
    }))
}

/// Where in the page the next byte is.
#[derive(Clone, Copy)]
enum Inside {
    Text,
    Comment,
    /// An element whose content has no tags but its own end.
    Raw(&'static str),
}

/// A page of which a part has come.
struct Page {
    rewrite: Rewrite,
    /// What has come and cannot be understood yet.
    pending: BytesMut,
    inside: Inside,
}

impl Page {
    /// Takes the next bytes of the page; gives those that can be sent.
    fn feed(&mut self, chunk: &[u8]) -> Bytes {
        self.pending.extend_from_slice(chunk);
        let mut out = BytesMut::with_capacity(self.pending.len());
        while let Some(taken) = self.step(&mut out) {
            let _ = self.pending.split_to(taken);
        }
        out.freeze()
    }

    /// What is left at the end of the page.
    fn finish(&mut self) -> Bytes {
        std::mem::take(&mut self.pending).freeze()
    }

    /// Writes what the beginning of `pending` becomes and tells its length; `None` until more has come.
    fn step(&mut self, out: &mut BytesMut) -> Option<usize> {
        let pending = &self.pending[..];
        if pending.is_empty() {
            return None;
        }
        match self.inside {
            Inside::Comment => self.pass_until(b"-->", out),
            Inside::Raw(name) => {
                let end = format!("</{name}");
                self.pass_until(end.as_bytes(), out)
            }
            Inside::Text if pending[0] != b'<' => {
                let end = pending.iter().position(|byte| *byte == b'<').unwrap_or(pending.len());
                out.extend_from_slice(&pending[..end]);
                Some(end)
            }
            Inside::Text if pending.starts_with(b"<!--") => {
                out.extend_from_slice(b"<!--");
                self.inside = Inside::Comment;
                Some(4)
            }
            Inside::Text if b"<!--".starts_with(pending) => None,
            Inside::Text => {
                let Some(end) = tag_end(pending) else {
                    if pending.len() < TAG_BYTES_MAX {
                        return None;
                    }
                    out.extend_from_slice(pending);
                    return Some(pending.len());
                };
                let tag = &pending[..end];
                out.extend_from_slice(&self.tag(tag));
                let name = element(tag);
                if let Some(raw) = ["script", "style", "textarea", "title"].into_iter().find(|raw| *raw == name) {
                    self.inside = Inside::Raw(raw);
                }
                Some(end)
            }
        }
    }

    /// Passes bytes on until behind `end`, which may still be cut.
    fn pass_until(&mut self, end: &[u8], out: &mut BytesMut) -> Option<usize> {
        let pending = &self.pending[..];
        match pending.windows(end.len()).position(|window| window.eq_ignore_ascii_case(end)) {
            Some(at) => {
                self.inside = Inside::Text;
                // The end of a raw element is a tag, which is read as such.
                let taken = if end.starts_with(b"<") { at } else { at + end.len() };
                out.extend_from_slice(&pending[..taken]);
                if taken == 0 { self.step(out) } else { Some(taken) }
            }
            None => {
                let taken = pending.len().saturating_sub(end.len() - 1);
                out.extend_from_slice(&pending[..taken]);
                (taken > 0).then_some(taken)
            }
        }
    }

    /// A tag with its links rewritten.
    fn tag(&self, tag: &[u8]) -> Vec<u8> {
        let name = element(tag);
        let Some((_, linking)) = LINKS.iter().find(|(element, _)| *element == name) else { return tag.to_vec() };
        let mut out = Vec::with_capacity(tag.len() + self.rewrite.prefix.len());
        let mut at = 1 + name.len();
        out.extend_from_slice(&tag[..at]);
        while let Some(attribute) = Attribute::next(tag, at) {
            let name = String::from_utf8_lossy(&tag[attribute.name.clone()]).to_ascii_lowercase();
            let value = std::str::from_utf8(&tag[attribute.value.clone()]).unwrap_or_default();
            out.extend_from_slice(&tag[at..attribute.value.start]);
            if linking.contains(&name.as_str()) && !value.is_empty() {
                out.extend_from_slice(self.rewrite.url(value).as_bytes());
            } else {
                out.extend_from_slice(&tag[attribute.value.clone()]);
            }
            at = attribute.value.end;
        }
        out.extend_from_slice(&tag[at..]);
        out
    }
}

/// Where an attribute of a tag is.
struct Attribute {
    name: std::ops::Range<usize>,
    /// Without quotes; empty where there is no value.
    value: std::ops::Range<usize>,
}

impl Attribute {
    /// The first attribute at or behind `from`.
    fn next(tag: &[u8], from: usize) -> Option<Self> {
        let skip = |mut at: usize, of: &dyn Fn(u8) -> bool| {
            while tag.get(at).is_some_and(|byte| of(*byte)) {
                at += 1;
            }
            at
        };
        let is_space = |byte: u8| byte.is_ascii_whitespace();
        let start = skip(from, &|byte| is_space(byte) || matches!(byte, b'/' | b'"' | b'\''));
        let end = skip(start, &|byte| !is_space(byte) && !matches!(byte, b'=' | b'>' | b'/'));
        if tag.get(start).is_none_or(|byte| *byte == b'>') {
            return None;
        }
        // A stray `=` is a name of its own.
        let end = end.max(start + 1);
        let equals = skip(end, &is_space);
        if tag.get(equals) != Some(&b'=') || start == equals {
            return Some(Self { name: start..end, value: end..end });
        }
        let value = skip(equals + 1, &is_space);
        Some(match tag.get(value) {
            Some(quote @ (b'"' | b'\'')) => {
                let close = skip(value + 1, &|byte| byte != *quote);
                Self { name: start..end, value: value + 1..close }
            }
            _ => {
                let close = skip(value, &|byte| !is_space(byte) && byte != b'>');
                Self { name: start..end, value: value..close }
            }
        })
    }
}

/// The name of the element that a tag opens, in lower case; empty for other tags.
fn element(tag: &[u8]) -> String {
    let name = tag[1..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).copied().collect::<Vec<u8>>();
    String::from_utf8_lossy(&name).to_ascii_lowercase()
}

/// The length of the tag that `text` begins with; a `>` in quotes does not end it.
fn tag_end(text: &[u8]) -> Option<usize> {
    if !text.get(1)?.is_ascii_alphabetic() && !matches!(text[1], b'/' | b'!' | b'?') {
        return Some(1);
    }
    let mut quote = None;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') if text[1].is_ascii_alphabetic() => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let rewrite = Rewrite { prefix: "/p".to_owned(), backend: "10.0.0.1:80".to_owned(), asked: String::new() };
        Page { rewrite, pending: BytesMut::new(), inside: Inside::Text }
    }

    /// However the page is cut, the result is the same.
    fn check(given: &str, expected: &str) {
        for size in [1, 2, 3, 7, given.len().max(1)] {
            let mut page = page();
            let mut out = Vec::new();
            for chunk in given.as_bytes().chunks(size) {
                out.extend_from_slice(&page.feed(chunk));
            }
            out.extend_from_slice(&page.finish());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn pages() {
        check("<a href=\"/rewriteme\">test</a>", "<a href=\"/p/rewriteme\">test</a>");
        check("<A class=x HREF='/a?b=>c' >", "<A class=x HREF='/p/a?b=>c' >");
        check("<img src=/i.png alt=\"/x\"/>", "<img src=/p/i.png alt=\"/x\"/>");
        check("<form method=post action = \"http://10.0.0.1:80/f\">", "<form method=post action = \"/p/f\">");
        check("<a href=\"http://example.org/\">", "<a href=\"http://example.org/\">");
        check("<!-- <a href=\"/x\"> --><a href=\"/x\">", "<!-- <a href=\"/x\"> --><a href=\"/p/x\">");
        check(
            "<script src=\"/s.js\">if (a<b) '<a href=\"/x\">'</script>",
            "<script src=\"/p/s.js\">if (a<b) '<a href=\"/x\">'</script>",
        );
        check("<style>a</style><link href=\"/c\">", "<style>a</style><link href=\"/p/c\">");
        check("a < b and <br> <p title=\"/x\">", "a < b and <br> <p title=\"/x\">");
        check("<!DOCTYPE html><a href=\"/x\"", "<!DOCTYPE html><a href=\"/x\"");
        check("<a = href=\"/x\" href>", "<a = href=\"/p/x\" href>");
        check("", "");
    }

    #[test]
    fn no_bytes_upset_it() {
        let mut seed = 7_u32;
        let alphabet = b"<>!-/='\" ahrefscipt\xff\n";
        for _ in 0..2_000 {
            let text: Vec<u8> = (0..40)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[(seed >> 16) as usize % alphabet.len()]
                })
                .collect();
            let mut page = page();
            let mut out = text.chunks(5).flat_map(|chunk| page.feed(chunk).to_vec()).collect::<Vec<u8>>();
            out.extend_from_slice(&page.finish());
            // Nothing but prefixes is ever added, and nothing is lost.
            assert!(out.len() >= text.len(), "{:?}", String::from_utf8_lossy(&text));
        }
    }
}
