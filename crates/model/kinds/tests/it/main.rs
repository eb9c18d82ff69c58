//! Kinds as data.

mod case;
mod declarations;
mod pods;
