//! What every fuzz target does with its input.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use apm_agent_ebpf::{Event, decode as decoded};
use apm_core::aggregate::Cell;
use apm_core::exchange::{Direction, Origin, Role};
use apm_core::executions::{pack, unpack};
use apm_core::protocol::{At, CloseReason, Next, Opening, Output, REGISTRY};
use apm_core::python::lines::line_of;
use apm_core::python::scrub::scrub as scrubbed;
use apm_core::sql::{Dialect, MAX_TEXT, normalise, split_statements};
use apm_core::time::Time;

/// More open requests than any session may hold.
const IN_FLIGHT_CAP: usize = 4096;

/// Feeds `input` to the session of the protocol called `name` and checks what holds whatever comes.
///
/// The first byte chooses the role (bit 0), whether the agent joined late (bit 1) and how the connection ends (the
/// rest). Then come calls: a byte with the direction (bit 0), whether the bytes were captured (bits 1 and 2 both set: they
/// were not) and whether the clock stands still (bit 3); two bytes of length, low first; the bytes, if captured.
///
/// # Panics
/// On anything that a session must never do; and if no protocol has that name.
pub fn session(name: &str, input: &[u8]) {
    let protocol =
        REGISTRY.iter().find(|protocol| protocol.name == name).expect("a protocol of the registry");
    let Some((&mode, mut rest)) = input.split_first() else { return };
    let role = if mode & 1 == 0 { Role::Server } else { Role::Client };
    let from_start = mode & 2 == 0;
    let mut session = (protocol.session)(role, from_start);
    let mut out = Output::default();
    let mut now = 0;
    let mut seen = false;
    while let [kind, low, high, after @ ..] = rest {
        let direction = if kind & 1 == 0 { Direction::Read } else { Direction::Write };
        now += u64::from(kind & 8 == 0);
        let at = At { direction, time: Time(now), origin: Origin::default() };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        if kind & 6 == 6 {
            session.gap(&at, len as u64, &mut out);
            rest = after;
        } else {
            let (bytes, after) = after.split_at(len.min(after.len()));
            if !seen {
                seen = true;
                let _ =
                    (protocol.detect)(&Opening { direction, from_start, role: None, peer_port: None, bytes });
            }
            match session.data(&at, bytes, &mut out) {
                Next::Continue => {}
                Next::Ignore => break,
                Next::Redetect { consumed } => {
                    assert!(consumed <= bytes.len(), "took {consumed} of {} bytes", bytes.len());
                    break;
                }
            }
            rest = after;
        }
        assert!(session.in_flight() <= IN_FLIGHT_CAP, "{} requests open", session.in_flight());
    }
    let reasons = [CloseReason::Local, CloseReason::Peer, CloseReason::Reset, CloseReason::TimedOut];
    session.close(Time(now + 1), reasons[usize::from(mode >> 2) % reasons.len()], &mut out);
    assert_eq!(session.in_flight(), 0, "requests open after the end");
    for exchange in &out.exchanges {
        assert!(exchange.start <= exchange.end, "ends before it starts: {exchange:?}");
        assert!(exchange.first_response.is_none_or(|first| (exchange.start..=exchange.end).contains(&first)));
    }
}

/// Pieces of source that a scanner has something to do with.
const PIECES: &[&str] = &[
    "\n", "\n ", "\n  ", "\n   ", "(", ")", "[", "]", "{", "}", ",", ":", "=", "+", "/", "%", "*", "**", ".", "-", "'/'", "'/{a}'",
    "'<int:b>'", "'(?P<c>x)'", "''", "1", "-1", "x", "y", "self", "f", "C", "app", "bp", "r", "urlpatterns", "None", "True",
    "FastAPI()", "APIRouter(prefix='/p')", "Flask(__name__)", "Blueprint('b', __name__, url_prefix='/b')", "Mount('/m', routes=r)",
    "Route('/r', f)", "Starlette(routes=r)", "path('p/', f)", "re_path('^p$', f)", "include(urlpatterns)", "app.get('/x')(f)",
    "app.include_router(r)", "app.mount('/m', app)", "app.register_blueprint(bp)", "r.append(x)", "@app.get('/')", "def f(x=1):",
    "class C(x):", "for x in y:", "while x:", "if x:", "else:", "try:", "except:", "with x as y:", "return x", "yield x", "lambda: x",
    "import views", "from urls import *", "from app import app", "super().f()", "__file__", "open(x)", "json.load(x)", "f'{x}'",
    "if __name__ == '__main__':", "global app", "x if y else x", "not x", "x in y", "[x for x in y]", "urlpatterns = [x]",
    "router = DefaultRouter()", "router.register('b', C)", "router.urls", "setattr(x, 'f', f)", "getattr(app, 'get')", "'a' * 9", "x += y",
    "app = NinjaAPI()", "r = Router()", "app.urls", "app.add_router('/n', r)", "r.post('/{d}')(f)", "app = Api(bp)", "r = Namespace('n')",
    "app.add_namespace(r)", "r.route('/<e>', '/f')(C)", "app = falcon.App()", "app.add_route('/{g:int}.{h}', C(), suffix='s')",
    "app.add_sink(f, '/s')", "app = Bottle()", "bottle.route('/<i:re:x+>')(f)", "app.mount('/t/', Bottle())", "app.merge(app)",
];

/// What begins every module: it names what the pieces use.
const HEADER: &str = "from fastapi import APIRouter, FastAPI\nfrom flask import Blueprint, Flask\nfrom starlette.applications import \
    Starlette\nfrom starlette.routing import Mount, Route\nfrom django.urls import include, path, re_path\nfrom rest_framework.routers \
    import DefaultRouter\nfrom ninja import NinjaAPI, Router\nfrom flask_restx import Api, Namespace\nfrom bottle import Bottle\nimport \
    bottle\nimport falcon\nimport json\napp = FastAPI()\nr = APIRouter()\nbp = Blueprint('b', __name__)\nx = y = []\ndef f(): ...\n\
    class C: ...\nurlpatterns = []\n";

/// The directory of the modules of one input; a fuzz process leaves none behind.
struct Modules(PathBuf);

impl Modules {
    fn new() -> Self {
        let directory = std::env::temp_dir().join(format!("apm-fuzz-routes-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for the modules");
        Self(directory)
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Scans a tree of modules made of `input`, and matches what it holds as a path too. Modules are separated by a byte 0;
/// the first is the application, which the others can import and be imported from. Where the first byte is even the others
/// stand for [`PIECES`].
///
/// # Panics
/// On anything that the scanner must never do: a route beyond the caps or without an application, an answer that is no
/// route of the list, more time than it was given.
pub fn routes(input: &[u8]) {
    let limits = apm_routes::Limits {
        steps: 200_000,
        steps_each: 50_000,
        routes: 200,
        time: Duration::from_secs(5),
        ..apm_routes::Limits::default()
    };
    let modules = Modules::new();
    let directory = &modules.0;
    let Some((kind, input)) = input.split_first() else { return };
    for (name, text) in ["app.py", "urls.py", "views.py"].iter().zip(input.split(|byte| *byte == 0)) {
        let pieces = text.iter().flat_map(|byte| PIECES[usize::from(*byte) % PIECES.len()].bytes().chain(*b" "));
        let text: Vec<u8> = if kind % 2 == 0 { pieces.collect() } else { text.to_vec() };
        fs::write(directory.join(name), [HEADER.as_bytes(), &text].concat()).expect("modules can be written");
    }
    let options = apm_routes::Options { limits: limits.clone(), ..apm_routes::Options::new(directory) };
    let started = Instant::now();
    let scan = apm_routes::scan(&options).expect("the directory can be scanned");
    // The walk over what was registered has a quarter of it more; the rest is the machine's.
    assert!(started.elapsed() < limits.time * 3, "took {:?}", started.elapsed());
    assert!(scan.routes.len() <= limits.routes);
    for route in &scan.routes {
        assert!(scan.apps.iter().any(|app| app.number == route.app), "of no application: {route:?}");
        assert!(route.route.len() < 20_000 && !route.method.is_empty(), "{route:?}");
    }
    let matcher = apm_routes::Matcher::new(scan.routes);
    let text = String::from_utf8_lossy(input);
    for path in text.split(['"', '\'', '\n']).take(64) {
        let found = matcher.lookup("GET", path).route();
        assert!(found.is_none_or(|route| route.prefix_known && matcher.routes().contains(route)));
    }
}

/// Normalises `input` as SQL and checks what holds whatever comes: the text is bounded, a second pass changes nothing, and
/// a statement planted with a literal keeps nothing of it.
///
/// # Panics
/// On anything that the normaliser must never do.
pub fn sql(input: &[u8]) {
    for dialect in Dialect::ALL {
        let once = normalise(input, dialect);
        assert!(once.text.len() <= MAX_TEXT);
        let twice = normalise(once.text.as_bytes(), dialect);
        assert_eq!(once.text, twice.text, "not stable");
        assert_eq!(once.fingerprint, twice.fingerprint);
        for statement in split_statements(input, dialect) {
            assert!(split_statements(statement, dialect).count() <= 1, "{}", statement.escape_ascii());
        }
        // Quotes of the dialect doubled, backslashes gone: the input is the content of one literal.
        let content: Vec<u8> = input
            .iter()
            .filter(|&&byte| byte != b'\\')
            .flat_map(|&byte| {
                let count = if byte == b'\'' { 2 } else { 1 };
                std::iter::repeat_n(byte, count)
            })
            .collect();
        let planted = [&b"SELECT a FROM t WHERE b = '"[..], &content, b"' AND c = 1"].concat();
        assert_eq!(normalise(&planted, dialect).text, "SELECT a FROM t WHERE b = ? AND c = ?");
        let cut = &planted[..planted.len() - 11];
        let text = normalise(cut, dialect).text;
        assert_eq!(text, "SELECT a FROM t WHERE b = ?", "cut before its closing quote");
    }
}

/// Decodes `input` as a record of the ring and checks that payloads are parts of it.
///
/// # Panics
/// On anything that the decoder must never do.
pub fn decode(input: &[u8]) {
    if let Some(Event::Data(data, head, tail)) = decoded(input) {
        assert!(head.len() + tail.len() <= data.len as usize, "more was copied than moved");
        assert!(size_of_val(&data) + head.len() + tail.len() <= input.len(), "more was copied than the record holds");
    }
}

/// Decodes `input` as a cell of the store: what is taken for one is written as it was read.
///
/// # Panics
/// On anything that the decoder must never do.
pub fn cell(input: &[u8]) {
    let mut cell = Cell::default();
    if cell.merge_encoded(input).is_some() {
        let mut again = Cell::default();
        assert!(again.merge_encoded(&cell.encode()).is_some(), "what was written cannot be read");
        assert_eq!(again.encode(), cell.encode(), "not stable");
        for q in [0.0, 0.5, 0.99, 1.0] {
            let _ = cell.quantile(q);
        }
    }
    let _ = Cell::longest_encoded(input);
}

/// Reads `input` as the executions in one row of the store, and writes them again.
///
/// # Panics
/// On anything that the reader must never do.
pub fn executions(input: &[u8]) {
    let mut read: Vec<_> = unpack(input).collect();
    let again: Vec<_> = unpack(&pack(&mut read)).collect();
    assert_eq!(again, read, "what was written reads differently");
}

/// Looks up a line in `input` as a code object's table: the first byte says of which Python, the next four of which instruction.
///
/// # Panics
/// On anything that the reader must never do.
pub fn lines(input: &[u8]) {
    let [minor, a, b, c, d, table @ ..] = input else { return };
    let _ = line_of(8 + minor % 8, table, 1, u32::from_le_bytes([*a, *b, *c, *d]));
}

/// Takes secrets out of `input`, and out of a sentence in which one is planted between two parts of it.
///
/// # Panics
/// On anything that must never be: above all when the secret is still there.
pub fn scrub(input: &[u8]) {
    const SECRET: &str = "hunter2Zq9xK4";
    let text = String::from_utf8_lossy(input);
    let _ = scrubbed(&text);
    let middle = text.floor_char_boundary(text.len() / 2);
    let (before, after) = text.split_at(middle);
    for planted in [
        format!("{before} password={SECRET} {after}"),
        format!("{before} 'secret': '{SECRET} more' {after}"),
        format!("{before} Authorization: Bearer {SECRET} {after}"),
        format!("{before} postgres://ada:{SECRET}@db/x {after}"),
        format!("{before} Duplicate entry '{SECRET}' for key {after}"),
        format!("{before} malformed array literal: \"{SECRET}\"\n{after}"),
        format!("{before}\nLINE 1: SELECT '{SECRET}'\n ^\n{after}"),
    ] {
        assert!(!scrubbed(&planted).contains(SECRET), "kept of {planted:?}");
    }
}
