//! `/api/services`

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::id::{micros, seconds};
use crate::store::{ReadError, Reader};

/// Seconds after its last sample that a process counts as gone: its CPU, memory and open requests no longer count.
const GONE: f64 = 15.0;

/// A service's processes, summed up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ServiceState {
    /// Its name.
    pub service: String,
    /// When any of its processes was last seen, Unix seconds.
    pub last_seen: f64,
    /// Mean CPU of its live processes, percent of one core.
    pub cpu_pct: Option<f64>,
    /// Memory of its live processes together, MiB.
    pub mem_mb: Option<f64>,
    /// Requests open in its live processes.
    pub in_flight: i64,
    /// Live processes.
    pub processes: i64,
    /// At least one process lives.
    pub alive: bool,
}

impl Reader {
    /// All services, by name.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn services(&self) -> Result<Vec<ServiceState>, ReadError> {
        self.read(|snapshot| {
            let alive = micros(snapshot.now - GONE);
            let mut statement = snapshot.conn.prepare_cached(
                "SELECT n.text, p.seen, p.cpu_pct, p.mem_mb, p.in_flight FROM process p JOIN name n ON n.id = p.service",
            )?;
            let mut rows = statement.query([])?;
            let mut services = BTreeMap::<String, (ServiceState, i64)>::new();
            while let Some(row) = rows.next()? {
                let (state, cpus) = services.entry(row.get(0)?).or_default();
                let seen: i64 = row.get(1)?;
                state.last_seen = state.last_seen.max(seconds(seen));
                if seen < alive {
                    continue;
                }
                state.processes += 1;
                state.alive = true;
                if let Some(cpu) = row.get::<_, Option<f64>>(2)? {
                    *state.cpu_pct.get_or_insert(0.0) += cpu;
                    *cpus += 1;
                }
                if let Some(memory) = row.get::<_, Option<f64>>(3)? {
                    *state.mem_mb.get_or_insert(0.0) += memory;
                }
                state.in_flight += row.get::<_, i64>(4)?;
            }
            Ok(services
                .into_iter()
                .map(|(service, (state, cpus))| ServiceState {
                    service,
                    cpu_pct: state.cpu_pct.map(|sum| sum / cpus as f64),
                    ..state
                })
                .collect())
        })
    }
}
