//! `/api/overview`, `/api/timeseries`, `/api/heatmap`: a service, or one of its routes, over time.

use std::collections::BTreeMap;

use apm_core::aggregate::{Cell, Floors, LEVELS};
use serde::Serialize;
use utoipa::ToSchema;

use super::Scope;
use super::figures::{Part, ratio};
use crate::store::id::ms;
use crate::store::reader::Snapshot;
use crate::store::rollup::floors;
use crate::store::series::{Key, Kind};
use crate::store::{ReadError, Reader};

/// A window's figures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Overview {
    /// As asked; `null` for all.
    pub service: Option<String>,
    /// As asked.
    pub window_seconds: u32,
    /// Requests served.
    pub total_requests: u64,
    /// Those with status 500 and up or an exception.
    pub errors: u64,
    /// Errors per request, 0..1.
    pub error_rate: f64,
    /// Requests per second over the window.
    pub rps: f64,
    /// Average duration, ms.
    pub avg_duration_ms: f64,
    /// Longest, ms.
    pub max_duration_ms: f64,
    /// Median, ms, within 1 %.
    pub p50_ms: f64,
    /// 95th percentile, ms, within 1 %.
    pub p95_ms: f64,
    /// 99th percentile, ms, within 1 %.
    pub p99_ms: f64,
}

/// A bucket of a time series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Point {
    /// Start, Unix seconds.
    pub ts: f64,
    /// Requests per second.
    pub rps: f64,
    /// Errors per request, 0..1.
    pub error_rate: f64,
    /// Average duration, ms.
    pub avg_ms: f64,
    /// Requests.
    pub total: u64,
    /// Longest, ms.
    pub max_ms: f64,
    /// Median, ms.
    pub p50_ms: f64,
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
}

/// Requests by time and duration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Heatmap {
    /// As asked.
    pub service: Option<String>,
    /// As asked.
    pub window_seconds: u32,
    /// As asked.
    pub bucket_seconds: u32,
    /// Upper bounds of the rows, ms, ascending, but for the last row, which is open. Four rows per doubling.
    pub bounds_ms: Vec<f64>,
    /// Columns with traffic, ascending.
    pub columns: Vec<HeatmapColumn>,
}

/// A column of a heatmap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct HeatmapColumn {
    /// Start, Unix seconds.
    pub ts: f64,
    /// Requests per row: one more than `bounds_ms` has.
    pub counts: Vec<u64>,
}

/// Rows of a heatmap per doubling of the duration.
const ROWS_PER_OCTAVE: f64 = 4.0;

impl Reader {
    /// Figures of a window.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn overview(&self, scope: &Scope) -> Result<Overview, ReadError> {
        self.read(|snapshot| {
            let service = snapshot.service(scope.service.as_deref())?;
            let figures = snapshot.figures(Kind::Service, scope.seconds, |key| service.takes(key[0]))?;
            let mut cell = Cell::default();
            figures.values().for_each(|part| cell.merge(part));
            Ok(Overview {
                service: scope.service.clone(),
                window_seconds: scope.seconds,
                total_requests: cell.count,
                errors: cell.errors,
                error_rate: cell.error_rate(),
                rps: ratio(cell.count as f64, f64::from(scope.seconds)),
                avg_duration_ms: ms(cell.mean()),
                max_duration_ms: ms(cell.max as f64),
                p50_ms: percentile(&cell, 0.5),
                p95_ms: percentile(&cell, 0.95),
                p99_ms: percentile(&cell, 0.99),
            })
        })
    }

    /// Figures of a window by buckets of `bucket` seconds (at least one), those without traffic left out. With
    /// `route`, of that (method, route) only.
    ///
    /// The buckets are wider where the window begins before the cells that `bucket` is made of: how wide comes first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn timeseries(
        &self,
        scope: &Scope,
        bucket: u32,
        route: Option<(&str, &str)>,
    ) -> Result<(u32, Vec<Point>), ReadError> {
        self.read(|snapshot| {
            let (bucket, cells) = snapshot.by_time(scope, bucket, route)?;
            let points = cells
                .into_iter()
                .map(|(ts, cell)| Point {
                    ts: ts as f64,
                    rps: cell.count as f64 / f64::from(bucket),
                    error_rate: cell.error_rate(),
                    avg_ms: ms(cell.mean()),
                    total: cell.count,
                    max_ms: ms(cell.max as f64),
                    p50_ms: percentile(&cell, 0.5),
                    p95_ms: percentile(&cell, 0.95),
                    p99_ms: percentile(&cell, 0.99),
                })
                .collect();
            Ok((bucket, points))
        })
    }

    /// Requests of a window by time (buckets of `bucket` seconds, or wider, as for the time series) and duration. With `route`, of
    /// that (method, route) only.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn heatmap(
        &self,
        scope: &Scope,
        bucket: u32,
        route: Option<(&str, &str)>,
    ) -> Result<Heatmap, ReadError> {
        self.read(|snapshot| {
            let (bucket, cells) = snapshot.by_time(scope, bucket, route)?;
            // Rows count from 1 microsecond.
            let row = |nanos: u64| ((nanos as f64 / 1e3).max(1.0).log2() * ROWS_PER_OCTAVE) as usize;
            let used = || {
                cells
                    .values()
                    .flat_map(|cell| cell.histogram.iter())
                    .map(|(low, width, _)| row(low + width / 2))
            };
            let mut heatmap = Heatmap {
                service: scope.service.clone(),
                window_seconds: scope.seconds,
                bucket_seconds: bucket,
                ..Heatmap::default()
            };
            let (Some(first), Some(last)) = (used().min(), used().max()) else { return Ok(heatmap) };
            heatmap.bounds_ms =
                (first..last).map(|r| ((r + 1) as f64 / ROWS_PER_OCTAVE).exp2() / 1e3).collect();
            heatmap.columns = cells
                .iter()
                .map(|(ts, cell)| {
                    let mut counts = vec![0; last - first + 1];
                    for (low, width, count) in cell.histogram.iter() {
                        counts[row(low + width / 2) - first] += count;
                    }
                    HeatmapColumn { ts: *ts as f64, counts }
                })
                .collect();
            Ok(heatmap)
        })
    }
}

/// Buckets of one answer, of some KB each, of which all are in memory at once: five seconds in ten hours.
const POINTS_MAX: u32 = 7_200;

impl Snapshot<'_> {
    fn by_time(
        &self,
        scope: &Scope,
        bucket: u32,
        route: Option<(&str, &str)>,
    ) -> rusqlite::Result<(u32, BTreeMap<i64, Cell>)> {
        let bucket = bucket.max(1).max(scope.seconds.div_ceil(POINTS_MAX));
        let given = wide_enough(bucket, self.start(scope.seconds) / 1_000_000, &floors(self.conn)?);
        let bucket = i64::from(given);
        let coarsest = level(bucket);
        let service = self.service(scope.service.as_deref())?;
        let mut cells = BTreeMap::<i64, Cell>::new();
        let add = |ts: i64, _: Key, part: Part<'_>| {
            let cell = cells.entry(ts - ts.rem_euclid(bucket)).or_default();
            match part {
                Part::Cell(data) => {
                    let _ = cell.merge_encoded(data);
                }
                Part::Row(sample) => cell.record(sample),
            }
        };
        match route {
            None => self.visit(Kind::Service, scope.seconds, coarsest, |key| service.takes(key[0]), add)?,
            Some((method, route)) => {
                let (Some(method), Some(route)) = (self.id_of(method)?, self.id_of(route)?) else {
                    return Ok((given, cells));
                };
                let wanted = |key: &Key| service.takes(key[0]) && key[1] == method && key[2] == route;
                self.visit(Kind::Route, scope.seconds, coarsest, wanted, add)?;
            }
        }
        Ok((given, cells))
    }
}

/// The coarsest level whose cells buckets of that width are made of.
fn level(bucket: i64) -> usize {
    LEVELS.iter().rposition(|width| bucket % width == 0).unwrap_or(0)
}

/// A bucket of at least that width, made of the finest cells that reach back to `start` (Unix seconds); the first bucket, of which the
/// window holds a part, may lack some.
fn wide_enough(bucket: u32, start: i64, floors: &Floors) -> u32 {
    let finest = level(i64::from(bucket));
    let reaches = |level: &usize| floors.levels[*level] <= start.saturating_add(i64::from(bucket));
    // Where none reaches back so far, the one that reaches furthest.
    let furthest = || (finest..LEVELS.len()).min_by_key(|level| floors.levels[*level]);
    let level = (finest..LEVELS.len()).find(reaches).or_else(furthest).unwrap_or(finest);
    let width = u32::try_from(LEVELS[level]).unwrap_or(1);
    bucket.checked_next_multiple_of(width).unwrap_or(bucket)
}

/// A percentile in ms.
pub(crate) fn percentile(cell: &Cell, q: f64) -> f64 {
    ms(cell.quantile(q) as f64)
}
