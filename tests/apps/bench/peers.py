"""The app of `cargo xtask bench` under one of the SDKs that live in the app's process, for `cargo xtask bench peers`.

Arguments: the SDK (`bare` for none), the port to listen on, the three ports of `sink.py`, its certificate. Each SDK is set up as its
manual says, with what it does by default; sampling is left at 100 %. What would leave the machine goes to the sink, and
questions to a cloud's metadata service are turned off.
"""

import os
import sys

sdk, port, http, https, framed, certificate = sys.argv[1:]
SINK = f"http://127.0.0.1:{http}"
NAME = "bench"


def backtrack():
    os.environ["BACKTRACK_ENDPOINT"] = f"{SINK}/ingest"
    from backtrack.sdk.fastapi import BacktrackMiddleware

    return lambda app: app.add_middleware(BacktrackMiddleware, service=NAME)


def opentelemetry():
    os.environ.update(
        OTEL_EXPORTER_OTLP_ENDPOINT=SINK,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_SERVICE_NAME=NAME,
    )
    from opentelemetry.instrumentation.auto_instrumentation import initialize

    initialize()


def ddtrace():
    os.environ.update(DD_TRACE_AGENT_URL=SINK, DD_SERVICE=NAME)
    import ddtrace.auto  # noqa: F401


def elastic_apm():
    os.environ["ELASTIC_APM_CLOUD_PROVIDER"] = "none"
    from elasticapm.contrib.starlette import ElasticAPM, make_apm_client

    # Every two seconds rather than ten: a measurement lasts ten.
    client = make_apm_client({"SERVER_URL": SINK, "SERVICE_NAME": NAME, "API_REQUEST_TIME": "2s"})
    return lambda app: app.add_middleware(ElasticAPM, client=client)


def sentry_sdk():
    import sentry_sdk

    sentry_sdk.init(dsn=f"http://public@127.0.0.1:{http}/1", traces_sample_rate=1.0)


def newrelic():
    os.environ.update(
        NEW_RELIC_LICENSE_KEY="0" * 40,
        NEW_RELIC_APP_NAME=NAME,
        NEW_RELIC_HOST="127.0.0.1",
        NEW_RELIC_PORT=https,
        NEW_RELIC_CA_BUNDLE_PATH=certificate,
        **{f"NEW_RELIC_UTILIZATION_DETECT_{cloud}": "false" for cloud in ("AWS", "AZURE", "GCP", "PCF")},
    )
    import newrelic.agent

    newrelic.agent.initialize()
    newrelic.agent.register_application(timeout=10.0)


def scout_apm():
    os.environ.update(
        SCOUT_KEY="0" * 20,
        SCOUT_NAME=NAME,
        SCOUT_MONITOR="true",
        SCOUT_CORE_AGENT_LAUNCH="false",
        SCOUT_CORE_AGENT_DOWNLOAD="false",
        SCOUT_CORE_AGENT_SOCKET_PATH=f"tcp://127.0.0.1:{framed}",
    )
    from scout_apm.async_.starlette import ScoutMiddleware

    return lambda app: app.add_middleware(ScoutMiddleware)


SDKS = {
    "bare": lambda: None,
    "backtrack": backtrack,
    "OpenTelemetry": opentelemetry,
    "ddtrace": ddtrace,
    "elastic-apm": elastic_apm,
    "sentry-sdk": sentry_sdk,
    "newrelic": newrelic,
    "scout-apm": scout_apm,
}

# Before the framework is imported: most of them replace parts of it as it is.
add = SDKS[sdk]()

import uvicorn  # noqa: E402
from app import app  # noqa: E402

if add:
    add(app)
uvicorn.run(app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning")
