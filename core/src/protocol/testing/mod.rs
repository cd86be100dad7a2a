//! Conversations for the tests of protocols: written as text, replayed whole, in pieces, cut short and with gaps.

mod damage;
mod replay;
mod script;

pub(super) use damage::{is_small, lose, outline, seen_len, split, truncate};
pub(super) use replay::{Replay, replay};
pub(super) use script::{Conversation, parse};

use crate::exchange::{Detail, Exchange};

/// An exchange as one line: the calls of its first byte, of its response's first byte and of its end, its sizes,
/// how it ended, what it was.
pub(super) fn line(exchange: &Exchange) -> String {
    let first = exchange.first_response.map_or(String::from("-"), |time| time.0.to_string());
    let Exchange { start, end, request_bytes, response_bytes, outcome, .. } = exchange;
    let what = match &exchange.detail {
        Detail::Http(http) => {
            let mut what = format!("{} {} {}", http.method, http.path, http.status);
            let optional = [
                ("host", &http.host),
                ("agent", &http.user_agent),
                ("id", &http.correlation.request_id),
                ("chain", &http.correlation.correlation_id),
                ("parent", &http.correlation.parent_id),
                ("trace", &http.correlation.traceparent),
                ("answer", &http.response_request_id),
            ];
            for (name, value) in optional {
                if let Some(value) = value {
                    what += &format!(" {name}={value}");
                }
            }
            if http.version == crate::exchange::HttpVersion::Http10 {
                what += " 1.0";
            }
            if http.upgraded {
                what += " upgraded";
            }
            what
        }
        other => format!("{other:?}"),
    };
    format!("{}..{first}..{} {request_bytes}/{response_bytes} {outcome:?} {what}", start.0, end.0)
}
