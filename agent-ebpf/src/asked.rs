//! What user space asks of the table of connections, of a connection by its key and number.

/// No event but its end is wanted any more.
pub const IGNORE: u64 = 1;
/// It is over: its entry is to go.
pub const REMOVE: u64 = 2;
