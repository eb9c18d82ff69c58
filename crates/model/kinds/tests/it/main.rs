//! Kinds as data.

mod declarations;
