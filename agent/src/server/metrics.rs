//! `GET /metrics`: rate, errors and duration per service and route, what processes and the agent use, what was lost, in
//! the OpenMetrics text format, which Prometheus reads.

use std::sync::atomic::AtomicU64;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::AppState;
use super::answer::{Problem, Refusal};
use crate::store::State as StoreState;

type Real = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceLabel {
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Everything at this moment, for Prometheus.
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, content_type = "application/openmetrics-text", body = String), (status = "default", body = Problem),
))]
pub(crate) async fn metrics(State(app): State<AppState>) -> Result<Response, Refusal> {
    let services = app.services().await?;
    let mut registry = Registry::with_prefix("apm");
    app.writer.register(&mut registry);

    let cpu = Family::<ServiceLabel, Real>::default();
    let memory = Family::<ServiceLabel, Real>::default();
    let in_flight = Family::<ServiceLabel, Gauge>::default();
    for service in services {
        let label = ServiceLabel { service: service.service };
        in_flight.get_or_create(&label).set(service.in_flight);
        if let Some(percent) = service.cpu_pct {
            cpu.get_or_create(&label).set(percent / 100.0);
        }
        if let Some(mib) = service.mem_mb {
            memory.get_or_create(&label).set(mib * f64::from(1 << 20));
        }
    }
    registry.register("service_cpu_cores", "Mean CPU of the service's processes, in cores", cpu);
    registry.register_with_unit(
        "service_memory",
        "Resident memory of the service's processes",
        Unit::Bytes,
        memory,
    );
    registry.register("service_in_flight", "Requests open now", in_flight);

    let live = app.losses();
    let losses = Family::<KindLabel, Counter>::default();
    for (loss, count) in live.losses.iter() {
        losses.get_or_create(&KindLabel { kind: loss.name() }).inc_by(count);
    }
    registry.register("losses", "What the agent lost, by kind; see /api/status for what each means", losses);
    let agent_cpu = Real::default();
    agent_cpu.set(live.agent.cpu_pct.unwrap_or(0.0) / 100.0);
    registry.register("agent_cpu_cores", "CPU of the agent itself, in cores", agent_cpu);
    let agent_memory = Real::default();
    agent_memory.set(live.agent.mem_mb.unwrap_or(0.0) * f64::from(1 << 20));
    registry.register_with_unit(
        "agent_memory",
        "Resident memory of the agent itself",
        Unit::Bytes,
        agent_memory,
    );
    let watched: Gauge = Gauge::default();
    watched.set(live.processes.len() as i64);
    registry.register("watched_processes", "Processes the agent watches", watched);
    let health = app.writer.health();
    let store_size: Gauge = Gauge::default();
    store_size.set(i64::try_from(health.size_bytes).unwrap_or(i64::MAX));
    registry.register_with_unit("store_size", "Size of the store", Unit::Bytes, store_size);
    let store_ok: Gauge = Gauge::default();
    store_ok.set(i64::from(health.state == StoreState::Ok));
    registry.register("store_ok", "1 while rows are written to the file", store_ok);

    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Refusal::Store(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
