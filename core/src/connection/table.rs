//! All connections, and when each has ended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::stream::Stream;
use super::{Change, Chunk, FailedConnect, Info, Progress};
use crate::exchange::{ConnId, Endpoint, Origin, Role};
use crate::loss::{Loss, Losses};
use crate::protocol::{CloseReason, Output};
use crate::time::Time;

/// Entries looked at to find one to drop when the table is full.
const EVICTION_SAMPLE: usize = 32;
/// Connections whose maker is known and that are not seen yet: what comes in between is some microseconds.
const CONNECTING_MAX: usize = 1_024;

/// Caps of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections kept.
    pub connections: usize,
    /// How long an ended connection waits for bytes whose system call has not returned yet: the peer may have closed
    /// while the call that answered it was still on its way out of the kernel.
    pub grace: Duration,
    /// How long a TLS connection may be open before its plaintext is missed; `None` where nobody looks for that. What runs inside
    /// TLS mostly begins at once.
    pub tls_patience: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32_768,
            grace: Duration::from_millis(50),
            tls_patience: Some(Duration::from_secs(10)),
        }
    }
}

/// All connections of all watched processes.
pub struct Table {
    streams: FxHashMap<ConnId, Stream>,
    /// Who makes connections that are not seen yet.
    connecting: HashMap<ConnId, Origin>,
    limits: Limits,
    /// Ended connections in the order of their ends.
    ended: VecDeque<(Time, ConnId)>,
    /// Connections that have turned to TLS, in the order in which they did.
    ciphered: VecDeque<(Time, ConnId)>,
    out: Output,
    /// Sockets of which the kernel side need not tell any more.
    ignored: Vec<Info>,
    /// Sockets that the kernel side may forget.
    over: Vec<Info>,
}

impl Table {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            streams: FxHashMap::default(),
            connecting: HashMap::new(),
            limits,
            ended: VecDeque::new(),
            ciphered: VecDeque::new(),
            out: Output::default(),
            ignored: Vec::new(),
            over: Vec::new(),
        }
    }

    /// Code of a process begins to make a connection.
    pub fn connecting(&mut self, conn: ConnId, caller: Origin) {
        if self.connecting.len() >= CONNECTING_MAX {
            // The events that should have followed were lost, and counted as such.
            self.connecting.clear();
        }
        self.connecting.insert(conn, caller);
    }

    /// The code that makes a connection; to be asked once, as the connection is seen.
    pub fn caller(&mut self, conn: ConnId) -> Origin {
        self.connecting.remove(&conn).unwrap_or_default()
    }

    /// Code of a process queued `len` bytes, which are written to a connection at `pos` later, perhaps with others.
    pub fn queued(&mut self, conn: ConnId, pos: u64, len: u64, by: Origin) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.queued(pos, len, by);
        }
    }

    /// A connection was first seen; with `error`, it failed at once and never was.
    pub fn opened(&mut self, info: Info, error: Option<CloseReason>, progress: &mut Progress) {
        if let Some(reason) = error {
            let time = info.since;
            progress.failed.push(FailedConnect { conn: Arc::new(info), reason, time });
            return;
        }
        self.make_room(progress);
        self.streams.entry(info.id).or_insert_with(|| Stream::new(info));
    }

    /// Bytes were moved; exchanges that they end are pushed to `progress`.
    pub fn chunk(&mut self, chunk: &Chunk<'_>, progress: &mut Progress) {
        if !self.streams.contains_key(&chunk.conn) {
            // Its opening was lost.
            self.make_room(progress);
            let mut stream = Stream::new(Info {
                id: chunk.conn,
                key: 0,
                pid: chunk.pid,
                role: None,
                local: Endpoint::Unknown,
                peer: Endpoint::Unknown,
                from_start: false,
                since: chunk.time,
                tls: false,
                caller: Origin::default(),
            });
            stream.forget_positions();
            self.streams.insert(chunk.conn, stream);
        }
        let Some(stream) = self.streams.get_mut(&chunk.conn) else { return };
        let was_ignored = stream.is_ignored();
        stream.chunk(chunk, &mut self.out);
        hand_out(stream, &mut self.out, progress);
        if stream.is_ignored() && !was_ignored {
            self.ignored.push(Info::clone(&stream.info));
        }
        // What finds no room is missed at its end.
        let has_room = self.ciphered.len() < self.limits.connections && self.limits.tls_patience.is_some();
        if chunk.opens_tls && stream.is_not_read() && has_room {
            self.ciphered.push_back((chunk.time, chunk.conn));
        }
    }

    /// A TLS stream runs over a socket: the stream takes on its ends, and shares its fate.
    pub fn bound(&mut self, stream: ConnId, socket: ConnId) {
        let Some(carrier) = self.streams.get_mut(&socket) else { return };
        carrier.carries = Some(stream);
        let (local, peer) = (carrier.info.local.clone(), carrier.info.peer.clone());
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.info = Arc::new(Info { local, peer, ..Info::clone(&stream.info) });
        }
    }

    /// The path of a Unix socket: the peer's, or the process's own.
    pub fn named(&mut self, conn: ConnId, path: String, is_peers: bool) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            let mut info = Info::clone(&stream.info);
            let end = if is_peers { &mut info.peer } else { &mut info.local };
            *end = Endpoint::Unix(Some(path));
            stream.info = Arc::new(info);
        }
    }

    /// Something happened to a connection, which has read and written so many bytes by then; zeros where that is not known.
    pub fn changed(
        &mut self,
        conn: ConnId,
        change: Change,
        time: Time,
        moved: [u64; 2],
        progress: &mut Progress,
    ) {
        if let Some(stream) = self.streams.get_mut(&conn) {
            stream.has_moved(moved);
        }
        let carried = self.streams.get(&conn).and_then(|socket| socket.carries);
        for conn in carried.into_iter().chain([conn]) {
            self.change(conn, change, time);
            if let Change::EndOfStream | Change::Failed(_) | Change::Closed { .. } = change {
                self.tell_open_calls(conn, progress);
            }
        }
    }

    /// Code whose call ends with its connection goes on at once, and may answer the request that it works for: the call is
    /// told before that, unless bytes of the connection are under way in another thread. Only where the process is known to
    /// read no more: a server that refuses a request in its middle answers and resets, and its answer waits in the socket.
    fn tell_open_calls(&mut self, conn: ConnId, progress: &mut Progress) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        let Some((time, reason)) = stream.ended else { return };
        // Of a TLS stream that has no peer yet, the grace may bring it.
        let is_known = stream.info.peer != Endpoint::Unknown || !stream.info.tls;
        if stream.role() == Some(Role::Client) && stream.in_flight() > 0 && is_known && stream.is_all_seen() {
            stream.close(time, reason, &mut self.out);
            hand_out(stream, &mut self.out, progress);
        }
    }

    fn change(&mut self, conn: ConnId, change: Change, time: Time) {
        let Some(stream) = self.streams.get_mut(&conn) else { return };
        if let Change::LocalClosed { peer_first: true }
        | Change::Closed { peer_first: true }
        | Change::Gone { peer_first: true, .. } = change
        {
            stream.peer_closed = true;
        }
        let reason = match change {
            Change::Established => {
                stream.established = true;
                return;
            }
            Change::PeerClosed => {
                stream.peer_closed = true;
                return;
            }
            Change::EndOfStream => {
                stream.peer_closed = true;
                match stream.role() {
                    // It may have closed only its sending half, and still wait for the answer.
                    Some(Role::Server) | None => return,
                    Some(Role::Client) => CloseReason::Peer,
                }
            }
            // A client that shuts down its sending half still reads; if it closed, the end follows at once.
            Change::LocalClosed { .. } if stream.role() == Some(Role::Client) => return,
            // All that a server sends comes before its FIN. The reset behind it answers what it was sent since, such as the
            // alert that ends a TLS session (RFC 9293, 3.5.2). That of a client answers what it does not read any more.
            Change::Gone { reason: Some(CloseReason::Reset), .. }
                if stream.peer_closed && stream.role() != Some(Role::Server) =>
            {
                CloseReason::Peer
            }
            Change::Failed(reason)
            | Change::WriteFailed(reason)
            | Change::Gone { reason: Some(reason), .. } => reason,
            Change::LocalClosed { .. } | Change::Closed { .. } | Change::Gone { .. } => {
                if stream.peer_closed { CloseReason::Peer } else { CloseReason::Local }
            }
        };
        if stream.ended.is_none() {
            stream.ended = Some((time, reason));
            if is_failure(reason) && stream.is_unborn() && !stream.established {
                // No bytes can be under way, and the code that waited for it goes on now.
                self.ended.push_front((Time(0), conn));
            } else {
                self.ended.push_back((time, conn));
            }
        }
    }

    /// A process ended, and its connections with it.
    pub fn process_ended(&mut self, pid: u32, time: Time) {
        for (id, stream) in &mut self.streams {
            if stream.pid == pid && stream.ended.is_none() {
                stream.ended = Some((time, CloseReason::ProcessEnded));
                self.ended.push_back((time, *id));
            }
        }
    }

    /// Lets time pass: connections whose grace is over are handed out and dropped.
    pub fn tick(&mut self, now: Time, progress: &mut Progress) {
        self.miss_plaintext(now);
        while let Some(&(time, conn)) = self.ended.front() {
            if now.since(time) < self.limits.grace {
                return;
            }
            self.ended.pop_front();
            self.end(conn, progress);
        }
    }

    /// Counts TLS connections whose plaintext should have been seen by now. Those to gRPC servers stay open for days.
    fn miss_plaintext(&mut self, now: Time) {
        let Some(patience) = self.limits.tls_patience else { return };
        while let Some(&(since, conn)) = self.ciphered.front() {
            if now.since(since) < patience {
                return;
            }
            self.ciphered.pop_front();
            if let Some(stream) = self.streams.get_mut(&conn).filter(|stream| stream.is_not_read()) {
                stream.not_read = true;
                self.out.losses.add(Loss::TlsNotRead, 1);
            }
        }
    }

    /// Ends every connection that has ended, grace or not: the agent stops.
    pub fn drain(&mut self, progress: &mut Progress) {
        while let Some((_, conn)) = self.ended.pop_front() {
            self.end(conn, progress);
        }
    }

    fn end(&mut self, conn: ConnId, progress: &mut Progress) {
        let Some(mut stream) = self.streams.remove(&conn) else { return };
        let Some((time, reason)) = stream.ended else { return };
        if stream.info.tls && stream.info.peer == Endpoint::Unknown && stream.protocol().is_some() {
            self.out.losses.add(Loss::TlsUnbound, 1);
        }
        // Of one that is older than the agent, and perhaps was made by others, no more than the end may have been seen.
        if self.limits.tls_patience.is_some() && stream.is_not_read() && stream.info.role.is_some() {
            self.out.losses.add(Loss::TlsNotRead, 1);
        }
        if stream.is_unborn() && is_failure(reason) {
            progress.failed.push(FailedConnect { conn: Arc::clone(&stream.info), reason, time });
        }
        self.over.push(Info::clone(&stream.info));
        stream.close(time, reason, &mut self.out);
        hand_out(&stream, &mut self.out, progress);
    }

    fn make_room(&mut self, progress: &mut Progress) {
        if self.streams.len() < self.limits.connections {
            return;
        }
        let oldest =
            self.streams.iter().take(EVICTION_SAMPLE).min_by_key(|(_, s)| s.last_used).map(|(id, _)| *id);
        if let Some(stream) = oldest.and_then(|id| self.streams.remove(&id)) {
            let losses = &mut self.out.losses;
            losses.add(Loss::ConnectionsEvicted, 1);
            losses.add(Loss::ExchangesEvicted, stream.in_flight() as u64);
            hand_out(&stream, &mut self.out, progress);
        }
    }

    /// Requests that each process is serving now.
    pub fn serving(&self) -> HashMap<u32, u32> {
        let mut by_pid = HashMap::new();
        for stream in self.streams.values() {
            let open = u32::try_from(stream.serving()).unwrap_or(u32::MAX);
            if open > 0 && stream.ended.is_none() {
                *by_pid.entry(stream.pid).or_insert(0) += open;
            }
        }
        by_pid
    }

    /// Connections by protocol, for the status page.
    pub fn protocols(&self) -> HashMap<&'static str, usize> {
        let mut by_name = HashMap::new();
        for stream in self.streams.values() {
            *by_name.entry(stream.protocol().unwrap_or("unknown")).or_insert(0) += 1;
        }
        by_name
    }

    /// Connections kept now.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// No connection is kept.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Losses {
        std::mem::take(&mut self.out.losses)
    }

    /// Connections that ended, and whose grace is over, since the last call.
    pub fn take_over(&mut self) -> Vec<Info> {
        std::mem::take(&mut self.over)
    }

    /// Connections that became of no interest since the last call.
    pub fn take_ignored(&mut self) -> Vec<Info> {
        std::mem::take(&mut self.ignored)
    }
}

/// Does a connection that ends so, and over which nothing moved, fail a call?
fn is_failure(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Refused | CloseReason::TimedOut | CloseReason::Unreachable | CloseReason::GivenUp
    )
}

fn hand_out(stream: &Stream, out: &mut Output, progress: &mut Progress) {
    // Exchanges come from sessions, and a session begins with a proven role.
    let Some(role) = stream.role() else { return };
    for started in out.started.drain(..) {
        progress.started.push((Arc::clone(&stream.info), role, started));
    }
    for exchange in out.exchanges.drain(..) {
        progress.finished.push(stream.finished(exchange, role));
    }
}
