//! Learning that something of one resource has changed, for tasks that then look at all of it.

use minato_mvcc::{Cursor, Memory};

/// One resource that is followed.
pub(crate) struct Followed {
    memory: Memory,
    storage: &'static str,
    cursor: Option<Cursor>,
}

impl Followed {
    /// Follows what changes from now on.
    pub(crate) fn new(memory: &Memory, storage: &'static str) -> Self {
        let cursor = memory.subscribe(storage, memory.revision()).ok();
        Self { memory: memory.clone(), storage, cursor }
    }

    /// Completes after a change, also when there were more than are remembered. Nothing is lost when it is dropped.
    pub(crate) async fn changed(&mut self) {
        let next = match &mut self.cursor {
            Some(cursor) => cursor.next().await.is_ok(),
            None => false,
        };
        if !next {
            self.cursor = self.memory.subscribe(self.storage, self.memory.revision()).ok();
        }
    }
}
