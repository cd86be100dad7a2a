//! The `apm-agent` binary.
fn main() {}
