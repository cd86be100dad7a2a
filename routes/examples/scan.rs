//! Prints the routes of a source tree: `cargo run -p apm-routes --example scan -- DIRECTORY`.
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(root) = std::env::args().nth(1) else {
        println!("usage: scan DIRECTORY");
        return ExitCode::from(2);
    };
    match apm_routes::scan(&apm_routes::Options::new(root)) {
        Ok(scan) => {
            for route in &scan.routes {
                let known = if route.prefix_known { "" } else { "  (prefix unknown)" };
                let conditional = if route.conditional { "  (conditional)" } else { "" };
                println!(
                    "{:<9} {:<7} {:<50} {}:{} {}{known}{conditional}",
                    route.framework.name(),
                    route.method,
                    route.route,
                    route.file,
                    route.line,
                    route.function,
                );
            }
            for (counter, value) in scan.counters.iter().filter(|(_, value)| *value > 0) {
                println!("{} {value}", counter.name());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
