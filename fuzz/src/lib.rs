//! What every fuzz target does with its input.

use apm_core::exchange::{Direction, Origin, Role};
use apm_core::protocol::{At, CloseReason, Next, Opening, Output, REGISTRY};
use apm_core::sql::{Dialect, MAX_TEXT, normalise, split_statements};
use apm_core::time::Time;

/// More open requests than any session may hold.
const IN_FLIGHT_CAP: usize = 4096;

/// Feeds `input` to the session of the protocol called `name` and checks what holds whatever comes.
///
/// The first byte chooses the role (bit 0), whether the agent joined late (bit 1) and how the connection ends (the
/// rest). Then come calls: a byte with the direction (bit 0), whether the bytes were captured (bits 1 and 2 both set: they
/// were not) and whether the clock stands still (bit 3); two bytes of length, low first; the bytes, if captured.
///
/// # Panics
/// On anything that a session must never do; and if no protocol has that name.
pub fn session(name: &str, input: &[u8]) {
    let protocol =
        REGISTRY.iter().find(|protocol| protocol.name == name).expect("a protocol of the registry");
    let Some((&mode, mut rest)) = input.split_first() else { return };
    let role = if mode & 1 == 0 { Role::Server } else { Role::Client };
    let from_start = mode & 2 == 0;
    let mut session = (protocol.session)(role, from_start);
    let mut out = Output::default();
    let mut now = 0;
    let mut seen = false;
    while let [kind, low, high, after @ ..] = rest {
        let direction = if kind & 1 == 0 { Direction::Read } else { Direction::Write };
        now += u64::from(kind & 8 == 0);
        let at = At { direction, time: Time(now), origin: Origin::default() };
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        if kind & 6 == 6 {
            session.gap(&at, len as u64, &mut out);
            rest = after;
        } else {
            let (bytes, after) = after.split_at(len.min(after.len()));
            if !seen {
                seen = true;
                let _ =
                    (protocol.detect)(&Opening { direction, from_start, role: None, peer_port: None, bytes });
            }
            match session.data(&at, bytes, &mut out) {
                Next::Continue => {}
                Next::Ignore => break,
                Next::Redetect { consumed } => {
                    assert!(consumed <= bytes.len(), "took {consumed} of {} bytes", bytes.len());
                    break;
                }
            }
            rest = after;
        }
        assert!(session.in_flight() <= IN_FLIGHT_CAP, "{} requests open", session.in_flight());
    }
    let reasons = [CloseReason::Local, CloseReason::Peer, CloseReason::Reset, CloseReason::TimedOut];
    session.close(Time(now + 1), reasons[usize::from(mode >> 2) % reasons.len()], &mut out);
    assert_eq!(session.in_flight(), 0, "requests open after the end");
    for exchange in &out.exchanges {
        assert!(exchange.start <= exchange.end, "ends before it starts: {exchange:?}");
        assert!(exchange.first_response.is_none_or(|first| (exchange.start..=exchange.end).contains(&first)));
    }
}

/// Normalises `input` as SQL and checks what holds whatever comes: the text is bounded, a second pass changes nothing, and
/// a statement planted with a literal keeps nothing of it.
///
/// # Panics
/// On anything that the normaliser must never do.
pub fn sql(input: &[u8]) {
    for dialect in [Dialect::Postgres, Dialect::Mysql] {
        let once = normalise(input, dialect);
        assert!(once.text.len() <= MAX_TEXT);
        let twice = normalise(once.text.as_bytes(), dialect);
        assert_eq!(once.text, twice.text, "not stable");
        assert_eq!(once.fingerprint, twice.fingerprint);
        for statement in split_statements(input, dialect) {
            assert!(split_statements(statement, dialect).count() <= 1, "{}", statement.escape_ascii());
        }
        // Quotes of the dialect doubled, backslashes gone: the input is the content of one literal.
        let content: Vec<u8> = input
            .iter()
            .filter(|&&byte| byte != b'\\')
            .flat_map(|&byte| {
                let count = if byte == b'\'' { 2 } else { 1 };
                std::iter::repeat_n(byte, count)
            })
            .collect();
        let planted = [&b"SELECT a FROM t WHERE b = '"[..], &content, b"' AND c = 1"].concat();
        assert_eq!(normalise(&planted, dialect).text, "SELECT a FROM t WHERE b = ? AND c = ?");
        let cut = &planted[..planted.len() - 11];
        let text = normalise(cut, dialect).text;
        assert_eq!(text, "SELECT a FROM t WHERE b = ?", "cut before its closing quote");
    }
}
