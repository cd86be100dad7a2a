/** The seven figures at the top, with percentiles beneath the latency. */

import type { ComponentChildren, JSX } from "preact";
import type { Overview, Percentiles, Service } from "../../api/types";
import { count, inUnit, msParts, NONE, num, pct, plural } from "../../format";

interface Load {
  inFlight: number | null;
  cpu: number | null;
  mem: number | null;
  of: number;
}

/** In-flight and memory are summed over services; CPU is their mean, as each service's is the mean of its processes. */
export function load(services: readonly Service[], chosen: string): Load {
  const own = services.filter((s) => !chosen || s.service === chosen);
  const known = (pick: (s: Service) => number | null) => own.map(pick).filter((value) => value !== null);
  const sum = (values: readonly number[]) => (values.length > 0 ? values.reduce((a, b) => a + b, 0) : null);
  const cpu = known((s) => s.cpu_pct);
  const total = sum(cpu);
  return {
    inFlight: sum(known((s) => s.in_flight)),
    cpu: total === null ? null : total / cpu.length,
    mem: sum(known((s) => s.mem_mb)),
    of: own.length,
  };
}

export function Tiles({
  overview,
  services,
  service,
}: {
  overview: Overview | null;
  services: readonly Service[] | null;
  service: string;
}): JSX.Element {
  const now = services ? load(services, service) : null;
  const [avg, avgUnit] = msParts(overview?.total_requests ? overview.avg_duration_ms : null);
  const [max, maxUnit] = msParts(overview?.total_requests ? overview.max_duration_ms : null);
  const of = now && !service && now.of > 1 ? `of ${now.of} services` : null;
  return (
    <dl class="tiles" aria-label="Key figures">
      <Tile
        id="rps"
        name="Requests per second"
        figure={num(overview?.rps)}
        under={overview && plural(overview.total_requests, "request")}
      />
      <Tile
        id="error_rate"
        name="Error rate"
        figure={overview?.total_requests ? pct(overview.error_rate) : NONE}
        alarm={!!overview?.errors}
        under={overview && plural(overview.errors, "error")}
      />
      <Tile
        id="avg"
        name="Average latency"
        figure={avg}
        unit={avgUnit}
        wide
        under={
          overview?.total_requests && overview.p50_ms != null ? <PercentileLine of={overview} unit={avgUnit} /> : null
        }
      />
      <Tile id="max" name="Max latency" figure={max} unit={maxUnit} under="slowest request" />
      <Tile id="in_flight" name="In flight" figure={count(now?.inFlight)} under="requests open now" />
      <Tile
        id="cpu"
        name="CPU"
        figure={num(now?.cpu)}
        unit={now?.cpu == null ? "" : "%"}
        under={of ? `mean ${of}` : "now"}
      />
      <Tile
        id="mem"
        name="Memory"
        figure={num(now?.mem)}
        unit={now?.mem == null ? "" : "MiB"}
        under={of ? `sum ${of}` : "now"}
      />
    </dl>
  );
}

/** The percentiles in the unit of the average above them. */
function PercentileLine({ of, unit }: { of: Percentiles; unit: string }): JSX.Element {
  return (
    <span title={`Percentiles, ${unit}`}>
      <span class="nowrap">
        p50 <b>{inUnit(of.p50_ms, unit)}</b>
      </span>{" "}
      ·{" "}
      <span class="nowrap">
        p95 <b>{inUnit(of.p95_ms, unit)}</b>
      </span>{" "}
      ·{" "}
      <span class="nowrap">
        p99 <b>{inUnit(of.p99_ms, unit)}</b>
      </span>
    </span>
  );
}

export function Tile({
  id,
  name,
  figure,
  unit,
  under,
  alarm,
  wide,
}: {
  id: string;
  name: string;
  figure: string;
  unit?: string;
  under?: ComponentChildren;
  alarm?: boolean;
  wide?: boolean;
}): JSX.Element {
  return (
    <div class={["tile", alarm && "alarm", wide && "wide"].filter(Boolean).join(" ")} data-tile={id}>
      <dt>{name}</dt>
      <dd>
        <div class="figure">
          <span>{figure}</span>
          {unit && <span class="unit">{unit}</span>}
        </div>
        <div class="under">{under ?? "\u00a0"}</div>
      </dd>
    </div>
  );
}
