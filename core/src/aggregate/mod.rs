//! Figures over spans of time: what a window of the past amounts to, without reading every request in it.
//!
//! A [`Cell`] holds the figures of one series (a route, a host, a statement, ...) in one bucket of time. Buckets come in
//! [`LEVELS`] of width; [`window::plan`] covers any window with the fewest buckets and the raw rows at its edges.

pub mod cell;
pub mod histogram;
pub mod varint;
pub mod window;

pub use cell::{Cell, Sample, Sum};
pub use histogram::Histogram;
pub use window::{Floors, LEVELS, Rolled, Span, plan};
