//! One direction: cuts frames, puts header blocks together, and finds its place again after bytes were lost.

use super::frame::{
    Chain, DEFAULT_MAX, END_HEADERS, END_STREAM, HEAD_LEN, Head, Kind, PADDED, PRIORITY, chain,
};
use super::head::{Fields, keep};
use super::hpack::{Decoder, Ended};
use super::{BLOCK_CAP, PREFACE};
use crate::exchange::Origin;
use crate::loss::{Loss, Losses};
use crate::protocol::At;
use crate::time::Time;

/// `SETTINGS_MAX_FRAME_SIZE`
const SETTINGS_MAX_FRAME_SIZE: u16 = 5;
/// Bytes that are kept of frames other than header blocks: RST_STREAM, GOAWAY and a usual SETTINGS are shorter.
const SMALL_CAP: usize = 240;

/// When something began, and by which code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began {
    pub(super) time: Time,
    pub(super) origin: Origin,
}

impl Began {
    fn at(at: &At) -> Self {
        Self { time: at.time, origin: at.origin }
    }
}

/// What a direction says about a stream or the connection.
#[derive(Debug)]
pub(super) enum Event {
    /// A header block; `is_whole` is false where part of it was lost.
    Headers { stream: u32, began: Began, fields: Box<Fields>, is_whole: bool, bytes: u64, ends: bool },
    /// A DATA frame.
    Data { stream: u32, began: Began, bytes: u64, ends: bool },
    /// RST_STREAM
    Reset { stream: u32 },
    /// GOAWAY: streams of the other side with a higher number will not be answered.
    Goaway { last: u32 },
    /// The sender takes frames of this size.
    MaxFrame(u32),
    /// Frames were lost: anything may have been among them.
    Lost,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the client's preface have come.
    Preface(usize),
    /// So many bytes of a frame's head have come.
    Head([u8; HEAD_LEN], usize),
    Payload(Payload),
    /// Where the next frame begins is not known.
    Lost,
}

#[derive(Debug)]
struct Payload {
    head: Head,
    /// Bytes still to come.
    left: u32,
    /// Bytes of it are missing, from what is kept onwards.
    has_hole: bool,
}

/// A header block whose last frame has not come.
#[derive(Debug)]
struct Block {
    stream: u32,
    began: Began,
    bytes: u64,
    ends: bool,
    is_promise: bool,
    is_whole: bool,
}

/// No `Debug`: its buffers hold headers of all kinds.
pub(super) struct Reader {
    state: State,
    /// First byte of the frame at hand.
    began: Option<Began>,
    /// What is kept of its payload.
    kept: Vec<u8>,
    block: Option<Block>,
    /// What has come of the block.
    fragment: Vec<u8>,
    hpack: Decoder,
    /// Largest payload allowed; `None` where it is not known.
    max_frame: Option<u32>,
    was_synced: bool,
}

impl Reader {
    /// A reader; `has_preface` where the direction is the client's.
    pub(super) fn new(from_start: bool, has_preface: bool) -> Self {
        let state = match (from_start, has_preface) {
            (true, true) => State::Preface(0),
            (true, false) => State::Head([0; HEAD_LEN], 0),
            (false, _) => State::Lost,
        };
        Self {
            state,
            began: None,
            kept: Vec::new(),
            block: None,
            fragment: Vec::new(),
            hpack: Decoder::new(from_start, keep),
            max_frame: from_start.then_some(DEFAULT_MAX),
            was_synced: from_start,
        }
    }

    /// The other side announced that it takes frames of this size.
    pub(super) fn allow(&mut self, max: u32) {
        self.max_frame = self.max_frame.map(|known| known.max(max));
    }

    /// Takes the bytes of one call.
    pub(super) fn data(&mut self, at: &At, bytes: &[u8], losses: &mut Losses, each: &mut dyn FnMut(Event)) {
        if matches!(self.state, State::Lost) {
            if !chain(bytes).is_some_and(Chain::is_proof) {
                // Frames pass unread.
                return each(Event::Lost);
            }
            losses.add(Loss::Resyncs, u64::from(self.was_synced));
            self.was_synced = true;
            self.state = State::Head([0; HEAD_LEN], 0);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match &mut self.state {
                State::Lost => return,
                State::Preface(have) => {
                    let len = rest.len().min(PREFACE.len() - *have);
                    if rest[..len] != PREFACE[*have..*have + len] {
                        losses.add(Loss::Malformed, 1);
                        return self.lose(each);
                    }
                    *have += len;
                    if *have == PREFACE.len() {
                        self.state = State::Head([0; HEAD_LEN], 0);
                    }
                    &rest[len..]
                }
                State::Head(head, have) => {
                    self.began.get_or_insert(Began::at(at));
                    let len = rest.len().min(HEAD_LEN - *have);
                    head[*have..*have + len].copy_from_slice(&rest[..len]);
                    *have += len;
                    if *have == HEAD_LEN {
                        let head = Head::parse(head);
                        self.head(head, losses, each);
                    }
                    &rest[len..]
                }
                State::Payload(payload) => {
                    let len = rest.len().min(payload.left as usize);
                    let room = cap(&payload.head).saturating_sub(self.kept.len());
                    if !payload.has_hole && room > 0 {
                        self.kept.extend_from_slice(&rest[..len.min(room)]);
                    }
                    payload.has_hole |= len > room;
                    payload.left -= len as u32;
                    &rest[len..]
                }
            };
            self.finish_frame(losses, each);
        }
    }

    /// So many bytes were not captured.
    pub(super) fn gap(&mut self, len: u64, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
        let State::Payload(payload) = &mut self.state else {
            return match self.state {
                State::Lost => each(Event::Lost),
                _ => self.lose(each),
            };
        };
        let inside = u64::from(payload.left).min(len);
        payload.left -= inside as u32;
        payload.has_hole = true;
        self.finish_frame(losses, each);
        if inside < len {
            self.lose(each);
        }
    }

    fn lose(&mut self, each: &mut dyn FnMut(Event)) {
        self.state = State::Lost;
        self.began = None;
        self.block = None;
        self.hpack.forget();
        each(Event::Lost);
    }

    /// A frame's head is there.
    fn head(&mut self, head: Head, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
        let continues = head.kind == Kind::Continuation;
        let is_in_order = match &self.block {
            Some(block) => continues && block.stream == head.stream,
            // Joined within a block, its rest says nothing.
            None => true,
        };
        if !is_in_order || !head.is_valid(self.max_frame.unwrap_or(u32::MAX)) {
            losses.add(Loss::Malformed, 1);
            return self.lose(each);
        }
        self.kept.clear();
        self.state = State::Payload(Payload { head, left: head.len, has_hole: false });
    }

    /// Handles the frame at hand if all of it has passed.
    fn finish_frame(&mut self, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
        let State::Payload(Payload { head, left: 0, has_hole }) = self.state else { return };
        self.state = State::Head([0; HEAD_LEN], 0);
        let Some(began) = self.began.take() else { return };
        let bytes = u64::from(head.len) + HEAD_LEN as u64;
        let stream = head.stream;
        match head.kind {
            Kind::Data => each(Event::Data { stream, began, bytes, ends: head.has(END_STREAM) }),
            Kind::Headers | Kind::PushPromise => {
                let is_promise = head.kind == Kind::PushPromise;
                let ends = head.has(END_STREAM) && !is_promise;
                self.fragment.clear();
                self.block = Some(Block { stream, began, bytes, ends, is_promise, is_whole: true });
                self.add_fragment(&head, has_hole, losses, each);
            }
            Kind::Continuation => match &mut self.block {
                Some(block) => {
                    block.bytes += bytes;
                    self.add_fragment(&head, has_hole, losses, each);
                }
                None => self.hpack.forget(),
            },
            Kind::RstStream => each(Event::Reset { stream }),
            Kind::Goaway => {
                if let Some(last) = self.kept.first_chunk::<4>() {
                    each(Event::Goaway { last: u32::from_be_bytes(*last) & 0x7fff_ffff });
                }
            }
            Kind::Settings => {
                for setting in self.kept.chunks_exact(6) {
                    let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                    if u16::from_be_bytes([setting[0], setting[1]]) == SETTINGS_MAX_FRAME_SIZE {
                        each(Event::MaxFrame(value));
                    }
                }
            }
            Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Extension | Kind::Unknown => {}
        }
    }

    /// Adds a frame's part of the block, and decodes the block if it was the last.
    fn add_fragment(
        &mut self,
        head: &Head,
        has_hole: bool,
        losses: &mut Losses,
        each: &mut dyn FnMut(Event),
    ) {
        let Some(block) = &mut self.block else { return };
        let is_first = head.kind != Kind::Continuation;
        let padded = is_first && head.has(PADDED);
        let padding = if padded { self.kept.first().map_or(0, |&len| usize::from(len)) } else { 0 };
        let start = usize::from(padded)
            + if head.kind == Kind::Headers && head.has(PRIORITY) { 5 } else { 0 }
            + if block.is_promise && is_first { 4 } else { 0 };
        let end = (head.len as usize).checked_sub(padding).filter(|&end| start <= end);
        let Some(end) = end else {
            losses.add(Loss::Malformed, 1);
            return self.lose(each);
        };
        if block.is_whole {
            let part = self.kept.get(start..end.min(self.kept.len())).unwrap_or_default();
            let room = BLOCK_CAP.saturating_sub(self.fragment.len());
            self.fragment.extend_from_slice(&part[..part.len().min(room)]);
            block.is_whole = part.len() <= room && !(has_hole && self.kept.len() < end);
        }
        if head.has(END_HEADERS)
            && let Some(block) = self.block.take()
        {
            self.finish_block(block, losses, each);
        }
    }

    fn finish_block(&mut self, block: Block, losses: &mut Losses, each: &mut dyn FnMut(Event)) {
        let Block { stream, began, bytes, ends, is_promise, mut is_whole } = block;
        let mut fields = Fields::default();
        let ended = self.hpack.decode(&self.fragment, &mut |field| fields.take(field));
        wipe(&mut self.fragment);
        wipe(&mut self.kept);
        if !is_whole {
            losses.add(Loss::TruncatedHeads, 1);
            self.hpack.forget();
        } else if ended != Ended::Whole {
            losses.add(Loss::Malformed, 1);
            self.hpack.forget();
            is_whole = false;
        }
        if !is_promise {
            each(Event::Headers { stream, began, fields: Box::new(fields), is_whole, bytes, ends });
        }
    }
}

/// Header blocks hold credentials: they do not stay in memory longer than they are needed.
fn wipe(bytes: &mut Vec<u8>) {
    bytes.fill(0);
    bytes.clear();
}

/// Bytes of a payload that are kept.
fn cap(head: &Head) -> usize {
    match head.kind {
        Kind::Headers | Kind::PushPromise | Kind::Continuation => BLOCK_CAP,
        Kind::Settings | Kind::RstStream | Kind::Goaway => SMALL_CAP,
        _ => 0,
    }
}
