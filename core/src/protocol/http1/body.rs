//! A message's body: counted as it passes, never kept.

use super::chunked::{Chunked, Progress, Terminator};

/// What is known of the end of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// It ends after so many more bytes.
    Length(u64),
    /// It ends with its last chunk.
    Chunked(Chunked),
    /// It ends with the connection.
    UntilClose,
    /// It is chunked, but bytes that frame it were lost: its end is looked for.
    Unframed(Terminator),
    /// Its head was truncated: nothing tells its end.
    Unknown,
}

impl Body {
    /// Follows `bytes` of one call. On [`Progress::Lost`] the body has become one whose end is not known, and the bytes
    /// were taken.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Progress {
        let len = bytes.len() as u64;
        match self {
            Self::Length(left) if *left <= len => Progress::End(*left),
            Self::Length(left) => {
                *left -= len;
                Progress::More
            }
            Self::Chunked(chunked) => {
                let progress = chunked.feed(bytes);
                if progress == Progress::Lost {
                    let mut terminator = Terminator::default();
                    terminator.feed(bytes);
                    *self = Self::Unframed(terminator);
                }
                progress
            }
            Self::Unframed(terminator) => {
                if terminator.feed(bytes) {
                    Progress::End(len)
                } else {
                    Progress::More
                }
            }
            Self::UntilClose | Self::Unknown => Progress::More,
        }
    }

    /// Follows `len` bytes that were not captured. As with [`Self::feed`]; a body whose length is known may end inside.
    pub(super) fn gap(&mut self, len: u64) -> Progress {
        match self {
            Self::Length(left) if *left <= len => Progress::End(*left),
            Self::Length(left) => {
                *left -= len;
                Progress::More
            }
            Self::Chunked(chunked) => {
                let progress = chunked.gap(len);
                if progress == Progress::Lost {
                    *self = Self::Unframed(Terminator::default());
                }
                progress
            }
            Self::Unframed(terminator) => {
                terminator.gap();
                Progress::More
            }
            Self::UntilClose | Self::Unknown => Progress::More,
        }
    }

    /// Its end cannot be told for certain from its own bytes.
    pub(super) fn is_unsure(&self) -> bool {
        matches!(self, Self::Unframed(_) | Self::Unknown)
    }

    /// It has no bytes at all.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::Length(0)
    }
}
