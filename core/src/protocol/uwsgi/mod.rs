//! The uwsgi protocol (<https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html>), by which nginx and other web servers hand
//! requests on to uWSGI and gunicorn: variables in place of a request's head, then its body; the response is HTTP/1.
//!
//! [`vars`] makes a head of the variables, as it would have come without the web server, and [`session`] has HTTP/1's session
//! read that and the rest. Of the variables only what that keeps of a head is looked at.

mod detect;
mod session;
#[cfg(test)]
mod tests;
mod vars;

use super::Protocol;

/// The line of the registry.
pub(super) const PROTOCOL: Protocol =
    Protocol { name: "uwsgi", detect: detect::detect, session: session::Uwsgi::boxed };
