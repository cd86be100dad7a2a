//! HPACK, decoding only (RFC 7541).

mod decoder;
mod huffman;
mod integer;
mod table;

pub(super) use decoder::{Decoder, Ended, Field};
#[cfg(test)]
pub(super) use huffman::decode as huffman_decode;
