//! The probes' table of connections, changed by user space while the probes use it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use apm_agent_ebpf::{Conn, conn_flags};
use apm_core::connection::Info;
use aya::maps::{HashMap, Map, MapData, MapError};

/// `BPF_NOEXIST` of `include/uapi/linux/bpf.h`: an entry is only made, never overwritten.
const BPF_NOEXIST: u64 = 1;
/// `BPF_EXIST`: an entry is only overwritten, never made.
const BPF_EXIST: u64 = 2;
/// `BPF_MAP_LOOKUP_AND_DELETE_ELEM`: in one step; of hash tables since Linux 5.14.
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: libc::c_long = 21;

/// An entry as it lies in the table.
type Bytes = [u8; size_of::<Conn>()];

/// The part of `union bpf_attr` for calls on one entry of a map (bpf(2)).
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The table, keyed by the address of each connection's `struct sock`. The kernel uses an address again as soon as its
/// socket is gone, and the probes enter the next one in place of the last.
pub(super) struct Entries {
    map: HashMap<MapData, u64, Bytes>,
    /// The same map.
    fd: OwnedFd,
}

impl Entries {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        let (Map::LruHashMap(data) | Map::HashMap(data)) = map else {
            return Err(MapError::InvalidMapType { map_type: 0 });
        };
        let fd = data.fd().as_fd().try_clone_to_owned().map_err(MapError::IoError)?;
        Ok(Self { map: HashMap::try_from(Map::LruHashMap(data))?, fd })
    }

    /// Has the probes tell no more of a connection but its end.
    pub(super) fn ignore(&mut self, conn: &Info) {
        if let Some(mut entry) = self.get(conn) {
            entry.flags |= conn_flags::IGNORED;
            // Its positions may be overwritten by older ones here: nobody asks for them any more.
            let _gone_meanwhile = self.put(conn.key, entry, BPF_EXIST);
        }
    }

    /// Takes a connection that is over out of the table.
    pub(super) fn remove(&mut self, conn: &Info) {
        if self.get(conn).is_some() {
            self.take_only(conn);
        }
    }

    /// Takes a connection out. Since it was looked up its place may have been taken by another, which would then have no
    /// entry: half of what moves over it would be told as another connection's. That one is put back.
    fn take_only(&mut self, conn: &Info) {
        if let Ok(taken) = self.take(conn.key)
            && taken.id != conn.id.0
        {
            // Where the probes have made a new one in this moment, there are two connections after all.
            let _made_meanwhile = self.put(conn.key, taken, BPF_NOEXIST);
        }
    }

    /// The entry of a connection, unless its place has been taken by another one.
    fn get(&self, conn: &Info) -> Option<Conn> {
        if conn.key == 0 {
            return None;
        }
        let entry: Conn = zerocopy::transmute!(self.map.get(&conn.key, 0).ok()?);
        (entry.id == conn.id.0).then_some(entry)
    }

    fn put(&mut self, key: u64, entry: Conn, flags: u64) -> Result<(), MapError> {
        let bytes: Bytes = zerocopy::transmute!(entry);
        self.map.insert(key, bytes, flags)
    }

    /// Reads an entry and deletes it, in one step.
    fn take(&self, key: u64) -> io::Result<Conn> {
        let mut value: Bytes = [0; size_of::<Conn>()];
        let attr = ElementAttr {
            map_fd: self.fd.as_raw_fd().cast_unsigned(),
            padding: 0,
            key: (&raw const key).addr() as u64,
            value: (&raw mut value).addr() as u64,
            flags: 0,
        };
        // SAFETY: `attr` is of the shape that the command takes, and `key` and `value` have the map's sizes.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_AND_DELETE_ELEM,
                &raw const attr,
                size_of::<ElementAttr>(),
            )
        };
        if result == 0 { Ok(zerocopy::transmute!(value)) } else { Err(io::Error::last_os_error()) }
    }
}

#[cfg(test)]
mod tests {
    use apm_core::exchange::{ConnId, Endpoint};
    use apm_core::time::Time;
    use zerocopy::FromZeros as _;

    use super::*;

    /// Address of a socket, as far as these tests care.
    const KEY: u64 = 0xffff_8880_1234_5678;
    /// `BPF_MAP_TYPE_LRU_HASH`
    const LRU_HASH: u32 = 9;

    fn table() -> Entries {
        let shape = aya_obj::Map::new_from_params(LRU_HASH, 8, size_of::<Conn>() as u32, 64, 0);
        let data = MapData::create(shape, "entries", None).expect("a map");
        Entries::new(Map::LruHashMap(data)).expect("a table")
    }

    fn info(id: u64) -> Info {
        Info {
            id: ConnId(id),
            key: KEY,
            pid: 1,
            role: None,
            local: Endpoint::Unknown,
            peer: Endpoint::Unknown,
            from_start: true,
            since: Time(0),
            caller: apm_core::exchange::Origin::default(),
            tls: false,
        }
    }

    fn entry(id: u64) -> Conn {
        Conn { id, read: 7, ..Conn::new_zeroed() }
    }

    #[test]
    fn a_connection_is_taken_out_and_never_the_one_in_its_place() {
        // SAFETY: no preconditions.
        if unsafe { libc::geteuid() } != 0 {
            println!("skipped: making a map needs root");
            return;
        }
        let mut table = table();
        table.put(KEY, entry(1), 0).unwrap();
        table.remove(&info(1));
        assert!(table.get(&info(1)).is_none());
        // Its socket's address has been taken by another before the look, or after it.
        table.put(KEY, entry(2), 0).unwrap();
        table.remove(&info(1));
        table.take_only(&info(1));
        assert_eq!(table.get(&info(2)).map(|entry| entry.read), Some(7));
        table.take_only(&info(2));
        assert!(table.get(&info(2)).is_none());
    }
}
