//! The agent as a library.

pub mod attribution;
pub mod call_sites;
pub mod capture;
pub mod check;
pub mod cli;
pub mod config;
pub mod exceptions;
pub mod footprint;
pub mod pipeline;
pub mod privileges;
pub mod problem;
pub mod process;
pub mod python;
pub mod server;
pub mod store;
pub mod supervisor;
