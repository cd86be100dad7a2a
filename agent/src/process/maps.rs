//! `/proc/PID/maps` (proc_pid_maps(5)), as far as files are mapped. Names of files are bytes that a process chooses: none of them may
//! hide it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::patience::Device;

/// Bytes that are read. A process may have 65,530 mappings (`vm.max_map_count`), of some hundred bytes each, but for those who
/// name their files otherwise.
const MAX: u64 = 16 << 20;

/// A piece of a file in the memory of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) executable: bool,
    /// Where in the file it begins.
    pub(super) offset: u64,
    pub(super) device: Device,
    pub(super) inode: u64,
    /// With the kernel's mark where the file is deleted, and a line feed written as `\012`.
    pub(super) path: PathBuf,
}

/// The files that a process maps, in the order of their addresses.
pub(super) fn maps(pid: u32) -> io::Result<Vec<Map>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/maps"))?.take(MAX).read_to_end(&mut bytes)?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Vec<Map> {
    // What was cut off is no line.
    let whole = memchr::memrchr(b'\n', bytes).map_or(&[][..], |end| &bytes[..end]);
    whole.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// `7f5c8a000000-7f5c8a021000 r-xp 00001000 fe:01 1234   /usr/lib/libc.so.6`
fn line(line: &[u8]) -> Option<Map> {
    let mut rest = line;
    let mut word = || {
        let end = memchr::memchr(b' ', rest)?;
        let (word, after) = rest.split_at(end);
        rest = &after[1..];
        std::str::from_utf8(word).ok()
    };
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let device = |text: &str| i32::from_str_radix(text, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let executable = word()?.as_bytes().get(2) == Some(&b'x');
    let offset = number(word()?)?;
    let (major, minor) = word()?.split_once(':')?;
    let inode = word()?.parse().ok().filter(|&inode| inode != 0)?;
    let name = rest.trim_ascii_start();
    let path = name.starts_with(b"/").then(|| PathBuf::from(OsStr::from_bytes(name)))?;
    let (start, end, device) = (number(start)?, number(end)?, (device(major)?, device(minor)?));
    Some(Map { start, end, executable, offset, device, inode, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBC: &[u8] =
        b"7f5c8a000000-7f5c8a021000 r-xp 00001000 fe:1a 1234                       /usr/lib/libc.so.6\n";

    #[test]
    fn a_mapped_file_is_told_with_its_place() {
        let found = parse(LIBC);
        let expected = Map {
            start: 0x7f5c_8a00_0000,
            end: 0x7f5c_8a02_1000,
            executable: true,
            offset: 0x1000,
            device: (0xfe, 0x1a),
            inode: 1234,
            path: "/usr/lib/libc.so.6".into(),
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn no_name_of_a_file_hides_the_others() {
        for name in
            [&b"/SYSVx"[..], b"/SYSV\xc3\xa9", b"/caf\xe9.dat", b"/a b (deleted)", b"/VmFlags: x", b"/"]
        {
            let other = [b"1000-2000 rw-s 00000000 00:01 9    ", name, b"\n"].concat();
            let found = parse(&[LIBC, &other, LIBC].concat());
            assert_eq!(found.len(), 3, "{}", String::from_utf8_lossy(name));
            assert_eq!(found[1].path.as_os_str().as_bytes(), name);
        }
    }

    #[test]
    fn what_is_no_file_or_no_line_is_left_out() {
        for text in [
            &b"1000-2000 rw-p 00000000 00:00 0          [heap]\n"[..],
            b"1000-2000 rw-p 00000000 00:00 0 \n",
            b"1000-2000 rw-p 00000000 00:01 7    anon_inode:[perf_event]\n",
            b"1000-2000 rw-p 00000000 00:01 7    /cut/off",
            b"\n",
            b"zzz",
        ] {
            assert_eq!(parse(text), [], "{}", String::from_utf8_lossy(text));
        }
    }
}
