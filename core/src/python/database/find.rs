//! Where signs and lines are in a text, each looked for once.

use super::words::PARTS;

/// Where signs are in a text: each is looked for from where it was last, as a text may hold what they end by the thousand.
pub(super) struct Signs {
    known: Vec<Option<(&'static str, usize)>>,
}

impl Signs {
    pub(super) fn of(signs: &[&'static str]) -> Self {
        Self { known: signs.iter().map(|sign| Some((*sign, 0))).collect() }
    }

    /// The first of them from `start` on, which never goes back.
    pub(super) fn next(&mut self, text: &str, start: usize) -> Option<usize> {
        for next in &mut self.known {
            *next = next.and_then(|(sign, at)| match at >= start {
                true => Some((sign, at)),
                false => text[start..].find(sign).map(|at| (sign, start + at)),
            });
        }
        self.known.iter().flatten().map(|(_, at)| *at).min()
    }
}

/// The first of ascending `places` from `start` on.
pub(super) fn after(places: &[usize], start: usize) -> Option<usize> {
    places.get(places.partition_point(|place| *place < start)).copied()
}

/// The last of ascending `places` up to `end`.
pub(super) fn before(places: &[usize], end: usize) -> Option<usize> {
    places[..places.partition_point(|place| *place <= end)].last().copied()
}

/// Lines of a message that tell something, in their order.
#[derive(Default)]
pub(super) struct Lines {
    /// Ends of parts: where the next one's line, a blank line or nothing follows.
    pub(super) ends: Vec<usize>,
    /// Blank lines.
    pub(super) blank: Vec<usize>,
    /// Behind marks (`^`) with nothing before them on their line.
    pub(super) marks: Vec<usize>,
}

impl Lines {
    pub(super) fn of(searched: &str) -> Self {
        let mut lines = Self::default();
        for (end, _) in searched.match_indices('\n') {
            // The lines of an exception group begin with `|`.
            let line = searched[end + 1..].trim_start_matches([' ', '|', '\r']);
            if line.starts_with('\n') {
                lines.blank.push(end);
            } else if line.starts_with('^') {
                lines.marks.push(searched.len() - line.len() + 1);
            }
            if line.is_empty() || line.starts_with('\n') || PARTS.iter().any(|part| line.starts_with(part)) {
                lines.ends.push(end);
            }
        }
        lines.ends.push(searched.len());
        lines
    }

    /// Places of `sign` at ends of parts. A full stop may follow it, or what closes the call or the tuple that a `repr` shows.
    pub(super) fn closed(&self, searched: &str, sign: &str) -> Vec<usize> {
        let place = |end: &usize| {
            let mut part = &searched[..*end];
            while !part.ends_with(sign) {
                part = part.strip_suffix(['.', ',', ')', ']', '}', '\'', '"', '\r'])?;
            }
            Some(part.len() - sign.len())
        };
        self.ends.iter().filter_map(place).collect()
    }
}
