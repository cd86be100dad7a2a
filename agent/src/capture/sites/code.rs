//! Machine code of a file, by file offset.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use iced_x86::{Decoder, DecoderOptions, Instruction};
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::process::{Elf64, Image};

/// Bytes that are read at a time.
const WINDOW: usize = 4096;
/// Longest instruction (Intel SDM, volume 2, 2.3.11).
const INSTRUCTION_MAX: usize = 15;

/// The code of one file. Addresses are file offsets, so a jump's target is right only within one segment: nothing beyond
/// that of the function that is looked at can be read.
#[derive(Debug)]
pub(crate) struct Code<R> {
    source: R,
    /// The segment.
    segment: Range<u64>,
    window: Vec<u8>,
    /// Where the window begins.
    at: u64,
}

/// The bytes of one instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoded {
    bytes: [u8; INSTRUCTION_MAX],
    len: usize,
}

impl Encoded {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Code<File> {
    /// The executable segment that holds file offset `offset` of the ELF file at `access`.
    ///
    /// # Errors
    /// The file cannot be read, is no ELF file for x86-64, or holds no code there.
    pub(crate) fn open(access: &Path, offset: u64) -> io::Result<Self> {
        let image = Image::open(access)?;
        let bytes = image.bytes()?;
        let parsed = Elf64::parse(&bytes).map_err(io::Error::other)?;
        let endian = parsed.endian();
        if parsed.elf_header().e_machine(endian) != elf::EM_X86_64 {
            return Err(io::Error::other("not for x86-64"));
        }
        let segment = parsed
            .elf_program_headers()
            .iter()
            .filter(|header| {
                header.p_type(endian) == elf::PT_LOAD && header.p_flags(endian).contains(elf::PF_X)
            })
            .map(|header| header.file_range(endian))
            .find_map(|(start, size)| {
                let range = start..start.saturating_add(size);
                range.contains(&offset).then_some(range)
            })
            .ok_or_else(|| io::Error::other("no code at this offset"))?;
        Ok(Self::new(File::open(image.path())?, segment))
    }
}

impl<R: Read + Seek> Code<R> {
    pub(crate) fn new(source: R, segment: Range<u64>) -> Self {
        Self { source, segment, window: Vec::new(), at: 0 }
    }

    /// The instruction at `offset`; its addresses are file offsets. `None` for what cannot be read or is none.
    pub(crate) fn instruction(&mut self, offset: u64) -> Option<(Instruction, Encoded)> {
        let bytes = self.bytes(offset)?;
        let mut decoder = Decoder::with_ip(64, bytes, offset, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        let mut encoded = Encoded { bytes: [0; INSTRUCTION_MAX], len: instruction.len() };
        encoded.bytes[..encoded.len].copy_from_slice(bytes.get(..encoded.len)?);
        Some((instruction, encoded))
    }

    /// Bytes from `offset` on, as many as an instruction can have, or as there are.
    fn bytes(&mut self, offset: u64) -> Option<&[u8]> {
        if !self.segment.contains(&offset) {
            return None;
        }
        let most = usize::try_from(self.segment.end - offset).unwrap_or(usize::MAX).min(INSTRUCTION_MAX);
        let inside = |at: u64, len: usize| offset >= at && offset + most as u64 <= at + len as u64;
        if !inside(self.at, self.window.len()) {
            self.window.clear();
            self.at = offset;
            self.source.seek(SeekFrom::Start(offset)).ok()?;
            let wanted = (self.segment.end - offset).min(WINDOW as u64);
            self.source.by_ref().take(wanted).read_to_end(&mut self.window).ok()?;
        }
        let start = usize::try_from(offset - self.at).ok()?;
        let rest = self.window.get(start..)?;
        Some(&rest[..rest.len().min(INSTRUCTION_MAX)])
    }
}
