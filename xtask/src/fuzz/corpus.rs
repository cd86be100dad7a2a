//! The corpora of the fuzz targets: for each a file of inputs that reach different code, so that no run begins with nothing.
//!
//! A file holds its inputs one after the other, each as four bytes of length, low first, and its bytes; the shortest come
//! first.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::places;

/// Longest input that is kept, bytes.
const INPUT_BYTES: usize = 2048;

/// Size of a file, bytes; of more, the longest inputs are left out.
const FILE_BYTES: usize = 192 << 10;

/// The file of a target.
fn file(target: &str) -> PathBuf {
    places::root().join("fuzz/corpus").join(target)
}

/// Writes what is kept for `target` to a directory, beside what is there. Returns the directory.
pub(super) fn unpack(target: &str) -> Result<PathBuf> {
    let directory = places::target().join("fuzz/corpus").join(target);
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let file = file(target);
    if file.exists() {
        let packed = fs::read(&file).with_context(|| file.display().to_string())?;
        for input in parse(&packed).with_context(|| file.display().to_string())? {
            let mut hasher = DefaultHasher::new();
            input.hash(&mut hasher);
            fs::write(directory.join(format!("{:016x}", hasher.finish())), input)?;
        }
    }
    Ok(directory)
}

/// Keeps the inputs in `directory` for `target`. Returns how many are kept, and of how many.
pub(super) fn keep(target: &str, directory: &Path) -> Result<(usize, usize)> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let inputs = entries.map(|entry| Ok(fs::read(entry?.path())?)).collect::<Result<Vec<_>>>()?;
    let all = inputs.len();
    let (packed, kept) = pack(inputs);
    let file = file(target);
    fs::create_dir_all(file.parent().context("the file has a directory")?)?;
    fs::write(&file, packed).with_context(|| file.display().to_string())?;
    Ok((kept, all))
}

/// The file that holds `inputs`, as many as it may, and how many those are.
fn pack(mut inputs: Vec<Vec<u8>>) -> (Vec<u8>, usize) {
    inputs.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let mut packed = Vec::new();
    let mut kept = 0;
    for input in inputs.iter().filter(|input| input.len() <= INPUT_BYTES) {
        if packed.len() + 4 + input.len() > FILE_BYTES {
            break;
        }
        packed.extend((input.len() as u32).to_le_bytes());
        packed.extend(input);
        kept += 1;
    }
    (packed, kept)
}

/// The inputs of a file.
fn parse(mut packed: &[u8]) -> Result<Vec<&[u8]>> {
    let mut inputs = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk() {
        let length = u32::from_le_bytes(*length) as usize;
        let Some((input, rest)) = rest.split_at_checked(length) else { bail!("cut within an input") };
        inputs.push(input);
        packed = rest;
    }
    if !packed.is_empty() {
        bail!("cut within a length");
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let inputs = [&b"long one"[..], b"", b"ab", b"ab"].map(<[u8]>::to_vec);
        let (packed, kept) = pack(inputs.to_vec());
        assert_eq!(kept, 3);
        assert_eq!(parse(&packed).unwrap(), [&b""[..], b"ab", b"long one"]);
    }

    #[test]
    fn a_file_has_a_limit() {
        let inputs: Vec<Vec<u8>> =
            (0..200_u8).map(|n| vec![n; 1024]).chain([vec![0; INPUT_BYTES + 1]]).collect();
        let (packed, kept) = pack(inputs);
        assert_eq!(kept, FILE_BYTES / (4 + 1024));
        assert_eq!(parse(&packed).unwrap().len(), kept);
    }

    #[test]
    fn a_cut_file_is_an_error() {
        let (packed, _) = pack(vec![b"abc".to_vec()]);
        assert!(parse(&packed[..6]).is_err());
        assert!(parse(&packed[..3]).is_err());
    }

    #[test]
    fn every_corpus_of_the_tree_can_be_read() {
        for entry in fs::read_dir(places::root().join("fuzz/corpus")).unwrap() {
            let path = entry.unwrap().path();
            let inputs = fs::read(&path).unwrap();
            assert!(!parse(&inputs).unwrap().is_empty(), "{}", path.display());
        }
    }
}
