//! Functions of an OpenSSL that was linked into another file and of which no symbol tells: an interpreter with hidden symbols
//! (python-build-standalone, which uv installs) or an extension module (`cryptography`).
//!
//! What its streams do they do by way of tables of functions (`struct ssl_method_st`, OpenSSL's `ssl/ssl_local.h`), which are there
//! in any build. `TLS_method()`, `TLS_server_method()` and `TLS_client_method()` return three that are equal but in what accepts and
//! what connects, and in the server's and the client's one of both is a function that only fails. Tables of which that is true are
//! no coincidence, and tell how the structure is laid out.

use super::reader::Elf;

/// How a table of these begins: `version` is `TLS_ANY_VERSION` (OpenSSL's `include/openssl/ssl.h`), and neither `flags` nor `mask`
/// has a bit set.
const ANY_VERSION: [u8; 16] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Functions of a table that are looked at.
const FUNCTIONS: usize = 11;
/// Tables that are compared.
const TABLES_MAX: usize = 64;
/// Places of a section that are looked at: a file may be made to have any number that begin like a table.
const PLACES_MAX: usize = 4096;

/// Where a table has its functions, and a stream its table.
struct Shape {
    /// Which function is `ssl_accept`; `ssl_connect`, `ssl_read`, `ssl_peek` and `ssl_write` follow.
    accept: usize,
    /// Which is `ssl_free`.
    free: usize,
    /// Offset of `method` in `struct ssl_st`.
    method_at: u64,
}

/// That of OpenSSL 1.1 to 3.1, and that of 3.2 and later.
const SHAPES: [Shape; 2] =
    [Shape { accept: 3, free: 2, method_at: 8 }, Shape { accept: 6, free: 1, method_at: 24 }];

/// Functions that OpenSSL calls by way of a table; places are file offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SslMethods {
    /// `ssl_read(ssl, buf, len, readbytes)`, what SSL_read(3) and SSL_read_ex(3) call; it returns a positive number if it has
    /// read something.
    pub read: u64,
    /// `ssl_write(ssl, buf, len, written)`, likewise.
    pub write: u64,
    /// `ssl_free(ssl)`, what SSL_free(3) calls for the last reference.
    pub free: u64,
    /// Offset of `ssl_accept` in a table; `ssl_connect` follows.
    pub accept_at: u64,
    /// Offset of its table in a stream.
    pub method_at: u64,
}

type Table = [u64; FUNCTIONS];

impl SslMethods {
    /// Those of the file, if the tables tell.
    pub(super) fn find(elf: &Elf<'_, '_>) -> Option<Self> {
        let tables = tables(elf);
        let (shape, table) = told(&tables)?;
        let place = |function: usize| elf.file_offset(*table.get(function)?);
        Some(Self {
            read: place(shape.accept + 2)?,
            write: place(shape.accept + 4)?,
            free: place(shape.free)?,
            accept_at: (ANY_VERSION.len() + shape.accept * 8) as u64,
            method_at: shape.method_at,
        })
    }
}

/// Addresses of the functions of all that may be a table.
fn tables(elf: &Elf<'_, '_>) -> Vec<Table> {
    let mut found = Vec::new();
    let mut relocated = None;
    // Constants, with pointers that the loader fills in and without.
    for name in [".data.rel.ro", ".rodata", ".data"] {
        let (Some(start), bytes) = (elf.section_address(name), elf.section(name)) else { continue };
        let places = (0..bytes.len()).step_by(8).filter(|&at| bytes[at..].starts_with(&ANY_VERSION));
        for at in places.take(PLACES_MAX) {
            let relocated = relocated.get_or_insert_with(|| elf.relocated());
            let function = |at: usize| {
                let address = start + at as u64;
                let known = relocated.binary_search_by_key(&address, |&(at, _)| at);
                let written = || Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
                known.map(|i| relocated[i].1).ok().or_else(written).filter(|&to| elf.is_code(to))
            };
            let mut table = Table::default();
            let mut slots = table.iter_mut().enumerate();
            let whole = slots
                .all(|(i, slot)| function(at + ANY_VERSION.len() + i * 8).map(|to| *slot = to).is_some());
            if whole && found.len() < TABLES_MAX {
                found.push(table);
            }
        }
    }
    found
}

/// The table of which two others prove that it is that of `TLS_method()`, with its shape.
fn told(tables: &[Table]) -> Option<(&'static Shape, &Table)> {
    let differs_in =
        |a: &Table, b: &Table, only: usize| (0..FUNCTIONS).all(|i| (a[i] != b[i]) == (i == only));
    SHAPES.iter().find_map(|shape| {
        let (accept, connect) = (shape.accept, shape.accept + 1);
        let both = tables.iter().find(|&both| {
            tables.iter().filter(|server| differs_in(both, server, connect)).any(|server| {
                let is_client =
                    |table: &&Table| differs_in(both, table, accept) && table[accept] == server[connect];
                tables.iter().any(|table| is_client(&table))
            })
        });
        both.map(|both| (shape, both))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables of a shape whose functions are numbers; 99 is the one that fails.
    fn tables(accept: usize) -> Vec<Table> {
        let both: Table = std::array::from_fn(|i| i as u64 + 1);
        let (mut server, mut client) = (both, both);
        server[accept + 1] = 99;
        client[accept] = 99;
        vec![both, server, client]
    }

    #[test]
    fn three_tables_tell_their_shape() {
        for (accept, free) in [(3, 2), (6, 1)] {
            let mut tables = tables(accept);
            for _ in 0..3 {
                tables.rotate_left(1);
                let (shape, table) = told(&tables).expect("whatever their order");
                assert_eq!((shape.accept, shape.free), (accept, free));
                assert_eq!((table[accept], table[accept + 1]), (accept as u64 + 1, accept as u64 + 2));
            }
        }
    }

    #[test]
    fn tables_that_prove_nothing_are_none() {
        for missing in 0..3 {
            let mut two = tables(6);
            two.remove(missing);
            assert!(told(&two).is_none(), "two tables");
        }
        assert!(told(&tables(4)).is_none(), "no known shape");
        let mut unlike = tables(6);
        unlike[2][9] = 77;
        assert!(told(&unlike).is_none(), "another difference");
        let mut unlike = tables(6);
        unlike[2][6] = 98;
        assert!(told(&unlike).is_none(), "not the same function that fails");
    }
}
