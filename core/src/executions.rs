//! Executions of statements in few bytes, as the store keeps them.
//!
//! A request that takes a connection from a pool runs half a dozen statements that differ in little. As a row each they
//! are most of what there is to store; so those of one request that ended within one second are one row.
//!
//! Layout: executions follow one another in the order of their end. Each has the microseconds since the end of the one before
//! (of the first: since 1970), its duration, and a mask of those fields that differ from the one before (bit 0 is the first of
//! [`Execution::fields`]; before the first all are 0), then these fields. All numbers are [`varint`]s.

use crate::aggregate::varint;

/// Executions in one row at most: who looks for one has to read them all.
pub const MOST: usize = 256;

/// One execution of a statement. What a number means is the store's affair; 0 stands for a text that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// When it ended, microseconds since 1970.
    pub ended: u64,
    /// Nanoseconds.
    pub duration: u64,
    /// The statement and the service that sent it.
    pub series: u64,
    /// Rows returned or changed.
    pub rows: Option<u64>,
    /// Application code that sent it.
    pub call_site: u64,
    /// How the request that caused it is known.
    pub link: u64,
    /// State of the transaction after it.
    pub transaction: u64,
    /// It has an error code, or got no reply.
    pub failed: bool,
    /// Through TLS.
    pub tls: bool,
    /// Process that sent it.
    pub pid: u32,
    /// Address of the server.
    pub server: u64,
    /// Database.
    pub database: u64,
    /// User.
    pub user: u64,
    /// Error code.
    pub error_code: u64,
    /// Severity of the error.
    pub severity: u64,
    /// Why it got no reply.
    pub error: u64,
}

/// Fields that are left out where they repeat.
const FIELDS: usize = 13;

impl Execution {
    /// What differs most often comes first: it makes the mask short.
    fn fields(&self) -> [u64; FIELDS] {
        [
            self.series,
            self.rows.map_or(0, |rows| rows.saturating_add(1)),
            self.call_site,
            self.link,
            self.transaction,
            u64::from(self.failed) | u64::from(self.tls) << 1,
            u64::from(self.pid),
            self.server,
            self.database,
            self.user,
            self.error_code,
            self.severity,
            self.error,
        ]
    }

    fn of(ended: u64, duration: u64, fields: [u64; FIELDS]) -> Option<Self> {
        let [
            series,
            rows,
            call_site,
            link,
            transaction,
            flags,
            pid,
            server,
            database,
            user,
            error_code,
            severity,
            error,
        ] = fields;
        Some(Self {
            ended,
            duration,
            series,
            rows: rows.checked_sub(1),
            call_site,
            link,
            transaction,
            failed: flags & 1 != 0,
            tls: flags & 2 != 0,
            pid: pid.try_into().ok()?,
            server,
            database,
            user,
            error_code,
            severity,
            error,
        })
    }
}

/// Puts executions into few bytes, in the order of their end.
pub fn pack(executions: &mut [Execution]) -> Vec<u8> {
    executions.sort_by_key(|execution| execution.ended);
    let mut out = Vec::with_capacity(32 + executions.len() * 12);
    let (mut ended, mut before) = (0, [0; FIELDS]);
    for execution in executions {
        let fields = execution.fields();
        varint::put(&mut out, execution.ended - ended);
        varint::put(&mut out, execution.duration);
        let differs = |at: &usize| fields[*at] != before[*at];
        varint::put(&mut out, (0..FIELDS).filter(differs).fold(0, |mask, at| mask | 1 << at));
        for at in (0..FIELDS).filter(differs) {
            varint::put(&mut out, fields[at]);
        }
        (ended, before) = (execution.ended, fields);
    }
    out
}

/// The executions that were packed. Bytes that are damaged end it.
pub fn unpack(mut bytes: &[u8]) -> impl Iterator<Item = Execution> {
    let (mut ended, mut fields) = (0_u64, [0; FIELDS]);
    std::iter::from_fn(move || {
        ended = ended.checked_add(varint::take(&mut bytes)?)?;
        let duration = varint::take(&mut bytes)?;
        let mask = varint::take(&mut bytes)?;
        for (at, field) in fields.iter_mut().enumerate() {
            if mask & 1 << at != 0 {
                *field = varint::take(&mut bytes)?;
            }
        }
        Execution::of(ended, duration, fields)
    })
    .fuse()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn execution() -> impl Strategy<Value = Execution> {
        let number = || prop_oneof![0..3_u64, any::<u64>()];
        (number(), number(), prop::array::uniform13(number())).prop_map(|(ended, duration, mut fields)| {
            fields[5] &= 3;
            fields[6] &= u64::from(u32::MAX);
            Execution::of(ended, duration, fields).unwrap()
        })
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked(mut executions in prop::collection::vec(execution(), 0..20)) {
            let packed = pack(&mut executions);
            prop_assert_eq!(unpack(&packed).collect::<Vec<_>>(), executions.clone());
            // A part of the bytes is the first of the executions, never another one.
            for end in 0..packed.len() {
                let part: Vec<_> = unpack(&packed[..end]).collect();
                prop_assert!(part.len() < executions.len() && executions.starts_with(&part));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(unpack(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn what_repeats_takes_no_room() {
        let one = Execution {
            ended: 1_700_000_000_000_000,
            duration: 300_000,
            series: 900,
            server: 7,
            ..Execution::default()
        };
        let next = Execution { ended: one.ended + 400, series: 901, ..one };
        let (first, both) = (pack(&mut [one]).len(), pack(&mut [one, next]).len());
        assert!(both - first <= 8, "{first}, then {both}");
    }
}
