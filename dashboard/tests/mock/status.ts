/** What the agent says of itself. */

const probes = (tls: boolean) => [
  { name: "sockets", attached: true },
  { name: "python context", attached: true },
  tls
    ? { name: "openssl", attached: true }
    : { name: "openssl", attached: false, reason: "statically linked, no symbols" },
  { name: "exceptions", attached: true },
];

export const STATUS = {
  version: "0.1.0",
  uptime_s: 913,
  processes: [
    {
      pid: 4301,
      state: "watched",
      service: "shop-api",
      python: "3.12.4",
      command: "uvicorn shop.main:app --workers 2",
      probes: probes(true),
    },
    {
      pid: 4302,
      state: "watched",
      service: "shop-api",
      python: "3.12.4",
      command: "uvicorn shop.main:app --workers 2",
      probes: probes(true),
    },
    {
      pid: 4410,
      state: "watched",
      service: "pricing",
      python: "3.10.14",
      command: "gunicorn -k uvicorn.workers.UvicornWorker app:app",
      probes: probes(false),
    },
  ],
  losses: [
    {
      name: "ring_full",
      count: 0,
      meaning: "Events that the kernel could not put into the ring buffer because it was full.",
    },
    {
      name: "gap_bytes",
      count: 4096,
      meaning: "Bytes of a connection that never arrived, as a gap between two stream positions.",
    },
    { name: "store_queue_full", count: 0, meaning: "Rows dropped because the store's queue was full." },
  ],
  links: [
    { kind: "context", count: 41_230 },
    { kind: "thread", count: 312 },
    { kind: "socket pair", count: 1_204 },
  ],
  ring: { size_bytes: 8_388_608, max_used_bytes: 412_000 },
  agent: { cpu_pct: 1.4, mem_mb: 41.2, pid: 4200, db_bytes: 18_350_080 },
};
