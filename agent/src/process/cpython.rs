//! Where CPython keeps what tells which code runs, version by version, and which of its functions decide it.
//!
//! [`layout`] holds the offsets, one row per minor version; [`inspect`] finds their place in a process and checks them
//! there before anything relies on them. [`functions`] finds what to probe, in stripped builds too.

mod check;
pub mod functions;
pub mod layout;
mod maps;
mod memory;
mod methods;
pub mod objects;

pub use check::{Refusal, by_thread, inspect, is_mapped};
