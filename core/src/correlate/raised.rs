//! Exceptions and the requests that failed with them.
//!
//! An exception that was being handled while a request was served is no failure of it by itself. It becomes one when the
//! request ends with a status from 500 on, or without an answer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::python::place::answers;
use crate::python::traceback::{self, Exception};
use crate::record::Event;
use crate::time::Time;

/// Requests whose exception is kept until they end.
const RAISED_MAX: usize = 4_096;
/// How long: a request may answer long after it logged an exception.
const KEPT: Duration = Duration::from_secs(60);
/// How long while there is no room: what was logged outside any request, as by a worker in trouble, waits for an end that
/// never comes.
const KEPT_PRESSED: Duration = Duration::from_secs(5);
/// Failed requests that wait for the rest of their exception's traceback. Past that the oldest wait no longer: half of the room
/// is for requests that have not ended.
const HELD_MAX: usize = RAISED_MAX / 2;
/// How long they wait. A server that catches what the framework lets through logs it at once, with the frames between; on a
/// busy machine others run before it does.
const HELD_FOR: Duration = Duration::from_secs(1);

/// On what occasion an exception was seen; the more telling ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// It left a function.
    Unwinding,
    /// It was being handled while something was written to standard error.
    Stderr,
    /// It was being handled while the response was written that tells of the failure.
    Response,
}

/// How well an exception is known to be what its request failed with, from a hint to certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Link {
    Raised,
    Log,
    Handler,
    Response,
}

impl Link {
    fn of(raised: &Raised) -> Self {
        let outermost = raised.chain.first().and_then(|exception| exception.frames.first());
        match raised.seen {
            Seen::Response => Self::Response,
            _ if outermost.is_some_and(|frame| answers(&frame.file, &frame.name)) => Self::Handler,
            Seen::Stderr => Self::Log,
            Seen::Unwinding => Self::Raised,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Log => "log",
            Self::Handler => "handler",
            Self::Response => "response",
        }
    }
}

/// An exception that was seen while a request was served.
#[derive(Clone, Debug, PartialEq)]
pub struct Raised {
    /// The request; of a stream, the unit of execution that handled it.
    pub request: u64,
    /// Which exception, while it exists.
    pub root: u64,
    /// When it was seen.
    pub time: Time,
    /// On what occasion.
    pub seen: Seen,
    /// The exception, then those that led to it.
    pub chain: Vec<Exception>,
    /// Variables of the function that raised it, redacted, as a JSON object; `None` where they are not known or not wanted.
    pub locals: Option<String>,
}

/// Exceptions of requests.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    raised: HashMap<u64, Raised>,
    held: VecDeque<(Time, u64, Event)>,
    /// When room was last made.
    pressed: Time,
    /// Exceptions that found no room.
    pub(super) dropped: u64,
}

impl Exceptions {
    /// Remembers an exception. Of several of one request, the one that is known best to be its failure counts, of equals
    /// the last; of several looks at one exception, the one that has seen most of its way.
    pub(super) fn add(&mut self, new: Raised) {
        let frames = |raised: &Raised| raised.chain.first().map_or(0, |exception| exception.frames.len());
        if let Some(old) = self.raised.get_mut(&new.request) {
            let better = if old.root == new.root {
                frames(&new) >= frames(old)
            } else {
                Link::of(&new) >= Link::of(old)
            };
            if better {
                let seen = if old.root == new.root { new.seen.max(old.seen) } else { new.seen };
                *old = Raised { seen, ..new };
            }
        } else if self.has_room(new.time) {
            self.raised.insert(new.request, new);
        } else {
            self.dropped += 1;
        }
    }

    /// Makes room where there is none, at most once a second.
    fn has_room(&mut self, now: Time) -> bool {
        let full = self.raised.len() >= RAISED_MAX;
        if full && now.since(self.pressed) >= Duration::from_secs(1) {
            self.pressed = now;
            self.raised.retain(|_, raised| now.since(raised.time) < KEPT_PRESSED);
            self.dropped += (RAISED_MAX - self.raised.len()) as u64;
        }
        self.raised.len() < RAISED_MAX
    }

    /// A request ended: gives its event back, unless that waits for the rest of an exception.
    pub(super) fn ended(&mut self, request: u64, end: Time, failed: bool, event: Event) -> Option<Event> {
        if !self.raised.contains_key(&request) {
            return Some(event);
        }
        if !failed {
            self.raised.remove(&request);
            return Some(event);
        }
        self.held.push_back((end, request, event));
        if self.held.len() > HELD_MAX { self.next(None) } else { None }
    }

    /// The next event that has waited long enough; without a time, the next at all.
    pub(super) fn next(&mut self, now: Option<Time>) -> Option<Event> {
        let (end, ..) = self.held.front()?;
        if now.is_some_and(|now| now.since(*end) < HELD_FOR) {
            return None;
        }
        let (_, request, mut event) = self.held.pop_front()?;
        if let Some(raised) = self.raised.remove(&request) {
            event.error_link = Some(Link::of(&raised).name());
            describe(&mut event, &raised.chain);
            event.error_locals = raised.locals;
        }
        Some(event)
    }

    /// Forgets exceptions of requests that do not end.
    pub(super) fn forget_old(&mut self, now: Time) {
        self.raised.retain(|_, raised| now.since(raised.time) < KEPT);
    }
}

fn describe(event: &mut Event, chain: &[Exception]) {
    let Some(exception) = chain.first() else { return };
    // What the connection told of the failure goes before what Python did.
    event.error.get_or_insert_with(|| exception.class.clone());
    event.error_type = Some(exception.class.clone());
    event.error_message = Some(exception.message.clone());
    event.error_traceback = Some(traceback::text(chain));
    event.error_fingerprint = Some(traceback::fingerprint(exception));
    event.error_site = exception
        .frames
        .iter()
        .rfind(|frame| frame.of_application)
        .and_then(|frame| Some(format!("{}:{} {}", frame.file, frame.line?, frame.qualified).into()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::traceback::Frame;

    fn raised(root: u64, frames: u32, at_response: bool) -> Raised {
        let seen = if at_response { Seen::Response } else { Seen::Stderr };
        let frame = |line| Frame {
            file: "a.py".into(),
            name: "f".into(),
            qualified: "f".into(),
            line: Some(line),
            source: None,
            of_application: true,
        };
        let exception = Exception {
            class: format!("E{root}"),
            message: String::new(),
            frames: (0..frames).map(frame).collect(),
            cut: false,
            relation: None,
        };
        Raised { request: 1, root, time: Time(0), seen, chain: vec![exception], locals: None }
    }

    fn of(seen: Vec<Raised>, failed: bool) -> Option<String> {
        let mut exceptions = Exceptions::default();
        for raised in seen {
            exceptions.add(raised);
        }
        let event = exceptions.ended(1, Time(0), failed, Event::default());
        let event = event.or_else(|| exceptions.next(None)).expect("the event comes out");
        assert!(exceptions.raised.is_empty() && exceptions.held.is_empty());
        assert_eq!(event.error, event.error_type, "in a list it is named by its class");
        event.error_traceback
    }

    #[test]
    fn what_was_handled_does_not_show() {
        assert_eq!(of(vec![raised(1, 1, false)], false), None);
        assert_eq!(of(vec![], true), None);
    }

    #[test]
    fn the_one_at_the_response_counts() {
        let traceback = of(vec![raised(1, 3, false), raised(2, 1, true), raised(3, 5, false)], true);
        assert!(traceback.is_some_and(|text| text.ends_with("E2\n")));
        let traceback = of(vec![raised(1, 3, false), raised(2, 1, false)], true);
        assert!(traceback.is_some_and(|text| text.ends_with("E2\n")));
    }

    #[test]
    fn it_is_said_how_an_exception_is_known() {
        let link = |seen: Vec<Raised>| {
            let mut exceptions = Exceptions::default();
            seen.into_iter().for_each(|raised| exceptions.add(raised));
            exceptions.ended(1, Time(0), true, Event::default());
            exceptions.next(None).and_then(|event| Some((event.error_type?, event.error_link?)))
        };
        let at = |seen, root, handler: bool| {
            let mut raised = Raised { seen, ..raised(root, 2, false) };
            if handler {
                raised.chain[0].frames[0].file = "/x/site-packages/django/core/handlers/exception.py".into();
                raised.chain[0].frames[0].name = "inner".into();
            }
            raised
        };
        use Seen::{Response, Stderr, Unwinding};
        let told = |class: &str, link| Some((class.to_owned(), link));
        assert_eq!(link(vec![at(Unwinding, 1, false)]), told("E1", "raised"));
        assert_eq!(link(vec![at(Stderr, 1, false)]), told("E1", "log"));
        assert_eq!(link(vec![at(Unwinding, 1, true)]), told("E1", "handler"));
        assert_eq!(link(vec![at(Response, 1, false), at(Unwinding, 1, false)]), told("E1", "response"));
        // What is only a hint does not take the place of what is known.
        assert_eq!(link(vec![at(Unwinding, 1, true), at(Unwinding, 2, false)]), told("E1", "handler"));
        assert_eq!(link(vec![at(Unwinding, 1, false), at(Stderr, 2, false)]), told("E2", "log"));
    }

    #[test]
    fn the_longest_look_at_one_exception_counts() {
        let traceback = of(vec![raised(1, 2, true), raised(1, 4, false)], true);
        assert_eq!(traceback.map(|text| text.matches("File").count()), Some(4));
    }

    #[test]
    fn the_application_s_innermost_line_is_told() {
        let mut exceptions = Exceptions::default();
        let mut seen = raised(1, 3, true);
        seen.chain[0].frames[1].line = Some(7);
        seen.chain[0].frames[2].of_application = false;
        exceptions.add(seen);
        exceptions.ended(1, Time(0), true, Event::default());
        let site = exceptions.next(None).and_then(|event| event.error_site);
        assert_eq!(site.as_deref(), Some("a.py:7 f"));
    }

    #[test]
    fn those_that_wait_leave_room_for_others() {
        let mut exceptions = Exceptions::default();
        let told = (0..3 * RAISED_MAX as u64).filter_map(|request| {
            exceptions.add(Raised { request, ..raised(1, 1, false) });
            exceptions.ended(request, Time(0), true, Event::default())
        });
        let with_theirs = told.filter(|event| event.error_type.is_some()).count();
        assert_eq!((with_theirs, exceptions.dropped), (3 * RAISED_MAX - HELD_MAX, 0));
    }

    #[test]
    fn an_event_waits_for_the_rest() {
        let mut exceptions = Exceptions::default();
        exceptions.add(raised(1, 1, true));
        assert_eq!(exceptions.ended(1, Time(0), true, Event::default()), None);
        assert_eq!(exceptions.next(Some(Time(1_000_000))), None);
        assert!(exceptions.next(Some(Time(HELD_FOR.as_nanos() as u64))).is_some());
    }
}
