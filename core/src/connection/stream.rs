//! One connection: order, gaps, detection, session.

use std::sync::Arc;

use crate::connection::proxied::{self, Start};
use crate::connection::queued::Pieces;
use crate::connection::{Chunk, Finished, Info};
use crate::exchange::{ConnId, Detail, Direction, Endpoint, Exchange, Origin, Role};
use crate::loss::Loss;
use crate::protocol::{At, CloseReason, Next, Opening, Output, Protocol, REGISTRY, Session, Verdict};
use crate::time::Time;

/// Bytes kept while no protocol can tell yet.
const OPENING_MAX: usize = 4096;
/// Runs of one direction looked at before a connection that was joined in mid-life counts as unknown. Runs, not chunks: it
/// may be in the middle of a body of any length.
const ATTEMPTS_MID_LIFE: u32 = 64;
/// Chunks looked at on a connection seen from its start: one or two a direction.
const ATTEMPTS_FROM_START: u32 = 6;

/// What a connection's bytes are taken for.
enum State {
    /// Nobody knows yet; the bytes kept of the direction that is being looked at.
    Detecting {
        bytes: Vec<u8>,
        direction: Option<Direction>,
        attempts: u32,
        role: Option<Role>,
        from_start: bool,
        /// Gaps meanwhile: told once it is known whose they are.
        gaps: Gaps,
    },
    /// A protocol's.
    Speaking { protocol: &'static Protocol, session: Box<dyn Session> },
    /// Ciphertext; its plaintext comes as another connection.
    Ciphertext,
    /// Of no interest, or unknown.
    Ignored,
}

/// A connection in the table.
pub(super) struct Stream {
    pub(super) info: Arc<Info>,
    state: State,
    /// Role that the bytes proved.
    proven: Option<Role>,
    /// A request whose answer was that another protocol follows, which is not known yet.
    upgrade: Option<Exchange>,
    /// It began with a load balancer's header.
    proxied: bool,
    /// So many of the bytes to be read are still part of that.
    of_header: u64,
    /// What waits to be written, where that is told.
    pieces: Pieces,
    /// Next position by direction: read, write; `None` where the connection's opening was lost.
    expected: [Option<u64>; 2],
    /// Bytes that it has moved in all, by direction, as far as that was told.
    moved: [u64; 2],
    /// Process that moved bytes last.
    pub(super) pid: u32,
    pub(super) last_used: Time,
    pub(super) peer_closed: bool,
    /// It was seen to be established.
    pub(super) established: bool,
    /// The TLS stream whose ciphertext it carries, where that is known.
    pub(super) carries: Option<ConnId>,
    /// It is counted among those whose plaintext was not seen.
    pub(super) not_read: bool,
    /// Why and when it ended, while what is still under way in other threads may come in.
    pub(super) ended: Option<(Time, CloseReason)>,
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Read => 0,
        Direction::Write => 1,
    }
}

impl Stream {
    pub(super) fn new(info: Info) -> Self {
        let state = detecting(info.role, info.from_start);
        let (pid, last_used) = (info.pid, info.since);
        Self {
            info: Arc::new(info),
            state,
            proven: None,
            upgrade: None,
            proxied: false,
            of_header: 0,
            pieces: Pieces::default(),
            expected: [Some(0), Some(0)],
            moved: [0, 0],
            pid,
            last_used,
            peer_closed: false,
            established: false,
            carries: None,
            not_read: false,
            ended: None,
        }
    }

    /// What came before the next chunk of either direction was lost, and nobody knows how much it was.
    pub(super) fn forget_positions(&mut self) {
        self.expected = [None, None];
    }

    /// Requests open now.
    pub(super) fn in_flight(&self) -> usize {
        match &self.state {
            State::Speaking { session, .. } => session.in_flight(),
            _ => 0,
        }
    }

    /// Requests open now, when the process serves them.
    pub(super) fn serving(&self) -> usize {
        match &self.state {
            State::Speaking { session, .. } if self.role() == Some(Role::Server) => session.in_flight(),
            _ => 0,
        }
    }

    /// The protocol's name, once it is known.
    pub(super) fn protocol(&self) -> Option<&'static str> {
        match &self.state {
            State::Speaking { protocol, .. } => Some(protocol.name),
            State::Ciphertext => Some("tls"),
            _ => None,
        }
    }

    /// Role by protocol, else by how the connection was made.
    pub(super) fn role(&self) -> Option<Role> {
        self.proven.or(self.info.role)
    }

    /// Nothing more is wanted of this connection but its end.
    pub(super) fn is_ignored(&self) -> bool {
        matches!(self.state, State::Ignored)
    }

    /// It is ciphertext that the process exchanges with one that it asked, and the plaintext is not known. Who only looks whether a
    /// server takes TLS, as load balancers do, sends it nothing.
    pub(super) fn is_not_read(&self) -> bool {
        matches!(self.state, State::Ciphertext)
            && self.carries.is_none()
            && self.info.role != Some(Role::Server)
            && !self.not_read
    }

    /// The process tried to make this connection, and nothing ever moved over it.
    pub(super) fn is_unborn(&self) -> bool {
        !self.info.tls
            && self.info.role == Some(Role::Client)
            && self.expected == [Some(0), Some(0)]
            && self.moved == [0, 0]
    }

    /// So many bytes it has moved by now, read and written; the last of them may still be under way.
    pub(super) fn has_moved(&mut self, bytes: [u64; 2]) {
        for (moved, now) in self.moved.iter_mut().zip(bytes) {
            *moved = now.max(*moved);
        }
    }

    /// No byte that it is known to have moved is still to come.
    pub(super) fn is_all_seen(&self) -> bool {
        self.moved.iter().zip(&self.expected).all(|(moved, seen)| seen.is_none_or(|seen| *moved <= seen))
    }

    /// Bytes are queued that are written at `pos` later. Only protocols that mix the work of several tasks ask who did it.
    pub(super) fn queued(&mut self, pos: u64, len: u64, by: Origin) {
        let mixes = match &self.state {
            State::Speaking { session, .. } => session.mixes_responses(),
            State::Detecting { .. } => true,
            State::Ciphertext | State::Ignored => false,
        };
        if mixes {
            self.pieces.add(pos, len, by);
        }
    }

    /// Takes a chunk.
    pub(super) fn chunk(&mut self, chunk: &Chunk<'_>, out: &mut Output) {
        self.pid = chunk.pid;
        self.last_used = chunk.time;
        let expected = &mut self.expected[index(chunk.direction)];
        let next = expected.unwrap_or(chunk.pos);
        let missing = chunk.pos.saturating_sub(next);
        if chunk.pos < next {
            // It overtook its successor on another CPU, which has been told of a gap in its place.
            return;
        }
        *expected = Some(chunk.pos.saturating_add(chunk.len));
        let at = At { direction: chunk.direction, time: chunk.time, origin: chunk.origin };
        if missing > 0 {
            self.missing(missing, out);
            self.lost(&at, missing, out);
        }
        if chunk.opens_tls {
            // An opening in the clear (SSLRequest, CONNECT, STARTTLS) has already been handed out by its session.
            self.state = State::Ciphertext;
        }
        self.head(at, chunk, out);
        let skipped = chunk.len.saturating_sub((chunk.head.len() + chunk.tail.len()) as u64);
        if skipped > 0 {
            self.gap(&at, skipped, out);
        }
        if !chunk.tail.is_empty() {
            self.data(&at, chunk.tail, out);
        }
    }

    /// The bytes at the start of a chunk, for each piece of them with the code that queued it.
    fn head(&mut self, mut at: At, chunk: &Chunk<'_>, out: &mut Output) {
        let mixed = chunk.direction == Direction::Write
            && !self.pieces.is_empty()
            && self.pieces.begin(chunk.pos, chunk.len);
        if !mixed {
            return self.data(&at, chunk.head, out);
        }
        let (mut rest, mut pos) = (chunk.head, chunk.pos);
        while !rest.is_empty() {
            let (by, len) = self.pieces.at(pos, rest.len() as u64);
            let (piece, after) = rest.split_at(usize::try_from(len).unwrap_or(rest.len()).min(rest.len()));
            at.origin = by;
            self.data(&at, piece, out);
            (rest, pos) = (after, pos + len);
        }
    }

    /// Counts a gap, unless nobody reads what is there. Threads that write to one pipe at a time, as to wake an event loop,
    /// overtake each other: no byte of theirs is lost to anybody.
    fn missing(&mut self, bytes: u64, out: &mut Output) {
        match &mut self.state {
            State::Speaking { .. } => Gaps::one(bytes).tell(out),
            State::Detecting { gaps, .. } => gaps.add(bytes),
            State::Ciphertext | State::Ignored => {}
        }
    }

    fn lost(&mut self, at: &At, len: u64, out: &mut Output) {
        match &mut self.state {
            State::Speaking { session, .. } => session.lost(at, len, out),
            _ => self.gap(at, len, out),
        }
    }

    fn gap(&mut self, at: &At, len: u64, out: &mut Output) {
        let len = len - self.pass_header(at, len);
        if len == 0 {
            return;
        }
        match &mut self.state {
            State::Speaking { session, .. } => session.gap(at, len, out),
            // What was kept does not join up with what follows.
            State::Detecting { bytes, from_start, .. } => {
                bytes.clear();
                *from_start = false;
            }
            State::Ciphertext | State::Ignored => {}
        }
    }

    fn data(&mut self, at: &At, bytes: &[u8], out: &mut Output) {
        let passed = self.pass_header(at, bytes.len() as u64);
        let mut rest = bytes.get(passed as usize..).unwrap_or_default();
        // A session may hand the rest of a chunk to another protocol; each time it takes something, or the loop ends.
        for _ in 0..4 {
            if rest.is_empty() {
                return;
            }
            match &mut self.state {
                State::Ciphertext | State::Ignored => return,
                State::Speaking { session, .. } => match session.data(at, rest, out) {
                    Next::Continue => return,
                    Next::Ignore => {
                        self.state = State::Ignored;
                        return;
                    }
                    Next::Redetect { consumed } => {
                        rest = rest.get(consumed..).unwrap_or_default();
                        self.upgrade = out.exchanges.pop_if(|last| switches(last));
                        self.state = detecting(self.info.role, true);
                    }
                },
                State::Detecting { .. } => {
                    self.detect(at, rest, out);
                    return;
                }
            }
        }
    }

    /// Of `len` bytes that come next, those that are part of a load balancer's header.
    fn pass_header(&mut self, at: &At, len: u64) -> u64 {
        let passed = if at.direction == Direction::Read { self.of_header.min(len) } else { 0 };
        self.of_header -= passed;
        passed
    }

    fn detect(&mut self, at: &At, new: &[u8], out: &mut Output) {
        let peer_port = match &self.info.peer {
            Endpoint::Tcp(address) => Some(address.port()),
            _ => None,
        };
        let State::Detecting { bytes, direction, attempts, role, from_start, gaps } = &mut self.state else {
            return;
        };
        let run_starts = *direction != Some(at.direction);
        if run_starts {
            bytes.clear();
            *direction = Some(at.direction);
        }
        let (fits, rest) = new.split_at(new.len().min(OPENING_MAX.saturating_sub(bytes.len())));
        bytes.extend_from_slice(fits);
        if at.direction == Direction::Read && *from_start && *role != Some(Role::Client) && !self.proxied {
            match proxied::start(bytes) {
                Start::Plain => {}
                Start::More => return,
                Start::Header(len) => {
                    let kept = std::mem::take(bytes);
                    (self.proxied, self.of_header) = (true, len);
                    self.data(at, &kept, out);
                    return self.data(at, rest, out);
                }
            }
        }
        let opening =
            Opening { direction: at.direction, from_start: *from_start, role: *role, peer_port, bytes };
        let mut undecided = false;
        for protocol in REGISTRY {
            match (protocol.detect)(&opening) {
                Verdict::Mine(role) => {
                    let kept = std::mem::take(bytes);
                    std::mem::take(gaps).tell(out);
                    let mut session = (protocol.session)(role, *from_start);
                    out.exchanges.extend(self.upgrade.take().and_then(|request| session.adopt(request)));
                    self.state = State::Speaking { protocol, session };
                    self.proven = Some(role);
                    self.data(at, &kept, out);
                    self.data(at, rest, out);
                    return;
                }
                Verdict::NotMine => {}
                Verdict::More => undecided = true,
            }
        }
        let limit = if *from_start { ATTEMPTS_FROM_START } else { ATTEMPTS_MID_LIFE };
        if !undecided || bytes.len() >= OPENING_MAX {
            bytes.clear();
            *attempts += u32::from(*from_start || run_starts);
        }
        if *attempts >= limit {
            out.losses.add(Loss::UnknownProtocol, 1);
            self.state = State::Ignored;
        }
    }

    /// Hands out what is open; the connection is over.
    pub(super) fn close(&mut self, time: Time, reason: CloseReason, out: &mut Output) {
        let reason = if self.loses_end(out) { CloseReason::Unseen } else { reason };
        match &mut self.state {
            State::Speaking { session, .. } => session.close(time, reason, out),
            // Nobody will ever know whose they are. One that was joined in mid-life may have been a known protocol's, at rest.
            State::Detecting { gaps, bytes, attempts, .. } => {
                let is_whole = self.info.from_start && self.info.role.is_some() && self.upgrade.is_none();
                let spoke = *attempts > 0 || !bytes.is_empty();
                out.losses.add(Loss::UnknownProtocol, u64::from(gaps.number > 0 || (is_whole && spoke)));
            }
            State::Ciphertext | State::Ignored => {}
        }
        out.exchanges.extend(self.upgrade.take());
        self.state = State::Ignored;
    }

    /// The last bytes of a direction may be lost: no later chunk tells of those, only how many there were.
    fn loses_end(&self, out: &mut Output) -> bool {
        if matches!(self.state, State::Ciphertext | State::Ignored) {
            return false;
        }
        let mut loses = false;
        for (moved, seen) in self.moved.iter().zip(&self.expected) {
            let missing = moved.saturating_sub(seen.unwrap_or(u64::MAX));
            if missing > 0 {
                Gaps::one(missing).tell(out);
                loses = true;
            }
        }
        loses
    }

    /// Wraps an exchange with what is known of its connection.
    pub(super) fn finished(&self, exchange: Exchange, role: Role) -> Finished {
        Finished { exchange, conn: Arc::clone(&self.info), role, pid: self.pid }
    }
}

/// Runs of bytes that never arrived.
#[derive(Default)]
struct Gaps {
    number: u64,
    bytes: u64,
}

impl Gaps {
    fn one(bytes: u64) -> Self {
        Self { number: 1, bytes }
    }

    fn add(&mut self, bytes: u64) {
        self.number += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn tell(self, out: &mut Output) {
        out.losses.add(Loss::Gaps, self.number);
        out.losses.add(Loss::GapBytes, self.bytes);
    }
}

/// Is this `101 Switching Protocols` (RFC 9110, 15.2.2)?
fn switches(exchange: &Exchange) -> bool {
    matches!(&exchange.detail, Detail::Http(http) if http.status == 101)
}

fn detecting(role: Option<Role>, from_start: bool) -> State {
    State::Detecting {
        bytes: Vec::new(),
        direction: None,
        attempts: 0,
        role,
        from_start,
        gaps: Gaps::default(),
    }
}
