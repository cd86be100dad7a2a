//! Lines of instructions, as computed from line tables, against what each Python on this machine says itself.

#[path = "python/mod.rs"]
mod python;

use apm_core::python::lines::line_of;
use python::{Python, interpreters};

/// Prints, for each function of some modules, its line table in hex, its first line, and `offset:line` of each
/// instruction; `-` for none.
const PROGRAM: &str = r#"
import argparse, asyncio, dataclasses, decimal, dis, inspect, json, logging, ssl, tarfile, tokenize, types, typing, urllib.request

def codes(code):
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from codes(const)

def lines(code):
    if hasattr(code, "co_lines"):
        return {at: line for start, end, line in code.co_lines() for at in range(start, end, 2)}
    starts, found, line = dict(dis.findlinestarts(code)), {}, None
    for at in range(0, len(code.co_code), 2):
        line = starts.get(at, line)
        found[at] = line
    return found

out = []
for module in [argparse, asyncio.base_events, asyncio.tasks, dataclasses, dis, inspect, json.decoder, logging, ssl, tarfile,
               tokenize, typing, urllib.request]:
    with open(module.__file__, encoding="utf-8") as file:
        whole = compile(file.read(), module.__file__, "exec")
    for code in codes(whole):
        table = getattr(code, "co_linetable", None) or code.co_lnotab
        pairs = ",".join("%d:%s" % (at, "-" if line is None else line) for at, line in sorted(lines(code).items()))
        out.append("%s %d %s" % (table.hex() or "-", code.co_firstlineno, pairs))
"#;

#[test]
fn lines_equal_those_of_the_interpreter() {
    for minor in 8..=15u8 {
        let Some(interpreter) = interpreters(&format!("3.{minor}")).pop() else {
            println!("skipped: no Python 3.{minor}");
            continue;
        };
        let python = Python::run(&interpreter, PROGRAM, "';'.join(out)");
        let mut instructions = 0;
        for code in python.said().split(';') {
            let mut parts = code.split(' ');
            let mut next = || parts.next().expect("three parts");
            let (table, first, pairs) = (bytes(next()), next().parse().expect("a line"), next());
            for pair in pairs.split(',') {
                let (at, line) = pair.split_once(':').expect("offset and line");
                let ours = line_of(minor, &table, first, at.parse().expect("an offset"));
                assert_eq!(ours, line.parse().ok(), "3.{minor}, first line {first}, offset {at}");
                instructions += 1;
            }
        }
        assert!(instructions > 10_000, "only {instructions} instructions of 3.{minor}");
        println!("3.{minor}: {instructions} instructions");
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len() / 2).map(|i| digit(i * 2)).collect()
}
