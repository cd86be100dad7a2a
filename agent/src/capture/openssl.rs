//! Which functions of OpenSSL are probed, and by which programs.

mod bios;
mod states;

pub(super) use bios::bios;
pub(super) use states::{States, states};

use std::io::{Read, Seek};

use super::libraries::Point;
use super::sites::{self, Code, Keeps};
use crate::process::{SslFunction, SslMethods};

/// Functions that move plaintext one way, with the program at their entry: the one that does the work for others first.
struct Moves {
    functions: &'static [(&'static str, &'static str)],
    /// Program at their return.
    on_return: &'static str,
}

const MOVES: [Moves; 2] = [
    Moves {
        functions: &[("SSL_read_ex", "ssl_call_ex"), ("SSL_read", "ssl_call")],
        on_return: "ssl_read_return",
    },
    Moves {
        functions: &[
            ("SSL_write_ex2", "ssl_call_ex2"),
            ("SSL_write_ex", "ssl_call_ex"),
            ("SSL_write", "ssl_call"),
        ],
        on_return: "ssl_write_return",
    },
];

/// Functions that bound the life of a stream, with the program at their entry.
const LIFE: [(&str, &str); 3] = [
    ("SSL_set_accept_state", "ssl_accepts"),
    ("SSL_set_connect_state", "ssl_connects"),
    ("SSL_free", "ssl_ends"),
];

/// The function that gives a stream its BIOs, with its program, for where they cannot be found otherwise.
const SET_BIOS: (&str, &str) = ("SSL_set_bio", "ssl_bios");

/// What to probe of these functions of one file. Without its code each is probed by itself; with it, only that to which
/// others lead. `bios` is what [`bios`] said.
pub(super) fn points<R: Read + Seek>(
    functions: &[SslFunction],
    mut code: Option<&mut Code<R>>,
    bios: Option<u64>,
) -> Vec<Point> {
    let find = |name: &str| functions.iter().find(|function| function.name == name);
    let mut points = Vec::new();
    for moves in &MOVES {
        // Where a call is seen that leads there.
        let mut seen: Vec<u64> = Vec::new();
        for (name, program) in moves.functions {
            let Some(function) = find(name) else { continue };
            let (mut start, mut size) = (function.file_offset, function.size);
            if let Some(code) = code.as_deref_mut() {
                if sites::leads_to(code, start, &seen) {
                    seen.push(start);
                    continue;
                }
                seen.push(start);
                // It takes the same arguments only from a function that is told how many bytes were moved.
                if *program != "ssl_call"
                    && let Some(inner) = cheaper(code, start, size)
                {
                    (start, size) = (inner, 0);
                    seen.push(start);
                }
            }
            points.push(Point { program, offset: start, size, cookie: None });
            points.push(Point { program: moves.on_return, offset: start, size, cookie: bios });
        }
    }
    let life = LIFE.into_iter().chain(bios.is_none().then_some(SET_BIOS));
    for (name, program) in life {
        let point = |at: &SslFunction| Point { program, offset: at.file_offset, size: at.size, cookie: None };
        points.extend(find(name).map(point));
    }
    points
}

/// What to probe of an OpenSSL of which no symbol tells: its functions of lower rank take and return what those of [`MOVES`] do.
/// Without what [`states`] finds, what a stream says tells whose it is.
pub(super) fn points_of_methods(methods: &SslMethods, states: Option<&States>) -> Vec<Point> {
    let point = |program, offset, cookie| Point { program, offset, size: 0, cookie };
    let mut points = vec![point("ssl_ends", methods.free, None)];
    for (offset, moves) in [methods.read, methods.write].into_iter().zip(&MOVES) {
        points.push(point("ssl_call_ex", offset, None));
        points.push(point(moves.on_return, offset, states.map(|states| states.bios)));
    }
    if let Some(states) = states {
        points.push(point("ssl_accepts", states.accepts, None));
        points.push(point("ssl_connects", states.connects, None));
    }
    points
}

/// The function that works for the one at `start`, where it is cheaper to probe.
fn cheaper<R: Read + Seek>(code: &mut Code<R>, start: u64, size: u64) -> Option<u64> {
    if is_cheap(code, start, size) {
        return None;
    }
    sites::inner(code, start).filter(|inner| is_cheap(code, *inner, 0))
}

fn is_cheap<R: Read + Seek>(code: &mut Code<R>, start: u64, size: u64) -> bool {
    let site = sites::site(code, start, size, Keeps::ReturnAddress);
    sites::is_emulated(code, site)
}

#[cfg(test)]
mod tests;
