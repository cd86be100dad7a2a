//! `/api/trace/{id}`: a request with everything it caused, across processes.

use std::collections::HashSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::request::{CallRow, RequestDetail};
use crate::store::id::{row_micros, seconds};
use crate::store::insert::target;
use crate::store::reader::Snapshot;
use crate::store::{ReadError, Reader};

/// Requests shown per trace.
const REQUESTS: usize = 200;

/// Levels shown per trace.
const DEPTH: usize = 20;

/// A request with those it caused.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Trace {
    /// The request; its own `calls` are below.
    #[serde(flatten)]
    pub request: RequestDetail,
    /// Its outgoing calls, each with the request it became on this host.
    #[serde(rename = "calls")]
    pub traced_calls: Vec<TraceCall>,
    /// Requests that name this one as their caller and that no call explains.
    #[schema(no_recursion)]
    pub children: Vec<Trace>,
    /// More requests belong to the trace than are shown.
    pub truncated: bool,
}

/// An outgoing call with what it became.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TraceCall {
    /// The call.
    #[serde(flatten)]
    pub call: CallRow,
    /// Id of the request that it became.
    pub callee_request_id: Option<String>,
    /// The request that it became.
    #[schema(no_recursion)]
    pub callee: Option<Box<Trace>>,
}

impl Reader {
    /// The newest request with this id, opened; what it caused in other processes is not. `None` when there is none
    /// within the retention.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn request(&self, id: &str) -> Result<Option<Trace>, ReadError> {
        self.read(|snapshot| {
            let rows = snapshot.referred(target::EVENT, id, "event", "request_id")?;
            let Some(row) = rows.into_iter().max() else { return Ok(None) };
            let request = snapshot.request_detail(row)?;
            Ok(Some(Trace::new(request, Vec::new(), false)))
        })
    }

    /// The whole tree that the request with this id belongs to, from its first known cause on; or that of the chain
    /// with this id. `None` when there is none within the retention.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trace(&self, id: &str) -> Result<Option<Trace>, ReadError> {
        self.read(|snapshot| {
            let own = snapshot.referred(target::EVENT, id, "event", "request_id")?.into_iter().max();
            let chain = || snapshot.referred(target::EVENT, id, "event", "correlation_id");
            let Some(mut root) = (match own {
                Some(row) => Some(row),
                None => snapshot.first_begun(&chain()?)?,
            }) else {
                return Ok(None);
            };
            let mut above = HashSet::from([root]);
            while let Some(parent) = snapshot.parent(root)?
                && above.len() < DEPTH
                && above.insert(parent)
            {
                root = parent;
            }
            let mut seen = HashSet::new();
            snapshot.trace(root, 0, &mut seen)
        })
    }
}

impl Snapshot<'_> {
    /// The request that began first.
    fn first_begun(&self, rows: &[i64]) -> rusqlite::Result<Option<i64>> {
        let mut first: Option<(f64, i64)> = None;
        let mut duration = self.conn.prepare_cached("SELECT duration FROM event WHERE id = ?1")?;
        for row in rows {
            let lasted: i64 = duration.query_row([row], |found| found.get(0))?;
            let start = seconds(row_micros(*row)) - lasted as f64 / 1e9;
            if first.is_none_or(|(earliest, _)| start < earliest) {
                first = Some((start, *row));
            }
        }
        Ok(first.map(|(_, row)| row))
    }

    /// The request that caused another: it has the id that the other names, and is of the same chain.
    fn parent(&self, row: i64) -> rusqlite::Result<Option<i64>> {
        let request = self.request_row(row)?;
        let Some(parent) = request.parent_id else { return Ok(None) };
        for candidate in self.referred(target::EVENT, &parent, "event", "request_id")? {
            if candidate != row && self.request_row(candidate)?.correlation_id == request.correlation_id {
                return Ok(Some(candidate));
            }
        }
        Ok(None)
    }

    fn trace(&self, row: i64, depth: usize, seen: &mut HashSet<i64>) -> rusqlite::Result<Option<Trace>> {
        if seen.len() >= REQUESTS || depth >= DEPTH || !seen.insert(row) {
            return Ok(None);
        }
        let request = self.request_detail(row)?;
        let mut rows = match &request.request.request_id {
            Some(id) => self.referred(target::EVENT, id, "event", "parent_id")?,
            None => Vec::new(),
        };
        rows.sort_unstable();
        let mut truncated = false;
        let mut children = Vec::new();
        for child in rows {
            if seen.len() >= REQUESTS {
                truncated = true;
                break;
            }
            if self.request_row(child)?.correlation_id != request.request.correlation_id
                || seen.contains(&child)
            {
                continue;
            }
            match self.trace(child, depth + 1, seen)? {
                Some(child) => children.push(child),
                None => truncated = true,
            }
        }
        Ok(Some(Trace::new(request, children, truncated)))
    }
}

impl Trace {
    /// Puts each caused request under the call that became it, where there is one.
    fn new(mut request: RequestDetail, mut children: Vec<Self>, truncated: bool) -> Self {
        let truncated = truncated || children.iter().any(|child| child.truncated);
        let traced_calls = std::mem::take(&mut request.calls)
            .into_iter()
            .map(|call| {
                let callee =
                    children.iter().position(|child| became(&call, child)).map(|i| children.remove(i));
                TraceCall {
                    call,
                    callee_request_id: callee.as_ref().and_then(|c| c.request.request.request_id.clone()),
                    callee: callee.map(Box::new),
                }
            })
            .collect();
        Self { request, traced_calls, children, truncated }
    }
}

/// Clocks of both ends are the same, but the ends are timed at different places: this much may lie between, seconds.
const SLACK: f64 = 0.005;

/// Did the call become the request? Same method and path, and the request lies within the call.
fn became(call: &CallRow, child: &Trace) -> bool {
    let request = &child.request;
    request.request.method == call.method
        && request.request.path == call.path
        && request.start >= call.start - SLACK
        && request.request.ts <= call.ts + SLACK
}
