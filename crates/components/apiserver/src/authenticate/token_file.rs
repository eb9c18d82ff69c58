//! The static token file: lines of `token,user,uid,"group1,group2"`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::identity::{User, UserInfo};

/// Tokens that are known from the start.
#[derive(Clone, Default)]
pub struct StaticTokens(Arc<HashMap<String, User>>);

impl std::fmt::Debug for StaticTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StaticTokens").field(&self.0.len()).finish()
    }
}

/// A line of a token file that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenFileError {
    /// Too few columns.
    #[error("line {line}: at least three columns are expected (token, user name, user uid), found {found}")]
    Columns {
        /// Counted from one.
        line: usize,
        /// How many there are.
        found: usize,
    },
    /// An empty token would let everybody in.
    #[error("line {line}: empty token")]
    Empty {
        /// Counted from one.
        line: usize,
    },
    /// A quote that does not end.
    #[error("line {line}: a quotation mark is missing")]
    Quote {
        /// Counted from one.
        line: usize,
    },
}

impl StaticTokens {
    /// Reads a token file's text.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut tokens = HashMap::new();
        for (index, text) in text.lines().enumerate() {
            let line = index + 1;
            if text.trim().is_empty() {
                continue;
            }
            let columns = columns(text).ok_or(TokenFileError::Quote { line })?;
            let [token, name, uid, rest @ ..] = columns.as_slice() else {
                return Err(TokenFileError::Columns { line, found: columns.len() });
            };
            if token.is_empty() {
                return Err(TokenFileError::Empty { line });
            }
            let groups = rest.first().map(String::as_str).unwrap_or_default().split(',').map(str::trim);
            let info = UserInfo {
                name: name.clone(),
                uid: uid.clone(),
                groups: groups.filter(|group| !group.is_empty()).map(str::to_owned).collect(),
                ..UserInfo::default()
            };
            // As upstream: of two lines with one token, the later counts.
            tokens.insert(token.clone(), User::authenticated(info));
        }
        Ok(Self(Arc::new(tokens)))
    }

    pub(super) fn user(&self, token: &str) -> Option<User> {
        self.0.get(token).cloned()
    }
}

/// The columns of a line of CSV; in quotes, commas are text and `""` is a quotation mark.
fn columns(line: &str) -> Option<Vec<String>> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        let column = columns.last_mut()?;
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => column.extend(letters.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => columns.push(String::new()),
            other => column.push(other),
        }
    }
    (!quoted).then(|| columns.into_iter().map(|column| column.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_files() {
        let tokens = StaticTokens::parse("t1,alice,1,\"dev, ops\"\n\nt2, bob ,2\n").unwrap();
        let user = tokens.user("t1").unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("alice", "1"));
        assert_eq!(user.groups, ["dev", "ops", "system:authenticated"]);
        assert_eq!(tokens.user("t2").unwrap().name, "bob");
        assert!(tokens.user("").is_none() && tokens.user("t3").is_none());
        let error = |text| StaticTokens::parse(text).unwrap_err();
        assert_eq!(error("a,b"), TokenFileError::Columns { line: 1, found: 2 });
        assert_eq!(error("\n,b,c"), TokenFileError::Empty { line: 2 });
        assert_eq!(error("a,b,c,\"d"), TokenFileError::Quote { line: 1 });
    }
}
