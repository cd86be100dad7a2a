//! Conversations for the tests of protocols: written as text, replayed whole, in pieces, cut short and with gaps.

mod captures;
mod damage;
mod patterns;
mod replay;
mod script;

pub(super) use captures::{capture, read_capture};
pub(super) use damage::{check_gaps, check_lost_ends, damaged, lose, outline, seen_len, split, truncate};
pub(super) use patterns::{Call, Trial, followed};
pub(super) use replay::{Replay, replay};
pub(super) use script::{Bytes, Conversation, Step, parse, unescape};

use crate::exchange::{Detail, Exchange, Role};
use crate::protocol::Protocol;

/// The conversations of which, in either role, something else came than is written beside them; with what came.
pub(super) fn all_wrong(protocol: &Protocol, conversations: &[Conversation]) -> String {
    let mut wrong = String::new();
    for conversation in conversations {
        for role in [Role::Server, Role::Client] {
            let got = replay(protocol, role, conversation, &conversation.steps);
            wrong += &unlike(conversation, role, &got);
        }
    }
    wrong
}

/// What came of a conversation, if it is something else than is written beside it.
pub(super) fn unlike(conversation: &Conversation, role: Role, got: &Replay) -> String {
    if got.lines() == conversation.expected
        && got.losses() == conversation.losses
        && got.next == conversation.next
    {
        return String::new();
    }
    let mut wrong = format!("## {} as {role:?}\n", conversation.name);
    got.lines().iter().for_each(|line| wrong += &format!("= {line}\n"));
    wrong + &format!("! {}\n> {}\n", got.losses(), got.next)
}

/// Everything that must not depend on how the bytes were cut.
pub(super) fn all_of(got: &Replay) -> (Vec<String>, String, String, usize) {
    (got.lines(), got.losses(), got.next.clone(), got.in_flight)
}

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
        Detail::Command(command) => match &command.error {
            Some(error) => format!("{} error={error}", command.name),
            None => command.name.clone(),
        },
        Detail::Sql(sql) => {
            let statement = &sql.statement;
            let mut what = statement.operation.clone();
            let optional = [
                ("table", statement.table.as_deref()),
                ("error", sql.error_code.as_deref()),
                ("database", sql.database.as_deref()),
                ("user", sql.user.as_deref()),
            ];
            for (name, value) in optional {
                if let Some(value) = value {
                    what += &format!(" {name}={value}");
                }
            }
            if let Some(rows) = sql.rows {
                what += &format!(" rows={rows}");
            }
            if statement.is_transaction_control {
                what += " control";
            }
            if sql.is_cursor_round {
                what += " round";
            }
            format!("{what} {:?}: {}", sql.transaction, statement.text)
        }
    };
    format!("{}..{first}..{} {request_bytes}/{response_bytes} {outcome:?} {what}", start.0, end.0)
}
