//! What is stored and sent.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const AUTHOR_LENGTH_MAX: usize = 100;
const TEXT_LENGTH_MAX: usize = 2000;

/// A message in the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// 1 for the first message, and so on without gaps.
    pub(crate) number: u64,
    /// Seconds since 1970.
    pub(crate) at: u64,
    pub(crate) author: String,
    pub(crate) text: String,
}

/// What somebody wants to add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) author: String,
    pub(crate) text: String,
}

/// Some messages, and what they are part of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Excerpt {
    /// Which book this is: numbers of different books have nothing to do with each other.
    pub(crate) book: String,
    /// The number of the newest message of all.
    pub(crate) last: u64,
    pub(crate) messages: Vec<Message>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DraftError {
    #[error("a message needs some text")]
    Empty,
    #[error("a name has at most {AUTHOR_LENGTH_MAX} characters")]
    LongAuthor,
    #[error("a message has at most {TEXT_LENGTH_MAX} characters")]
    LongText,
}

impl Draft {
    /// Trims and checks.
    pub(crate) fn checked(self) -> Result<Self, DraftError> {
        let (author, text) = (self.author.trim(), self.text.trim());
        match () {
            () if text.is_empty() => Err(DraftError::Empty),
            () if author.chars().count() > AUTHOR_LENGTH_MAX => Err(DraftError::LongAuthor),
            () if text.chars().count() > TEXT_LENGTH_MAX => Err(DraftError::LongText),
            () => {
                let author = if author.is_empty() { "Anonymous" } else { author };
                Ok(Self { author: author.to_owned(), text: text.to_owned() })
            }
        }
    }

    pub(crate) fn numbered(self, number: u64) -> Message {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Message { number, at, author: self.author, text: self.text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drafts() {
        let draft = |author: &str, text: &str| Draft { author: author.into(), text: text.into() };
        assert_eq!(draft(" a ", " b\n").checked(), Ok(draft("a", "b")));
        assert_eq!(draft("", "b").checked(), Ok(draft("Anonymous", "b")));
        assert_eq!(draft("a", " \n").checked(), Err(DraftError::Empty));
        assert_eq!(draft(&"a".repeat(101), "b").checked(), Err(DraftError::LongAuthor));
        assert_eq!(draft("a", &"港".repeat(2001)).checked(), Err(DraftError::LongText));
        assert!(draft("a", &"港".repeat(2000)).checked().is_ok());
    }
}
