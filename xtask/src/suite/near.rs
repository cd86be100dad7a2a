//! Names that somebody may have meant.

use std::cmp::Reverse;
use std::collections::HashSet;

/// How many are told.
const MOST: usize = 8;

/// Those of `names` that have at least half of the pairs of neighbouring letters of `part`, the nearest first.
pub(super) fn near<'a>(part: &str, names: &'a [String]) -> Vec<&'a str> {
    let wanted = pairs(part);
    let shared = |name: &str| pairs(name).intersection(&wanted).count();
    let mut near: Vec<(usize, &str)> = names.iter().map(|name| (shared(name), name.as_str())).collect();
    near.retain(|(count, _)| *count > 0 && 2 * count >= wanted.len());
    near.sort_by_key(|&(count, name)| (Reverse(count), name.len(), name));
    near.into_iter().map(|(_, name)| name).take(MOST).collect()
}

fn pairs(text: &str) -> HashSet<[char; 2]> {
    let letters: Vec<char> = text.to_lowercase().chars().collect();
    letters.windows(2).map(|pair| [pair[0], pair[1]]).collect()
}

#[cfg(test)]
mod tests {
    use super::near;

    #[test]
    fn a_name_that_was_mistyped_is_near() {
        let names = ["page/shop", "ends/client-leaves", "one-to-one/uvicorn-uvloop-h11", "sockets/unix"];
        let names = names.map(str::to_owned);
        assert_eq!(near("page/shpo", &names), ["page/shop"]);
        assert_eq!(near("one-to-one/unicorn", &names), ["one-to-one/uvicorn-uvloop-h11"]);
        assert_eq!(near("qqq", &names), [""; 0]);
        assert_eq!(near("", &names), [""; 0]);
    }
}
