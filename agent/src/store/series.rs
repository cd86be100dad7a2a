//! What figures are kept for.

/// A kind of series, and what its three numbers mean. Ids are those of table `name` unless another table is named.
///
/// The numbers are part of the store's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// All requests of a service: (service).
    Service = 1,
    /// Requests of a route: (service, method, route).
    Route = 2,
    /// Outgoing calls to a host: (service, host).
    Host = 3,
    /// Outgoing calls by the route that made them: (series of the route, host).
    Edge = 4,
    /// Requests by the route that caused them: (series of the causing route, series of the route, host that was asked
    /// for, or 0 where it is not known).
    Chain = 5,
    /// Executions of a statement: (service, row of `statement`).
    Statement = 6,
    /// Exceptions: (series of the route, fingerprint). Where others keep durations these keep times, microseconds
    /// since 1970: the shortest is when it was first seen, the longest when last.
    Exception = 7,
    /// Failed requests by outcome: (series of the route, status, error or 0).
    Outcome = 8,
    /// Failed queries by error code: (series of the statement, SQLSTATE or error or 0).
    SqlState = 9,
    /// Requests that ran one statement ten times or more: (series of the route, fingerprint of the statement). The
    /// duration is the time in the database.
    Repeat = 10,
    /// Queries by the code that made them: (series of the statement, call site).
    Site = 11,
}

impl Kind {
    /// The highest number of a kind.
    pub(crate) const LAST: i64 = Self::Site as i64;
}

/// The numbers that, with its kind, say what a series is.
pub(crate) type Key = [i64; 3];
