//! Whose code a file is: the application's, a library's, or that of what runs the application.

/// Functions of event loops and servers that run the application's code: whatever called them is no caller of it. Part of
/// the file's path, and the function; empty for all of the file.
const RUNNERS: &[(&str, &str)] = &[
    ("/asyncio/base_events.py", "_run_once"),
    ("/asyncio/base_events.py", "run_forever"),
    ("/asyncio/base_events.py", "run_until_complete"),
    ("/asyncio/events.py", "_run"),
    ("/asyncio/runners.py", ""),
    ("/concurrent/futures/thread.py", ""),
    ("/site-packages/aiohttp/web.py", ""),
    ("/site-packages/aiohttp/web_protocol.py", ""),
    ("/site-packages/gevent/baseserver.py", ""),
    ("/site-packages/gevent/pywsgi.py", ""),
    ("/site-packages/gunicorn/", ""),
    ("/site-packages/hypercorn/", ""),
    ("/site-packages/trio/_core/_run.py", ""),
    ("/site-packages/uvicorn/", ""),
    ("/site-packages/uvloop/", ""),
    ("/site-packages/waitress/", ""),
    ("/site-packages/werkzeug/serving.py", ""),
    ("/socketserver.py", ""),
    ("/threading.py", "_bootstrap_inner"),
    ("/wsgiref/handlers.py", ""),
];

/// Functions that answer a request with a failure where an exception reaches them: nothing of the application has handled it
/// before, and nothing can after. Part of the file's path, and the function; empty for all of the file.
const LAST_HANDLERS: &[(&str, &str)] = &[
    ("/site-packages/aiohttp/web_protocol.py", ""),
    ("/site-packages/django/core/handlers/exception.py", "inner"),
    ("/site-packages/flask/app.py", "wsgi_app"),
    ("/site-packages/gunicorn/workers/", ""),
    ("/site-packages/hypercorn/asyncio/task_group.py", "_handle"),
    ("/site-packages/uvicorn/protocols/", "run_asgi"),
    ("/site-packages/waitress/task.py", ""),
    ("/site-packages/werkzeug/serving.py", "run_wsgi"),
    ("/wsgiref/handlers.py", "run"),
];

/// Whose code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The application's: in no `site-packages`, or of its own package there, and not in the standard library.
    Application,
    /// A library's.
    Library,
    /// An event loop's or a server's.
    Runner,
}

/// Whose code a function is, by its `co_filename` and `co_name`; `own` is the package, or module, that the process runs: an
/// application may be installed like a library.
pub fn place(file: &str, function: &str, own: Option<&str>) -> Place {
    let file = file.replace("/dist-packages/", "/site-packages/");
    let is_own = || own.is_some_and(|own| is_installed_as(&file, own));
    let installed = file.contains("/site-packages/");
    let is_library = file.starts_with('<') || installed || in_standard_library(&file);
    if !is_library || (installed && is_own()) {
        Place::Application
    } else if RUNNERS.iter().any(|(path, name)| file.contains(path) && (name.is_empty() || *name == function))
    {
        Place::Runner
    } else {
        Place::Library
    }
}

/// Is it a file of the package or module of this name, in a `site-packages`?
fn is_installed_as(file: &str, name: &str) -> bool {
    let rest = file.rsplit_once("/site-packages/").and_then(|(_, inside)| inside.strip_prefix(name));
    rest.is_some_and(|rest| rest == ".py" || rest.starts_with('/'))
}

/// Does a function, by its `co_filename` and `co_name`, answer for the application where an exception reaches it?
pub fn answers(file: &str, function: &str) -> bool {
    let file = file.replace("/dist-packages/", "/site-packages/");
    LAST_HANDLERS.iter().any(|(path, name)| file.contains(path) && (name.is_empty() || *name == function))
}

/// The standard library lies in `lib/python3.N` (or in `lib/python3.N.zip`), wherever Python is installed.
fn in_standard_library(file: &str) -> bool {
    ["/lib/python3.", "/lib64/python3.", "/lib/pypy3."].iter().any(|directory| {
        file.match_indices(directory).any(|(at, _)| {
            let rest = &file[at + directory.len()..];
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let after = after.strip_prefix('t').unwrap_or(after);
            after.len() < rest.len() && (after.starts_with('/') || after.starts_with(".zip/"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library_is_the_application() {
        for file in ["/srv/shop/views.py", "app.py", "/home/ann/lib/python3.py", "/srv/uvicorn/app.py"] {
            assert_eq!(place(file, "run_forever", None), Place::Application, "{file}");
        }
        for file in [
            "/v/lib/python3.11/site-packages/httpx/_client.py",
            "/usr/lib/python3/dist-packages/requests/api.py",
            "/usr/lib/python3.12/http/client.py",
            "/opt/python/lib/python3.13t/json/decoder.py",
            "/usr/lib/python311.zip/lib/python3.11.zip/x.py",
            "<frozen importlib._bootstrap>",
            "<string>",
        ] {
            assert_eq!(place(file, "run_forever", None), Place::Library, "{file}");
        }
        for file in [
            "/usr/lib/python3.12/asyncio/base_events.py",
            "/usr/lib/python3/dist-packages/gunicorn/workers/sync.py",
            "/v/lib/python3.8/site-packages/uvicorn/server.py",
        ] {
            assert_eq!(place(file, "run_forever", None), Place::Runner, "{file}");
        }
        let connects = place("/usr/lib/python3.12/asyncio/base_events.py", "create_connection", None);
        assert_eq!(connects, Place::Library);
    }

    #[test]
    fn an_application_may_be_installed() {
        let of_shop = |file: &str| place(file, "f", Some("shop"));
        for file in
            ["/v/lib/python3.12/site-packages/shop/api/views.py", "/v/lib/python3.12/site-packages/shop.py"]
        {
            assert_eq!(of_shop(file), Place::Application, "{file}");
            assert_eq!(place(file, "f", None), Place::Library, "{file}");
        }
        for file in [
            "/v/lib/python3.12/site-packages/shopify/api.py",
            "/v/lib/python3.12/site-packages/other/shop/api.py",
            "/v/lib/python3.12/site-packages/shop.pyc",
            "/usr/lib/python3.12/shop/api.py",
        ] {
            assert_eq!(of_shop(file), Place::Library, "{file}");
        }
        let nested = "/v/lib/python3.12/site-packages/other/_vendor/site-packages/x.py";
        assert_eq!(place(nested, "f", Some("other")), Place::Library);
        let server = "/v/lib/python3.12/site-packages/uvicorn/server.py";
        assert_eq!(place(server, "run", Some("shop")), Place::Runner);
    }
}
