//! Every way in which the agent can lose something, each with a name that the user sees in `/api/status`.

/// Declares [`Loss`] with its names, so that a variant cannot be without one.
macro_rules! losses {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// One kind of loss. Kernel and user space share this list; the counters are monotonic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Loss { $($(#[doc = $doc])+ $variant,)+ }

        impl Loss {
            /// All kinds, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The counter's name, as shown to the user.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What was lost, in one sentence for the user.
            pub const fn meaning(self) -> &'static str {
                let text: &str = match self { $(Self::$variant => concat!($($doc,)+),)+ };
                text.trim_ascii_start()
            }
        }
    };
}

losses! {
    /// Events that the kernel could not put into the ring buffer because it was full.
    RingFull = "ring_full",
    /// Payload that the kernel could not read from the process's memory.
    PayloadFault = "payload_fault",
    /// Chunks of which only the start and the end were copied, as the ring buffer was nearly full: texts in them may be cut.
    ChunksCut = "chunks_cut",
    /// Connections that found no room in the kernel's table of connections.
    ConnectionTableFull = "connection_table_full",
    /// Times the Python state of a thread was not found: what it did then was attributed to no request by context.
    ThreadStateMissing = "thread_state_missing",
    /// Times a Python context could not be read where one was expected.
    ContextUnreadable = "context_unreadable",
    /// Threads, contexts and hand-overs that found no room in the kernel's tables: what they did has no request.
    AttributionTableFull = "attribution_table_full",
    /// Exceptions of which a part found no room, or whose class could not be read any more.
    ExceptionsUnread = "exceptions_unread",
    /// Frames of tracebacks whose code object could not be read any more.
    FramesUnread = "frames_unread",
    /// Outgoing calls and queries whose call stack found no room, or whose code could not be read: they have no call site.
    StacksUnread = "stacks_unread",
    /// Exceptions that found no room among those that wait for the end of their request.
    ExceptionTableFull = "exception_table_full",
    /// Events that user space could not decode.
    Undecodable = "undecodable",
    /// Bytes of a connection that never arrived, as a gap between two stream positions.
    GapBytes = "gap_bytes",
    /// Gaps in connections, each a run of bytes that never arrived.
    Gaps = "gaps",
    /// Times a parser lost its place and skipped to the next message boundary.
    Resyncs = "resyncs",
    /// Requests whose head could not be read whole.
    TruncatedHeads = "truncated_heads",
    /// Statements behind the part of a text that is kept, shown as not captured.
    StatementsCut = "statements_cut",
    /// Responses that answered no request we had seen.
    ResponsesWithoutRequest = "responses_without_request",
    /// Requests whose response was never seen, because bytes were lost.
    RequestsWithoutResponse = "requests_without_response",
    /// Messages that are not valid in their protocol.
    Malformed = "malformed",
    /// Connections whose protocol no parser knows; they are left alone.
    UnknownProtocol = "unknown_protocol",
    /// MySQL connections that compress what they carry or leave out what describes rows, replication connections of MySQL and
    /// PostgreSQL, and Redis connections that switch replies off: their statements and commands are not seen.
    ConnectionsHidden = "connections_hidden",
    /// Connections dropped from user space's table because it was full.
    ConnectionsEvicted = "connections_evicted",
    /// Failed attempts to connect that are not shown, as the same work tried another address on that port: what came of that is.
    ConnectsRetried = "connects_retried",
    /// Exchanges that were open when their connection was dropped from the table.
    ExchangesEvicted = "exchanges_evicted",
    /// Source trees that were not read for their routes, as too many waited or were kept.
    SourceNotRead = "source_not_read",
    /// Rows dropped because the store's queue was full.
    StoreQueueFull = "store_queue_full",
    /// Rows dropped because the disk failed and the memory kept for them was full.
    StoreFailed = "store_failed",
    /// Plaintext of TLS that could not be bound to its socket (figures stay right; the peer is unknown).
    TlsUnbound = "tls_unbound",
    /// TLS connections to others of which no plaintext was seen: another library than OpenSSL reads them, or the handshake failed.
    TlsNotRead = "tls_not_read",
    /// Messages seen on a connection that the agent joined in mid-life and whose headers it cannot know.
    HeadersUnknown = "headers_unknown",
}

/// Counters of all kinds of loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Losses([u64; Loss::ALL.len()]);

impl Default for Losses {
    fn default() -> Self {
        Self([0; Loss::ALL.len()])
    }
}

impl Losses {
    /// Adds `n` to the counter of `loss`.
    pub fn add(&mut self, loss: Loss, n: u64) {
        self.0[loss as usize] = self.0[loss as usize].saturating_add(n);
    }

    /// Sets the counter of `loss`, for counters that the kernel keeps.
    pub fn set(&mut self, loss: Loss, n: u64) {
        self.0[loss as usize] = n;
    }

    /// The counter of `loss`.
    pub fn get(&self, loss: Loss) -> u64 {
        self.0[loss as usize]
    }

    /// Adds every counter of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// All counters with their kinds.
    pub fn iter(&self) -> impl Iterator<Item = (Loss, u64)> + '_ {
        Loss::ALL.iter().map(|&loss| (loss, self.get(loss)))
    }
}
