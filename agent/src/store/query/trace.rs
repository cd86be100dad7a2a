//! `/api/trace/{id}`: a chain of requests across processes.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::request::RequestDetail;
use crate::store::insert::target;
use crate::store::{ReadError, Reader};

/// Requests shown per trace.
const REQUESTS: usize = 200;

/// All requests of a chain, as a forest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The chain's id.
    pub correlation_id: String,
    /// Requests in it.
    pub requests: usize,
    /// More requests belong to it than are shown.
    pub truncated: bool,
    /// When the first began, Unix seconds.
    pub start: f64,
    /// From the start of the first to the end of the last, ms.
    pub duration_ms: f64,
    /// Requests without a known caller, in the order they began.
    pub roots: Vec<TraceNode>,
}

/// A request with those it caused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceNode {
    /// The request.
    pub request: RequestDetail,
    /// Those it caused, in the order they began.
    pub children: Vec<TraceNode>,
}

impl Reader {
    /// The chain with this id, or that of the request with this id; `None` when there is none within the retention.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn trace(&self, id: &str) -> Result<Option<Trace>, ReadError> {
        self.read(|snapshot| {
            let mut chain = id.to_owned();
            let mut rows = snapshot.referred(target::EVENT, id, "event", "correlation_id")?;
            if rows.is_empty() {
                let Some(row) =
                    snapshot.referred(target::EVENT, id, "event", "request_id")?.into_iter().max()
                else {
                    return Ok(None);
                };
                match snapshot.request_row(row)?.correlation_id {
                    Some(correlation) => {
                        rows = snapshot.referred(target::EVENT, &correlation, "event", "correlation_id")?;
                        chain = correlation;
                    }
                    None => rows = vec![row],
                }
            }
            rows.sort_unstable();
            rows.dedup();
            let truncated = rows.len() > REQUESTS;
            rows.truncate(REQUESTS);
            let mut requests = rows
                .into_iter()
                .map(|row| snapshot.request_detail(row))
                .collect::<rusqlite::Result<Vec<_>>>()?;
            requests.sort_by(|a, b| a.start.total_cmp(&b.start));
            let start = requests.first().map_or(0.0, |r| r.start);
            let end = requests.iter().map(|r| r.request.ts).fold(start, f64::max);
            Ok(Some(Trace {
                correlation_id: chain,
                requests: requests.len(),
                truncated,
                start,
                duration_ms: (end - start) * 1e3,
                roots: forest(requests),
            }))
        })
    }
}

/// Puts each request below its caller. A request whose caller is itself, unknown or part of a circle is a root.
fn forest(requests: Vec<RequestDetail>) -> Vec<TraceNode> {
    let mut by_id = HashMap::<&str, usize>::new();
    for (i, request) in requests.iter().enumerate() {
        if let Some(id) = &request.request.request_id {
            by_id.entry(id).or_insert(i);
        }
    }
    let mut children = vec![Vec::new(); requests.len()];
    let mut roots = Vec::new();
    let parents: Vec<Option<usize>> = requests
        .iter()
        .enumerate()
        .map(|(i, r)| {
            r.request.parent_id.as_deref().and_then(|id| by_id.get(id).copied()).filter(|p| *p != i)
        })
        .collect();
    for i in 0..requests.len() {
        let mut seen = HashSet::from([i]);
        let mut up = parents[i];
        while let Some(parent) = up {
            if !seen.insert(parent) {
                break;
            }
            up = parents[parent];
        }
        match parents[i] {
            Some(parent) if up.is_none() => children[parent].push(i),
            _ => roots.push(i),
        }
    }
    let mut nodes: Vec<Option<RequestDetail>> = requests.into_iter().map(Some).collect();
    roots.into_iter().filter_map(|root| node(root, &children, &mut nodes)).collect()
}

fn node(i: usize, children: &[Vec<usize>], nodes: &mut [Option<RequestDetail>]) -> Option<TraceNode> {
    let request = nodes[i].take()?;
    let children = children[i].iter().filter_map(|child| node(*child, children, nodes)).collect();
    Some(TraceNode { request, children })
}
