//! The pure part of apm-agent.
//!
//! Bytes and times come in, exchanges and figures go out. Nothing here reads a clock, a file or the network, starts a
//! thread or knows how the bytes were captured; so everything here can be tested with values alone, and is.
//!
//! Modules are the stages of the data path, in its order; each may use those above it, never those below:
//! [`time`], [`loss`], [`sql`], [`python`] -> [`exchange`] -> [`protocol`] -> [`connection`] -> [`correlate`] -> [`route`] -> [`aggregate`].

#![forbid(unsafe_code)]

pub mod aggregate;
pub mod connection;
pub mod correlate;
pub mod exchange;
pub mod executions;
pub mod loss;
pub mod protocol;
pub mod python;
pub mod record;
pub mod route;
pub mod sql;
pub mod time;
