//! From the bytes of a ring-buffer record to an event. Never panics, whatever the bytes are.

use zerocopy::FromBytes;

use crate::{
    Begun, Bound, Changed, Connecting, Data, Left, Named, Opened, Process, Queued, Raised, Stack, Unresolved,
    kind,
};

/// A decoded event; payloads borrow from the record.
#[derive(Debug)]
pub enum Event<'a> {
    /// Bytes moved: fixed part, bytes of the chunk's start, bytes of its end.
    Data(Data, &'a [u8], &'a [u8]),
    /// A connection was first seen.
    Opened(Opened),
    /// Which code makes a connection.
    Connecting(Connecting),
    /// Something happened to a connection.
    Changed(Changed),
    /// A process came, changed or went.
    Process(Process),
    /// A TLS stream was bound to its socket.
    Bound(Bound),
    /// An exception was being handled.
    Raised(&'a Raised),
    /// An exception leaves a function.
    Left(Left),
    /// The path of a Unix socket.
    Named(&'a Named),
    /// A call stack that chunks name from now on.
    Stack(&'a Stack),
    /// Code runs in a context that other code has made.
    Begun(Begun),
    /// Bytes wait to be written.
    Queued(Queued),
    /// A name could not be resolved.
    Unresolved(&'a Unresolved),
}

/// Decodes one record; `None` where it is none of the kinds, too short, or contradicts itself.
pub fn decode(record: &[u8]) -> Option<Event<'_>> {
    let (kind, _) = u32::read_from_prefix(record).ok()?;
    match kind {
        kind::DATA => {
            let (data, payload) = Data::read_from_prefix(record).ok()?;
            let (head, tail) = (usize::try_from(data.head).ok()?, usize::from(data.tail));
            let copied = payload.get(..head.checked_add(tail)?)?;
            if copied.len() > data.len as usize {
                return None;
            }
            let (head, tail) = copied.split_at(head);
            Some(Event::Data(data, head, tail))
        }
        kind::OPENED => Opened::read_from_prefix(record).ok().map(|(event, _)| Event::Opened(event)),
        kind::CONNECTING => {
            Connecting::read_from_prefix(record).ok().map(|(event, _)| Event::Connecting(event))
        }
        kind::CHANGED => Changed::read_from_prefix(record).ok().map(|(event, _)| Event::Changed(event)),
        kind::PROCESS => Process::read_from_prefix(record).ok().map(|(event, _)| Event::Process(event)),
        kind::BOUND => Bound::read_from_prefix(record).ok().map(|(event, _)| Event::Bound(event)),
        kind::RAISED => Raised::ref_from_prefix(record).ok().map(|(event, _)| Event::Raised(event)),
        kind::LEFT => Left::read_from_prefix(record).ok().map(|(event, _)| Event::Left(event)),
        kind::NAMED => Named::ref_from_prefix(record).ok().map(|(event, _)| Event::Named(event)),
        kind::QUEUED => Queued::read_from_prefix(record).ok().map(|(event, _)| Event::Queued(event)),
        kind::UNRESOLVED => {
            Unresolved::ref_from_prefix(record).ok().map(|(event, _)| Event::Unresolved(event))
        }
        kind::BEGUN => Begun::read_from_prefix(record).ok().map(|(event, _)| Event::Begun(event)),
        kind::STACK => Stack::ref_from_prefix(record).ok().map(|(event, _)| Event::Stack(event)),
        _ => None,
    }
}
