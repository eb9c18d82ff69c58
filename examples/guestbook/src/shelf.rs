//! The book in memory, and the news of its growth.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::message::{Excerpt, Message};

/// Messages in one excerpt.
pub(crate) const EXCERPT_MAX: usize = 1000;

/// The book as far as this process knows it; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    book: Arc<RwLock<Book>>,
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Book {
    id: String,
    messages: Vec<Message>,
}

impl Shelf {
    pub(crate) fn new(id: String, messages: Vec<Message>) -> Self {
        let last = watch::Sender::new(last_of(&messages));
        Self { book: Arc::new(RwLock::new(Book { id, messages })), last }
    }

    pub(crate) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    pub(crate) fn id(&self) -> String {
        self.book.read().unwrap_or_else(PoisonError::into_inner).id.clone()
    }

    /// Up to `limit` messages after that number, oldest first.
    pub(crate) fn after(&self, number: u64, limit: usize) -> Excerpt {
        self.excerpt(|messages| {
            let start = usize::try_from(number).unwrap_or(usize::MAX).min(messages.len());
            &messages[start..messages.len().min(start.saturating_add(limit.min(EXCERPT_MAX)))]
        })
    }

    /// The newest `limit` messages, oldest first.
    pub(crate) fn newest(&self, limit: usize) -> Excerpt {
        self.excerpt(|messages| &messages[messages.len().saturating_sub(limit.min(EXCERPT_MAX))..])
    }

    fn excerpt(&self, choose: impl Fn(&[Message]) -> &[Message]) -> Excerpt {
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        Excerpt { book: book.id.clone(), last: last_of(&book.messages), messages: choose(&book.messages).to_vec() }
    }

    /// Adds what follows on what is known; a different book replaces it.
    pub(crate) fn extend(&self, excerpt: Excerpt) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        if book.id != excerpt.book {
            book.id = excerpt.book;
            book.messages.clear();
        }
        for message in excerpt.messages {
            if message.number == last_of(&book.messages) + 1 {
                book.messages.push(message);
            }
        }
        self.last.send_replace(last_of(&book.messages));
    }

    /// Waits until the book has that many messages, but not longer than `at_most`.
    pub(crate) async fn reaches(&self, number: u64, at_most: Duration) -> bool {
        let mut last = self.last.subscribe();
        tokio::time::timeout(at_most, last.wait_for(|last| *last >= number)).await.is_ok()
    }
}

fn last_of(messages: &[Message]) -> u64 {
    messages.last().map_or(0, |message| message.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Draft;

    fn excerpt(book: &str, numbers: std::ops::Range<u64>) -> Excerpt {
        let draft = Draft { author: "a".into(), text: "b".into() };
        let messages: Vec<Message> = numbers.map(|number| draft.clone().numbered(number)).collect();
        Excerpt { book: book.into(), last: last_of(&messages), messages }
    }

    fn numbers(excerpt: &Excerpt) -> Vec<u64> {
        excerpt.messages.iter().map(|message| message.number).collect()
    }

    #[tokio::test]
    async fn grows_without_gaps_and_follows_a_new_book() {
        let shelf = Shelf::new(String::new(), Vec::new());
        shelf.extend(excerpt("one", 1..4));
        shelf.extend(excerpt("one", 2..6));
        shelf.extend(excerpt("one", 9..12));
        assert_eq!(numbers(&shelf.after(0, 100)), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&shelf.after(3, 1)), [4]);
        assert_eq!(numbers(&shelf.newest(2)), [4, 5]);
        assert!(numbers(&shelf.after(99, 1)).is_empty());
        assert!(shelf.reaches(5, Duration::ZERO).await);
        assert!(!shelf.reaches(6, Duration::from_millis(1)).await);
        shelf.extend(excerpt("two", 1..2));
        assert_eq!((shelf.id().as_str(), shelf.last()), ("two", 1));
    }
}
