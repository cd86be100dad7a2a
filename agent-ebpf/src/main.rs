//! probes
fn main() {}
