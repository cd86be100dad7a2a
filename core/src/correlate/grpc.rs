//! Calls of gRPC that failed: their HTTP status is 200 nevertheless.

use crate::exchange::Role;

/// Names of the codes, from 0 on (gRPC, "Status codes and their use in gRPC").
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What the user is told of a `grpc-status`; `None` of what is no failure. For a client it is one whenever it is not OK, for a
/// server where the fault is its own (OpenTelemetry, "Semantic conventions for gRPC").
pub(super) fn error(status: u32, role: Role) -> Option<String> {
    let name = NAMES.get(status as usize).copied();
    let is_failure = match (role, name) {
        (_, Some("OK")) => false,
        (Role::Server, Some(name)) => matches!(
            name,
            "UNKNOWN" | "DEADLINE_EXCEEDED" | "UNIMPLEMENTED" | "INTERNAL" | "UNAVAILABLE" | "DATA_LOSS"
        ),
        // A code that is not known is to be taken for UNKNOWN.
        (Role::Client, _) | (_, None) => true,
    };
    is_failure.then(|| format!("gRPC status {}", name.map_or_else(|| status.to_string(), str::to_owned)))
}
