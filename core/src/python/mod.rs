//! What the memory of a CPython process says, in Python's own words: which line an instruction belongs to, and how an
//! exception's message and traceback read.
//!
//! Bytes and values come in from whoever can read the process; nothing here reads it.

mod card;
mod database;
pub mod lines;
pub mod message;
pub mod place;
pub mod redact;
pub mod scrub;
pub mod traceback;
pub mod value;
