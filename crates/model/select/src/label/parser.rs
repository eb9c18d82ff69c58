//! The grammar of `?labelSelector=`, as apimachinery's `labels.Parse` reads it.
//!
//! ```text
//! selector    := [ requirement { "," requirement } ]
//! requirement := [ "!" ] key | key ( "=" | "==" | "!=" | ">" | "<" ) [ value ] | key ( "in" | "notin" ) values
//! values      := "(" [ value ] { "," [ value ] } ")"
//! ```
//! `in` and `notin` are words only where an operator may stand; elsewhere they are keys and values.

use super::{Operator, ParseLabelSelectorError, Requirement, RequirementError, invalid_key};

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Word,
    Comma,
    Open,
    Close,
    Not,
    Comparison(Operator),
    End,
}

pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, ParseLabelSelectorError> {
    let mut parser = Parser { tokens: scan(text), position: 0 };
    let mut requirements = Vec::new();
    loop {
        let (token, found) = parser.peek();
        match token {
            Token::Word | Token::Not => {
                requirements.push(parser.requirement().map_err(ParseLabelSelectorError::Requirement)?);
            }
            Token::End => return Ok(requirements),
            _ => return Err(unexpected(found, "!, identifier, or 'end of string'")),
        }
        match parser.next() {
            (Token::End, _) => return Ok(requirements),
            (Token::Comma, _) => match parser.peek() {
                (Token::Word | Token::Not, _) => {}
                (_, found) => return Err(unexpected(found, "identifier after ','")),
            },
            (_, found) => return Err(unexpected(found, "',' or 'end of string'")),
        }
    }
}

fn unexpected(found: &str, expected: &'static str) -> ParseLabelSelectorError {
    ParseLabelSelectorError::Unexpected { found: found.to_owned(), expected }
}

fn scan(text: &str) -> Vec<(Token, &str)> {
    let special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(space);
    while !rest.is_empty() {
        let (token, length) = match rest.as_bytes() {
            [b'=', b'=', ..] => (Token::Comparison(Operator::DoubleEquals), 2),
            [b'!', b'=', ..] => (Token::Comparison(Operator::NotEquals), 2),
            [b'=', ..] => (Token::Comparison(Operator::Equals), 1),
            [b'>', ..] => (Token::Comparison(Operator::GreaterThan), 1),
            [b'<', ..] => (Token::Comparison(Operator::LessThan), 1),
            [b'!', ..] => (Token::Not, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            _ => (Token::Word, rest.find(|c| special(c) || space(c)).unwrap_or(rest.len())),
        };
        let (literal, after) = rest.split_at(length);
        tokens.push((token, literal));
        rest = after.trim_start_matches(space);
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<(Token, &'a str)>,
    position: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> (Token, &'a str) {
        self.tokens.get(self.position).copied().unwrap_or((Token::End, ""))
    }

    fn next(&mut self) -> (Token, &'a str) {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, RequirementError> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Word {
            return Err(expected(key, "identifier"));
        }
        if let Some(error) = invalid_key("<nil>", key) {
            return Err(RequirementError::Invalid(vec![error]));
        }
        if negated {
            return Requirement::new(key, Operator::DoesNotExist, None::<String>);
        }
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Requirement::new(key, Operator::Exists, None::<String>);
        }
        match self.operator()? {
            operator @ (Operator::In | Operator::NotIn) => Requirement::new(key, operator, self.values()?),
            operator => Requirement::new(key, operator, [self.exact_value()?]),
        }
    }

    fn operator(&mut self) -> Result<Operator, RequirementError> {
        match self.next() {
            (Token::Comparison(operator), _) => Ok(operator),
            (Token::Word, "in") => Ok(Operator::In),
            (Token::Word, "notin") => Ok(Operator::NotIn),
            (_, found) => Err(expected(found, OPERATORS)),
        }
    }

    fn exact_value(&mut self) -> Result<&'a str, RequirementError> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok("");
        }
        match self.next() {
            (Token::Word, value) => Ok(value),
            (_, found) => Err(expected(found, "identifier")),
        }
    }

    fn values(&mut self) -> Result<Vec<&'a str>, RequirementError> {
        match self.next() {
            (Token::Open, _) => {}
            (_, found) => return Err(RequirementError::NoList { found: found.to_owned() }),
        }
        match self.peek() {
            (Token::Word | Token::Comma, _) => self.value_list(),
            (Token::Close, _) => {
                self.next();
                Ok(Vec::new())
            }
            (_, found) => Err(expected(found, "',', ')' or identifier")),
        }
    }

    /// After the opening parenthesis, up to and with the closing one. A missing value is the empty one: `(,a)`.
    fn value_list(&mut self) -> Result<Vec<&'a str>, RequirementError> {
        let mut values = Vec::new();
        let mut value_pending = true;
        loop {
            match self.next() {
                (Token::Word, value) => {
                    values.push(value);
                    value_pending = false;
                    match self.peek() {
                        (Token::Comma | Token::Close, _) => {}
                        (_, found) => return Err(expected(found, "',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if value_pending {
                        values.push("");
                    }
                    value_pending = true;
                }
                (Token::Close, _) => {
                    if value_pending {
                        values.push("");
                    }
                    return Ok(values);
                }
                (_, found) => return Err(expected(found, "',', or identifier")),
            }
        }
    }
}

fn expected(found: &str, expected: &'static str) -> RequirementError {
    RequirementError::Unexpected { found: found.to_owned(), expected }
}
