//! The order in which frameworks try their routes.

use std::cmp::Reverse;

use crate::pattern::{Converter, Token};
use crate::{DiscoveredRoute, Framework};

/// Sorts positions of one application's routes. Where an application mounts one of another framework the outer one
/// decides.
pub(super) fn sort(routes: &[DiscoveredRoute], indices: &mut [usize]) {
    let Some(&first) = indices.first() else { return };
    match routes[first].framework {
        // As registered.
        Framework::FastApi | Framework::Starlette | Framework::Django | Framework::Tornado => {}
        // Plain text before parameters, segment by segment (Werkzeug's state machine, and the tries of the others).
        Framework::Flask | Framework::Sanic | Framework::Litestar => {
            indices.sort_by_cached_key(|&index| weights(&routes[index].pattern.tokens));
        }
        // The same, and what takes all that begins like it comes after that, the last registered first: sinks, then static
        // files (unless `sink_before_static_route=False`).
        Framework::Falcon => {
            indices.sort_by_cached_key(|&index| {
                let tokens = &routes[index].pattern.tokens;
                let sink = tokens.iter().any(|token| matches!(token, Token::Regex(_)));
                let last = (routes[index].function == "static", Reverse(index));
                (sink.then_some(last), weights(tokens))
            });
        }
        // Those of one method before those of any, plain text before parameters, then as registered.
        Framework::Bottle => {
            indices.sort_by_key(|&index| {
                let route = &routes[index];
                (route.method == "*", !matches!(route.pattern.tokens[..], [Token::Literal(_)]))
            });
        }
        // By the longest plain prefix (UrlDispatcher's index), then as registered.
        Framework::Aiohttp => {
            indices.sort_by_cached_key(|&index| Reverse(plain_prefix(&routes[index].pattern.tokens)));
        }
    }
}

/// Weight of one segment, lighter first: plain text; else more and longer plain pieces, more and lighter converters.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Default, Clone)]
struct Weight {
    is_dynamic: bool,
    pieces: Reverse<usize>,
    piece_lengths: Vec<(usize, Reverse<usize>)>,
    parameters: Reverse<usize>,
    converters: Vec<u32>,
}

/// Werkzeug's weights of a rule, segment by segment. A path converter takes the rest of the rule into its segment.
fn weights(tokens: &[Token]) -> Vec<Weight> {
    let mut segments = vec![Weight::default()];
    let mut takes_rest = false;
    let mut pieces = 0;
    for token in tokens {
        match token {
            Token::Literal(text) => {
                for (at, part) in text.split('/').enumerate() {
                    if at > 0 && !takes_rest {
                        segments.push(Weight::default());
                        pieces = 0;
                    }
                    if let Some(segment) = segments.last_mut()
                        && !part.is_empty()
                    {
                        segment.piece_lengths.push((pieces, Reverse(part.len())));
                        segment.pieces.0 += 1;
                        pieces += 1;
                    }
                }
            }
            Token::Param(converter) => {
                if let Some(segment) = segments.last_mut() {
                    segment.is_dynamic = true;
                    segment.parameters.0 += 1;
                    segment.converters.push(converter_weight(converter));
                    pieces += 1;
                }
                takes_rest |= matches!(converter, Converter::Path { .. });
            }
            Token::Regex(_) => takes_rest = true,
        }
    }
    for segment in &mut segments {
        if !segment.is_dynamic {
            // Two plain segments never match the same text: no order between them.
            *segment = Weight::default();
        }
    }
    segments
}

fn converter_weight(converter: &Converter) -> u32 {
    match converter {
        Converter::Int { .. } | Converter::Float { .. } => 50,
        Converter::Path { .. } => 200,
        _ => 100,
    }
}

/// Length of the plain prefix that aiohttp files a resource under: the whole path, or the folder before the first
/// parameter.
fn plain_prefix(tokens: &[Token]) -> usize {
    match tokens {
        [Token::Literal(text)] => text.len(),
        [Token::Literal(text), ..] => text.rfind('/').unwrap_or(0),
        _ => 0,
    }
}
