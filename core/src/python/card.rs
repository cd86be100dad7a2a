//! Card numbers in texts: what may be one, and where.

use std::ops::Range;

/// Digits of a card's number (ISO/IEC 7812-1).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// How numbers are printed on cards: in fours, and as American Express and Diners Club have it.
const GROUPINGS: &[&[usize]] = &[&[4, 4, 4, 4], &[4, 4, 4, 4, 3], &[4, 6, 5], &[4, 6, 4]];

/// Is it a card's number? Blanks and dashes between the digits do not count.
pub(super) fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    DIGITS.contains(&digits.len()) && is_issued(&digits) && has_check_digit(&digits)
}

/// Begins as numbers of payment cards do. Most ids, times and phone numbers with their country do not.
fn is_issued(digits: &[u32]) -> bool {
    let start = digits.iter().take(4).fold(0, |number, digit| number * 10 + digit);
    matches!(start, 2200..=2204 | 2221..=2720 | 3000..=6999)
}

/// ISO/IEC 7812-1, annex B (Luhn).
fn has_check_digit(digits: &[u32]) -> bool {
    let doubled = |(i, digit): (usize, &u32)| match i % 2 {
        0 => *digit,
        _ if *digit > 4 => digit * 2 - 9,
        _ => digit * 2,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

/// Places of card numbers in a text: groups of digits with blanks or dashes between them. A number may have others beside it
/// (`4111 1111 1111 1111 12/27`), so each group is tried, and each sequence that is grouped as cards are; any other
/// grouping only where nothing else is beside it.
pub(super) fn cards(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut groups: Vec<Range<usize>> = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                groups.push(at..at + length);
                at += length;
                continue;
            }
            b' ' | b'-' => {}
            _ => of_run(text, &mut groups, &mut found),
        }
        at += 1;
    }
    of_run(text, &mut groups, &mut found);
    found
}

/// The card numbers in a run of groups, which it empties.
fn of_run(text: &str, groups: &mut Vec<Range<usize>>, found: &mut Vec<Range<usize>>) {
    if let (Some(first), Some(last)) = (groups.first(), groups.last())
        && groups.iter().map(Range::len).sum::<usize>() <= *DIGITS.end()
        && is_card(&text[first.start..last.end])
    {
        found.push(first.start..last.end);
        groups.clear();
    }
    for (n, first) in groups.iter().enumerate() {
        for grouping in [&[first.len()][..]].iter().chain(GROUPINGS) {
            let Some(tried) = groups.get(n..n + grouping.len()) else { continue };
            let is_so = tried.iter().map(Range::len).eq(grouping.iter().copied());
            let place = first.start..tried.last().map_or(first.end, |last| last.end);
            if is_so && first.len() <= *DIGITS.end() && is_card(&text[place.clone()]) {
                found.push(place);
            }
        }
    }
    groups.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        cards(text).into_iter().map(|place| &text[place]).collect()
    }

    #[test]
    fn numbers_of_cards_are_found_whatever_stands_beside_them() {
        for (text, number) in [
            ("4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
            ("4111111111111111 123", "4111111111111111"),
            ("17 4111111111111111", "4111111111111111"),
            ("order 17-4111-1111-1111-1111-12 of 2026", "4111-1111-1111-1111"),
            ("2026 4111 1111 1111 1111 2027", "4111 1111 1111 1111"),
            ("3782 822463 10005 1234", "3782 822463 10005"),
            ("7 3056 930902 5904 12", "3056 930902 5904"),
            ("2223000048400011 and more", "2223000048400011"),
            ("2201 3820 0000 0013 12/27", "2201 3820 0000 0013"),
            ("6212 3456 7890 0000 003 12", "6212 3456 7890 0000 003"),
            ("5500-0000-0000-0004", "5500-0000-0000-0004"),
            ("411111 1111111111", "411111 1111111111"),
            ("é4222222222222é", "4222222222222"),
        ] {
            assert_eq!(found(text), [number], "{text}");
        }
    }

    #[test]
    fn what_is_grouped_or_begins_otherwise_is_none() {
        for text in [
            "4111 1111 1111 1112 12/27",       // another check digit
            "17 411111 1111111111 12",         // not as on a card, and not alone
            "1700000000004",                   // milliseconds since 1970
            "1234567812345670",                // no issuer's
            "id 41111111111111111111",         // too long
            "2026-11-29 15:19:18.000000 17 4", // a time
            "+49 30 1234567",
            "3 14 15 92 65 35 89 79 32 38 46 26",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }
}
