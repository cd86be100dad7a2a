//! The questions the store answers: one file per group of endpoints of the dashboard API.

mod code;
mod errors;
mod figures;
mod outgoing;
mod overview;
mod queries;
mod request;
mod requests;
mod routes;
mod services;
mod snapshot;
mod trace;

pub use code::CodePlace;
pub use errors::{AffectedRoute, ErrorGroup, RecentError};
pub use outgoing::{AskedFor, Chain, Edge, Host};
pub use overview::{Heatmap, HeatmapColumn, Overview, Point};
pub use queries::{NPlusOne, QueryFigures, SqlErrors};
pub use request::{CallRow, ExceptionRow, QueryRow, RequestDetail};
pub use requests::{RequestRow, Sort};
pub use routes::{Discovered, FolderRoute, FolderSnapshot, RouteFigures, ScanRoot};
pub use services::ServiceState;
pub use snapshot::{DbFigures, HostCalls, Outcome, RouteSnapshot, SlowStatement, WorstRequest};
pub use trace::{Trace, TraceCall};

/// What a question is about: one service or all, and how far back from now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The service; `None` for all.
    pub service: Option<String>,
    /// Length of the window, seconds.
    pub seconds: u32,
}
