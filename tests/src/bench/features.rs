//! `cargo xtask bench features`: what each part of watching costs a request that does nothing.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use super::flow::Full;
use super::report::{APP, Figure, RATE, machine};
use super::stage::Stage;
use super::twins::{Does, Pair, Pairs, Twins};
use super::{CONNECTIONS, write};
use crate::places::Places;

/// Options of the agent, and what is on with them.
const FEATURES: [(&str, &[&str]); 4] = [
    ("capture alone", &["--no-attribution", "--no-exceptions", "--no-call-sites"]),
    ("and attribution", &["--no-exceptions", "--no-call-sites"]),
    ("and exceptions", &["--no-call-sites"]),
    ("and call sites: everything, the default", &[]),
];

/// Measures each `rounds` times in turn and writes the report as Markdown to `output`.
pub(crate) fn run(places: &Places, rounds: u32, pairs: Pairs, output: &Path) -> Result<bool> {
    Twins::even(rounds)?;
    let stage = Stage::start(places)?;
    let twins = Twins { places, servers: &stage.ping, scheme: "http", path: "/ping", does: Does::Nothing };
    twins.warm_up()?;
    let mut measured: [Vec<Pair<Full>>; FEATURES.len()] = Default::default();
    for number in 1..=rounds {
        for ((name, options), all) in FEATURES.iter().zip(&mut measured) {
            let round = twins.round(number, Pairs { calm: 0, ..pairs }, options)?;
            println!("{name}: round {number}/{rounds}: {round}");
            all.extend(round.full);
        }
    }
    let mut report = format!(
        "`/ping` of two equal servers, one of them watched, asked in turn for a fifth of a second or more each by `wrk` with {CONNECTIONS} connections, \
         {} pairs for each line; medians and their 95 % confidence intervals. {}.\n\n\
         | what is on | options | requests/s of bare | app's CPU per request of bare |\n|---|---|--:|--:|\n",
        rounds * pairs.full,
        machine(&places.any_python()?)?
    );
    for ((name, options), pairs) in FEATURES.iter().zip(&measured) {
        let [rate, app] = [RATE, APP].map(|figure| Figure::of(pairs, figure).ratio.shown(3));
        let options = options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(" ");
        writeln!(report, "| {name} | {options} | {rate} | {app} |")?;
    }
    write(output, &report)
}
