/** The endpoints beyond the first contract. */

import type { Answers } from "./answers";
import { percentiles } from "./answers";

export function extras(answers: Answers, url: URL): unknown {
  const text = (name: string) => url.searchParams.get(name) ?? "";
  const w = Number(text("w") || 300);
  if (url.pathname === "/api/queries") return queries(answers, text("service"), w);
  if (url.pathname === "/api/status") return STATUS;
  return undefined;
}

function queries(answers: Answers, service: string, w: number) {
  const rows = answers.shop.queries.filter((row) => row.ts >= answers.now - w && (!service || row.service === service));
  const names = [...new Set(rows.map((row) => String(row.fingerprint)))];
  return { queries: names.map((name) => {
    const same = rows.filter((row) => row.fingerprint === name);
    const took = same.map((row) => row.duration_ms);
    const total = took.reduce((a, b) => a + b, 0);
    return { fingerprint: name, system: "postgresql", sql: same[0]?.sql, operation: same[0]?.operation, table: same[0]?.table, count: same.length, errors: same.filter((row) => row.error_code).length,
      avg_ms: total / same.length, max_ms: Math.max(...took), total_ms: total, avg_rows: 3, ...percentiles(took) };
  }) };
}

const probes = (tls: boolean) => [
  { name: "sockets", attached: true }, { name: "python 3.12 context", attached: true },
  tls ? { name: "openssl", attached: true } : { name: "openssl", attached: false, reason: "statically linked, no symbols" }, { name: "exceptions", attached: true },
];

const STATUS = {
  version: "0.1.0", uptime_s: 913,
  processes: [
    { pid: 4301, service: "shop-api", python: "3.12.4", command: "uvicorn shop.main:app --workers 2", probes: probes(true) },
    { pid: 4302, service: "shop-api", python: "3.12.4", command: "uvicorn shop.main:app --workers 2", probes: probes(true) },
    { pid: 4410, service: "pricing", python: "3.10.14", command: "gunicorn -k uvicorn.workers.UvicornWorker app:app", probes: probes(false) },
  ],
  losses: [
    { name: "ring_full", count: 0, meaning: "Events that the kernel could not put into the ring buffer because it was full." },
    { name: "gap_bytes", count: 4096, meaning: "Bytes of a connection that never arrived, as a gap between two stream positions." },
    { name: "store_queue_full", count: 0, meaning: "Rows dropped because the store's queue was full." },
  ],
  links: [{ kind: "context", count: 41_230 }, { kind: "thread", count: 312 }, { kind: "socket pair", count: 1_204 }],
  ring: { size_bytes: 8_388_608, max_used_bytes: 412_000 },
  agent: { cpu_pct: 1.4, mem_mb: 41.2, pid: 4200, db_bytes: 18_350_080 },
};
