//! Calls of which some never arrive, in every pattern.
//!
//! The kernel side numbers bytes by direction, so a lost call is known when the next one of its direction comes; by then the
//! other direction may have lost some too, of which nothing is known yet.

use std::ops::Range;

use crate::exchange::{Detail, Direction, Exchange, Origin, Outcome, Role};
use crate::loss::Losses;
use crate::protocol::{At, CloseReason, Output, Protocol};
use crate::time::Time;

/// Stands in a line for a request or an answer that is told as not known.
pub(in crate::protocol) const UNKNOWN: &str = "?";

/// A call: whether it moved bytes of the client, and the bytes.
pub(in crate::protocol) type Call = (bool, Vec<u8>);

/// When the session hears of bytes that it does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// In their place: they were left out on purpose.
    AtOnce,
    /// With the next call of their direction: they were lost.
    Afterwards,
}

/// Plays calls, of which those that `lost` says do not arrive; the time of each is its number, from 1 on. The connection
/// is closed in order at the end.
fn play(
    protocol: &Protocol,
    role: Role,
    calls: &[Call],
    lost: &dyn Fn(usize) -> bool,
    heard: Heard,
) -> Output {
    let mut session = (protocol.session)(role, true);
    let mut out = Output::default();
    let mut missing = [0u64; 2];
    for (index, (by_client, bytes)) in calls.iter().enumerate() {
        let direction = if *by_client == (role == Role::Server) { Direction::Read } else { Direction::Write };
        let at = At { direction, time: Time(index as u64 + 1), origin: Origin::default() };
        let missing = &mut missing[usize::from(*by_client)];
        match (lost(index), heard) {
            (true, Heard::AtOnce) => session.gap(&at, bytes.len() as u64, &mut out),
            (true, Heard::Afterwards) => *missing += bytes.len() as u64,
            (false, _) => {
                if *missing > 0 {
                    session.lost(&at, std::mem::take(missing), &mut out);
                }
                session.data(&at, bytes, &mut out);
            }
        }
    }
    session.close(Time(calls.len() as u64 + 1), CloseReason::Local, &mut out);
    assert_eq!(session.in_flight(), 0, "open after the end");
    out
}

/// Plays calls of which none is lost.
pub(in crate::protocol) fn play_whole(protocol: &Protocol, role: Role, calls: &[Call]) -> Output {
    play(protocol, role, calls, &|_| false, Heard::AtOnce)
}

/// What must hold of a conversation whatever it lost.
pub(in crate::protocol) struct Trial<'a> {
    pub(in crate::protocol) protocol: &'a Protocol,
    pub(in crate::protocol) calls: &'a [Call],
    /// The calls that may be lost.
    pub(in crate::protocol) damaged: Range<usize>,
    /// Exchanges of the undamaged conversation that may never be missing: the last so many.
    pub(in crate::protocol) told_again: usize,
}

/// An exchange in words: what was asked, and what was answered, in parts between slashes.
fn told(exchange: &Exchange) -> (String, String) {
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    match &exchange.detail {
        Detail::Http(http) => {
            let request = (!http.path.is_empty()).then(|| format!("{} {}", http.method, http.path));
            (known(request), known((http.status != 0).then(|| http.status.to_string())))
        }
        // A statement of which only a name was seen is told as that.
        Detail::Sql(sql) => {
            let text = (!sql.statement.text.starts_with('<')).then(|| sql.statement.text.clone());
            (known(text), format!("{}/{:?}", known(sql.rows.map(|rows| rows.to_string())), sql.error_code))
        }
        Detail::Command(command) => (command.name.clone(), format!("{:?}", command.error)),
    }
}

impl Trial<'_> {
    /// Every subset of the damaged calls: what is told is what happened.
    pub(in crate::protocol) fn run(&self) {
        let patterns = (1u32..1 << self.damaged.len()).map(|pattern| {
            self.damaged.clone().filter(|call| pattern >> (call - self.damaged.start) & 1 == 1).collect()
        });
        self.lose(&patterns.collect::<Vec<_>>(), &[Heard::AtOnce, Heard::Afterwards]);
    }

    /// Each of the damaged calls, and each two of them, heard of afterwards.
    pub(in crate::protocol) fn run_pairs(&self) {
        let pairs = self.damaged.clone().flat_map(|one| {
            self.damaged.clone().skip_while(move |other| *other < one).map(move |other| vec![one, other])
        });
        self.lose(&pairs.collect::<Vec<_>>(), &[Heard::Afterwards]);
    }

    /// Loses the calls of each pattern, in both roles.
    fn lose(&self, patterns: &[Vec<usize>], ways: &[Heard]) {
        let mut wrong = Vec::new();
        for role in [Role::Server, Role::Client] {
            let truth = play_whole(self.protocol, role, self.calls);
            assert_eq!(truth.losses, Losses::default(), "nothing was lost");
            for &heard in ways {
                for lost in patterns {
                    let got = play(self.protocol, role, self.calls, &|call| lost.contains(&call), heard);
                    if let Some(fault) = self.fault(&truth, &got) {
                        wrong.push(format!("{role:?} {heard:?} {lost:?}: {fault}"));
                    }
                }
            }
        }
        let count = 2 * ways.len() * patterns.len();
        assert!(count > 0, "no pattern");
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
    }

    fn fault(&self, truth: &Output, got: &Output) -> Option<String> {
        let mut left: Vec<(&Exchange, (String, String))> =
            truth.exchanges.iter().map(|exchange| (exchange, told(exchange))).collect();
        let last = left.len() - self.told_again.min(left.len());
        let must: Vec<String> = left[last..].iter().map(|(_, (request, _))| request.clone()).collect();
        for exchange in &got.exchanges {
            let (request, answer) = told(exchange);
            let is_it = |(real, (asked, answered)): &(&Exchange, (String, String))| {
                (request == UNKNOWN || *asked == request)
                    && real.start == exchange.start
                    && match exchange.outcome {
                        Outcome::Complete => {
                            let parts = answered.split('/').zip(answer.split('/'));
                            real.end == exchange.end
                                && parts.clone().all(|(real, told)| told == UNKNOWN || told == real)
                        }
                        // Its end was not seen: what is told of it ends with what was.
                        Outcome::Lost => real.end >= exchange.end,
                        _ => false,
                    }
            };
            match left.iter().position(is_it) {
                Some(index) => drop(left.remove(index)),
                None => {
                    let (start, end) = (exchange.start.0, exchange.end.0);
                    return Some(format!("{request} -> {answer} {:?} {start}..{end}", exchange.outcome));
                }
            }
        }
        let untold: Vec<&str> = left.iter().map(|(_, (request, _))| request.as_str()).collect();
        if let Some(missing) = must.iter().find(|request| untold.contains(&request.as_str())) {
            return Some(format!("{missing} is missing, long after the loss"));
        }
        let is_counted = got.losses != Losses::default();
        (!untold.is_empty() && !is_counted).then(|| format!("{untold:?} missing and nothing counted"))
    }
}

/// The calls whose loss is heard of: all before the last of either side.
pub(in crate::protocol) fn followed(calls: &[Call]) -> Range<usize> {
    let last = |by_client| calls.iter().rposition(|call| call.0 == by_client).unwrap_or_default();
    0..last(true).min(last(false))
}
