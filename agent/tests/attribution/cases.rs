//! Servers, and what each is asked to do.

use std::path::{Path, PathBuf};

const ASYNC: &[&str] = &["seq", "gather", "executor", "background", "queue"];
const ASYNC_3_9: &[&str] = &["seq", "gather", "executor", "to_thread", "background", "queue"];
const BLOCKING: &[&str] = &["seq", "pool", "child"];

/// One server.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) python: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) kinds: &'static [&'static str],
    /// Attach to the server when it runs already, not when it starts.
    pub(crate) late: bool,
    pub(crate) concurrency: usize,
    /// What the agent says of an interpreter that it does not know; by thread is all that is left then.
    pub(crate) unknown: Option<&'static str>,
}

/// Where the apps are.
pub(crate) fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/apps/attribution")
}

/// All cases that this machine can run; says which it cannot.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (version, python) in pythons() {
        let mut add = |name: &str, arguments: &str, kinds, late| {
            cases.push(case(format!("{version} {name}"), &python, arguments, kinds, late));
        };
        let asynchronous = if version.starts_with("3.8") { ASYNC } else { ASYNC_3_9 };
        add("asyncio", "asyncio_app.py {port} asyncio", asynchronous, false);
        add("asyncio late", "asyncio_app.py {port} asyncio", &["seq", "gather", "executor"], true);
        add("threads", "threads_app.py {port}", BLOCKING, false);
    }
    let pypy = Path::new("/usr/bin/pypy3");
    if pypy.exists() {
        let arguments = "threads_app.py {port}";
        let case = case("PyPy threads".to_owned(), pypy, arguments, &["seq", "pool", "child"], false);
        cases.push(Case { unknown: Some("PyPy"), ..case });
    } else {
        println!("skipped: PyPy is not there");
    }
    match std::env::var_os("APM_TEST_VENV") {
        Some(venv) => cases.extend(servers(&Path::new(&venv).join("bin/python"))),
        None => println!("servers from PyPI are left to --long: APM_TEST_VENV names none"),
    }
    cases
}

fn case(name: String, python: &Path, arguments: &str, kinds: &'static [&'static str], late: bool) -> Case {
    let arguments = arguments.split_whitespace().map(str::to_owned).collect();
    Case { name, python: python.to_owned(), arguments, kinds, late, concurrency: 50, unknown: None }
}

fn servers(python: &Path) -> Vec<Case> {
    const UVICORN: &str = "-m uvicorn asgi_calls:app --host 127.0.0.1 --port {port} --log-level error";
    const GUNICORN: &str = "-m gunicorn -b 127.0.0.1:{port} --log-level error";
    let servers: &[(&str, String, &'static [&'static str])] = &[
        ("uvicorn asyncio h11", format!("{UVICORN} --loop asyncio --http h11"), ASYNC_3_9),
        ("uvicorn asyncio httptools", format!("{UVICORN} --loop asyncio --http httptools"), ASYNC_3_9),
        ("uvicorn uvloop httptools", format!("{UVICORN} --loop uvloop --http httptools"), ASYNC_3_9),
        ("uvicorn uvloop h11", format!("{UVICORN} --loop uvloop --http h11"), ASYNC_3_9),
        ("uvicorn workers", format!("{UVICORN} --workers 2"), ASYNC_3_9),
        ("streams uvloop", "asyncio_app.py {port} uvloop".to_owned(), ASYNC_3_9),
        ("hypercorn", "-m hypercorn -b 127.0.0.1:{port} asgi_calls:app".to_owned(), ASYNC_3_9),
        (
            "hypercorn uvloop",
            "-m hypercorn -k uvloop -b 127.0.0.1:{port} asgi_calls:app".to_owned(),
            ASYNC_3_9,
        ),
        (
            "gunicorn uvicorn",
            format!("{GUNICORN} -w 2 -k uvicorn.workers.UvicornWorker asgi_calls:app"),
            ASYNC_3_9,
        ),
        ("gunicorn sync", format!("{GUNICORN} -w 3 wsgi_calls:app"), BLOCKING),
        ("gunicorn gthread", format!("{GUNICORN} -w 2 -k gthread --threads 8 wsgi_calls:app"), BLOCKING),
        ("gunicorn gevent", format!("{GUNICORN} -w 2 -k gevent wsgi_calls:app"), &["seq", "child"]),
        ("waitress", "-m waitress --listen=127.0.0.1:{port} --threads=8 wsgi_calls:app".to_owned(), BLOCKING),
    ];
    let mut cases = Vec::new();
    for (name, arguments, kinds) in servers {
        cases.push(case(format!("{name}, from its start"), python, arguments, kinds, false));
        cases.push(case(format!("{name}, running"), python, arguments, kinds, true));
    }
    cases
}

/// Every CPython of this machine that a layout is known for: pyenv's, the system's, and of those that neither has the ones of
/// the environments in `APM_TEST_PYTHONS`.
fn pythons() -> Vec<(String, PathBuf)> {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let versions =
        std::env::var_os("PYENV_ROOT").map_or_else(|| home.join(".pyenv"), PathBuf::from).join("versions");
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(versions)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let minor: u8 = name.strip_prefix("3.")?.split('.').next()?.parse().ok()?;
            (8..=15).contains(&minor).then(|| (name, entry.path().join("bin/python3")))
        })
        .collect();
    let environments = std::env::var_os("APM_TEST_PYTHONS").map(PathBuf::from).unwrap_or_default();
    for series in (8..=15).map(|minor| format!("3.{minor}")) {
        let environment = environments.join(&series).join("bin/python");
        if !found.iter().any(|(name, _)| name.starts_with(&series)) && environment.exists() {
            found.push((series, environment));
        }
    }
    found.push(("system".to_owned(), PathBuf::from("/usr/bin/python3")));
    found.retain(|(name, python)| {
        let exists = python.exists();
        if !exists {
            println!("skipped: Python {name} is not there");
        }
        exists
    });
    found.sort();
    found
}
