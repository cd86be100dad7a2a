//! Builds the agent anew when the page was built anew: its files are embedded, and their names change with their content.

#[allow(clippy::print_stdout)] // how a build script speaks to cargo
fn main() {
    // Where there is no page yet, cargo looks again each time, and finds it when it is there.
    println!("cargo::rerun-if-changed=../dashboard/dist");
}
