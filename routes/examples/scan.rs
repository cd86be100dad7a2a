//! Prints the routes of a source tree: `cargo run -p apm-routes --example scan -- DIRECTORY [--script FILE]`.
//! The environment variables that the source asks for are those of this process.
#![allow(clippy::print_stdout, reason = "it is there to print")]

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(root) = std::env::args().nth(1) else {
        println!("usage: scan DIRECTORY [--script FILE]");
        return ExitCode::from(2);
    };
    let mut options = apm_routes::Options::new(root);
    options.environment = Some(std::env::vars().map(|(name, value)| (name, Some(value))).collect());
    options.script = std::env::args().skip_while(|word| word != "--script").nth(1);
    match apm_routes::scan(&options) {
        Ok(scan) => {
            let mut number = None;
            for route in &scan.routes {
                if number.replace(route.app) != Some(route.app)
                    && let Some(app) = scan.apps.iter().find(|app| app.number == route.app)
                {
                    println!("# {}:{} {:?}", app.file, app.line, app.names);
                }
                if route.gap {
                    println!(
                        "{:<9} (routes that are not known) below {}",
                        route.framework.name(),
                        route.route
                    );
                    continue;
                }
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
