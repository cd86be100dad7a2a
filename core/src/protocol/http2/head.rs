//! What the allow-list keeps of header blocks.

use super::hpack::Field;
use crate::exchange::Correlation;

/// Bytes of a method that are kept.
const METHOD_CAP: usize = 32;
/// Bytes of a path that are kept.
const PATH_CAP: usize = 2048;
/// Bytes of an authority that are kept: a DNS name has at most 253, and a port follows.
const HOST_CAP: usize = 264;
/// Bytes of a `User-Agent` that are kept.
const USER_AGENT_CAP: usize = 256;
/// Bytes of a correlation header that are kept.
const CORRELATION_CAP: usize = 128;

/// What may be kept of a field's value, in the compression table too: a path without its query string, an authority
/// without user information, of a few others the beginning, and of all the rest nothing.
pub(super) fn keep<'v>(name: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let cap = match name {
        b":method" | b":status" | b":protocol" => METHOD_CAP,
        b":path" => {
            let end = value.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(value.len());
            return Some(&value[..end.min(PATH_CAP)]);
        }
        b":authority" | b"host" => {
            let start = value.iter().rposition(|&byte| byte == b'@').map_or(0, |at| at + 1);
            let host = &value[start..];
            return Some(&host[..host.len().min(HOST_CAP)]);
        }
        b"user-agent" => USER_AGENT_CAP,
        b"x-request-id" | b"x-correlation-id" | b"x-parent-request-id" | b"traceparent" => CORRELATION_CAP,
        b"grpc-status" => 16,
        _ => return None,
    };
    Some(&value[..value.len().min(cap)])
}

/// The fields of one block that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) host: Option<String>,
    pub(super) status: Option<u16>,
    pub(super) user_agent: Option<String>,
    pub(super) correlation: Correlation,
    pub(super) grpc_status: Option<u32>,
    /// A field with a known name is a pseudo-header.
    pub(super) has_pseudo: bool,
    /// A field has a name that is not known, or a value that is not known though it would be kept.
    pub(super) has_unknown: bool,
    /// The first field has a known name.
    pub(super) starts_known: bool,
    is_begun: bool,
}

impl Fields {
    /// Takes a field of the block, in order.
    pub(super) fn take(&mut self, field: Field<'_>) {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let Some(name) = field.name else {
            self.has_unknown = true;
            return;
        };
        self.starts_known |= is_first;
        self.has_pseudo |= name.first() == Some(&b':');
        let Some(value) = field.value else {
            self.has_unknown |= keep(name, b"").is_some();
            return;
        };
        let value = String::from_utf8_lossy(value);
        let place = match name {
            b":method" => &mut self.method,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b"host" => &mut self.host,
            b"user-agent" => &mut self.user_agent,
            b"x-request-id" => &mut self.correlation.request_id,
            b"x-correlation-id" => &mut self.correlation.correlation_id,
            b"x-parent-request-id" => &mut self.correlation.parent_id,
            b"traceparent" => &mut self.correlation.traceparent,
            b":status" => {
                self.status =
                    self.status.or(value.parse().ok().filter(|status| (100..1000).contains(status)));
                return;
            }
            b"grpc-status" => {
                self.grpc_status = self.grpc_status.or(value.trim().parse().ok());
                return;
            }
            _ => return,
        };
        if place.is_none() && !value.is_empty() {
            *place = Some(value.into_owned());
        }
    }
}
