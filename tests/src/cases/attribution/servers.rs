//! The servers, and what is asked of each.

/// One server.
pub(super) struct Server {
    /// Name of the test.
    pub(super) name: &'static str,
    /// Arguments of `python`; `{port}`, `{certificate}` and `{key}` are replaced. With a certificate it speaks HTTPS.
    pub(super) arguments: &'static str,
    /// Kinds of work.
    pub(super) kinds: &'static [&'static str],
}

const ASYNC: &[&str] =
    &["series", "gather", "group", "to_thread", "executor", "forget", "failing", "consumer"];
const FASTAPI: &[&str] = &[
    "series",
    "gather",
    "group",
    "to_thread",
    "executor",
    "forget",
    "failing",
    "consumer",
    "background",
    "background_def",
    "plain",
    "pool",
    "child",
    "failing_def",
];
/// Handlers that block the loop, among others.
const MIXED: &[&str] = &["series", "gather", "to_thread", "forget", "consumer", "plain"];
/// Bare callbacks.
const CALLBACKS: &[&str] = &["series", "gather", "forget", "failing", "consumer", "left"];
/// Three requests at once: each answer is written by the task that did its work.
const PIPELINED: &[&str] = &["series", "gather", "group", "to_thread", "plain", "consumer"];
const BLOCKING: &[&str] = &["plain", "pool", "child", "failing_def"];
/// gevent looks names up in threads of its own, where nothing tells for whom.
const GREEN: &[&str] = &["plain", "pool", "child", "failing_green"];
const DJANGO: &[&str] = &[
    "series",
    "gather",
    "group",
    "to_thread",
    "executor",
    "forget",
    "failing",
    "to_sync",
    "to_async",
    "async_alone",
    "plain",
    "pool",
    "child",
    "failing_def",
];
const DJANGO_WSGI: &[&str] = &["plain", "pool", "child", "failing_def", "to_async", "async_alone"];

macro_rules! uvicorn {
    ($app:literal, $rest:literal) => {
        concat!(
            "-m uvicorn ",
            $app,
            " --host 127.0.0.1 --port {port} --timeout-keep-alive 60 --log-level warning ",
            $rest
        )
    };
}
macro_rules! gunicorn {
    ($app:literal, $rest:literal) => {
        concat!("-m gunicorn -b 127.0.0.1:{port} --keep-alive 60 --log-level warning ", $rest, " ", $app)
    };
}
macro_rules! hypercorn {
    ($rest:literal) => {
        concat!(
            "-m hypercorn -b 127.0.0.1:{port} --keep-alive 60 --log-level warning ",
            $rest,
            " fastapi_app:app"
        )
    };
}

const fn server(name: &'static str, arguments: &'static str, kinds: &'static [&'static str]) -> Server {
    Server { name, arguments, kinds }
}

/// All of them.
pub(super) const SERVERS: &[Server] = &[
    server("fastapi-uvicorn-asyncio", uvicorn!("fastapi_app:app", "--loop asyncio --http h11"), FASTAPI),
    server("fastapi-uvicorn-uvloop", uvicorn!("fastapi_app:app", "--loop uvloop --http httptools"), FASTAPI),
    server(
        "fastapi-uvicorn-asyncio-tls",
        uvicorn!("fastapi_app:app", "--loop asyncio --ssl-certfile {certificate} --ssl-keyfile {key}"),
        FASTAPI,
    ),
    server(
        "fastapi-uvicorn-uvloop-tls",
        uvicorn!("fastapi_app:app", "--loop uvloop --ssl-certfile {certificate} --ssl-keyfile {key}"),
        FASTAPI,
    ),
    server("fastapi-uvicorn-workers", uvicorn!("fastapi_app:app", "--workers 2"), FASTAPI),
    server(
        "fastapi-gunicorn-uvicorn",
        gunicorn!("fastapi_app:app", "-w 2 -k uvicorn.workers.UvicornWorker"),
        FASTAPI,
    ),
    server("fastapi-uvicorn-h11-pipelined", uvicorn!("fastapi_app:app", "--http h11"), PIPELINED),
    server("fastapi-uvicorn-httptools-pipelined", uvicorn!("fastapi_app:app", "--http httptools"), PIPELINED),
    server("fastapi-hypercorn", hypercorn!(""), FASTAPI),
    server("fastapi-hypercorn-uvloop", hypercorn!("-k uvloop"), FASTAPI),
    server(
        "fastapi-hypercorn-uvloop-tls",
        hypercorn!("-k uvloop --certfile {certificate} --keyfile {key}"),
        FASTAPI,
    ),
    server("fastapi-hypercorn-tls", hypercorn!("--certfile {certificate} --keyfile {key}"), FASTAPI),
    server("fastapi-hypercorn-h2", hypercorn!("--certfile {certificate} --keyfile {key}"), FASTAPI),
    server(
        "fastapi-hypercorn-h2-uvloop",
        hypercorn!("-k uvloop --certfile {certificate} --keyfile {key}"),
        FASTAPI,
    ),
    server("fastapi-hypercorn-h2c", hypercorn!(""), FASTAPI),
    server("fastapi-hypercorn-h2c-uvloop", hypercorn!("-k uvloop"), FASTAPI),
    server("fastapi-hypercorn-h2c-upgraded", hypercorn!(""), FASTAPI),
    server("fastapi-hypercorn-h2c-upgraded-uvloop", hypercorn!("-k uvloop"), FASTAPI),
    server("fastapi-hypercorn-h2c-upgraded-uvloop-backlog", hypercorn!("-k uvloop"), ASYNC),
    server("aiohttp", "aiohttp_app.py {port} asyncio", ASYNC),
    server("aiohttp-uvloop", "aiohttp_app.py {port} uvloop", ASYNC),
    server("tornado", "tornado_app.py {port}", MIXED),
    server("epoll-loop", "loop_app.py {port}", &["turns"]),
    server("protocol-uvloop", "protocol_app.py {port}", CALLBACKS),
    server("protocol-uvloop-tls", "protocol_app.py {port} {certificate} {key}", CALLBACKS),
    server("protocol-uvloop-0.22", "protocol_app.py {port}", CALLBACKS),
    server(
        "fastapi-uvicorn-uvloop-0.22",
        uvicorn!("fastapi_app:app", "--loop uvloop --http httptools"),
        FASTAPI,
    ),
    server("fastapi-hypercorn-h2c-uvloop-0.22", hypercorn!("-k uvloop"), FASTAPI),
    server("aiohttp-uvloop-0.22", "aiohttp_app.py {port} uvloop", ASYNC),
    server("django-asgi-uvicorn", uvicorn!("django_app:asgi", "--loop asyncio --lifespan off"), DJANGO),
    server("django-asgi-uvicorn-uvloop", uvicorn!("django_app:asgi", "--loop uvloop --lifespan off"), DJANGO),
    server("django-runserver", "django_app.py runserver 127.0.0.1:{port}", DJANGO_WSGI),
    server(
        "django-gunicorn-gthread",
        gunicorn!("django_app:wsgi", "-w 2 -k gthread --threads 8"),
        DJANGO_WSGI,
    ),
    server("flask-gunicorn-sync", gunicorn!("flask_app:app", "-w 4"), BLOCKING),
    server("flask-gunicorn-gthread", gunicorn!("flask_app:app", "-w 2 -k gthread --threads 60"), BLOCKING),
    server(
        "flask-gunicorn-gthread-tls",
        gunicorn!("flask_app:app", "-w 2 -k gthread --threads 60 --certfile {certificate} --keyfile {key}"),
        BLOCKING,
    ),
    server(
        "flask-gunicorn-gthread-uwsgi",
        gunicorn!("flask_app:app", "-w 2 -k gthread --threads 60 --protocol uwsgi"),
        BLOCKING,
    ),
    server("flask-gunicorn-gevent", gunicorn!("flask_app:app", "-w 2 -k gevent"), GREEN),
    server("flask-waitress", "-m waitress --listen=127.0.0.1:{port} --threads=8 flask_app:app", BLOCKING),
    server("flask-gunicorn-gevent-pipelined", gunicorn!("flask_app:app", "-w 2 -k gevent"), &["plain"]),
    server(
        "flask-waitress-pipelined",
        "-m waitress --listen=127.0.0.1:{port} --threads=8 flask_app:app",
        BLOCKING,
    ),
    server("flask-dev", "-m flask --app flask_app run --host 127.0.0.1 --port {port}", BLOCKING),
];
