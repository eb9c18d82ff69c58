//! What selectors look at, packed: labels and selectable fields of one object in a single allocation.

use std::fmt;

/// The labels and the selectable fields of an object.
///
/// Half a million of them are kept, so the pairs lie one after the other in one buffer: the number of labels as two
/// bytes, then for each pair the lengths of both parts and the parts. There are a handful of pairs, a look-up walks.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    packed: Box<[u8]>,
}

const LENGTH_BYTES: usize = 4;
const COUNT_BYTES: usize = 2;

impl Attributes {
    /// Packs `labels` and `fields` (path and value, for example `spec.nodeName`), each sorted by its first part.
    /// More than 65,535 labels do not fit in an object the API accepts; later ones are left out.
    pub fn new<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut labels: Vec<_> = labels.into_iter().collect();
        labels.sort_unstable();
        labels.truncate(usize::from(u16::MAX));
        let mut fields: Vec<_> = fields.into_iter().collect();
        fields.sort_unstable();
        if labels.is_empty() && fields.is_empty() {
            return Self::default();
        }
        let pairs = labels.iter().chain(&fields);
        let size = pairs.clone().map(|(first, second)| 2 * LENGTH_BYTES + first.len() + second.len()).sum::<usize>();
        let mut packed = Vec::with_capacity(COUNT_BYTES + size);
        packed.extend_from_slice(&(labels.len() as u16).to_le_bytes());
        for (first, second) in pairs {
            packed.extend_from_slice(&(first.len() as u32).to_le_bytes());
            packed.extend_from_slice(&(second.len() as u32).to_le_bytes());
            packed.extend_from_slice(first.as_bytes());
            packed.extend_from_slice(second.as_bytes());
        }
        Self { packed: packed.into_boxed_slice() }
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The value of a selectable field.
    pub fn field(&self, path: &str) -> Option<&str> {
        self.fields().find(|(found, _)| *found == path).map(|(_, value)| value)
    }

    /// The labels, sorted by key.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().take(self.label_count())
    }

    /// The selectable fields, sorted by path.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs().skip(self.label_count())
    }

    fn label_count(&self) -> usize {
        self.packed.first_chunk().map_or(0, |count| usize::from(u16::from_le_bytes(*count)))
    }

    fn pairs(&self) -> Pairs<'_> {
        Pairs { rest: self.packed.get(COUNT_BYTES..).unwrap_or_default() }
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Attributes")
            .field("labels", &self.labels().collect::<Vec<_>>())
            .field("fields", &self.fields().collect::<Vec<_>>())
            .finish()
    }
}

struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Pairs<'a> {
    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.rest.split_first_chunk::<LENGTH_BYTES>()?;
        self.rest = rest;
        Some(u32::from_le_bytes(*length) as usize)
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (first, second) = (self.length()?, self.length()?);
        Some((self.text(first)?, self.text(second)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_labels_and_fields_apart() {
        let attributes = Attributes::new(
            [("tier", "web"), ("app", "x"), ("empty", "")],
            [("spec.nodeName", "n1"), ("app", "field")],
        );
        assert_eq!(attributes.labels().collect::<Vec<_>>(), [("app", "x"), ("empty", ""), ("tier", "web")]);
        assert_eq!(attributes.fields().collect::<Vec<_>>(), [("app", "field"), ("spec.nodeName", "n1")]);
        assert_eq!(attributes.label("app"), Some("x"));
        assert_eq!(attributes.label("empty"), Some(""));
        assert_eq!(attributes.field("app"), Some("field"));
        assert_eq!(attributes.field("tier"), None);
    }

    #[test]
    fn nothing_takes_no_allocation() {
        let nothing = Attributes::new([], []);
        assert!(nothing.packed.is_empty());
        assert_eq!(nothing.labels().chain(nothing.fields()).count(), 0);
    }
}
