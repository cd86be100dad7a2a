//! What strangers ask the agent's own server: the running binary is asked, over sockets. And an agent that is not root.

mod sources;
mod unprivileged;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, symlink};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::agent::Agent;
use crate::places::Places;
use crate::process::until;
use crate::runner::{Case, Verdict};
use crate::server::{Server, kind};

const TOKEN: &str = "0123456789abcdef-XYZ";
/// Larger than any body that is taken: 17 MB.
const LARGE: usize = 17 << 20;
/// More than the rate limit lets through at once.
const FLOOD: usize = 4000;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("security/server", server),
        Case::new("security/sources", sources::of_others),
        Case::new("security/unprivileged", unprivileged::by_file_capabilities),
    ]
}

fn server(places: &Places) -> Result<Verdict> {
    let scratch = places.scratch()?;
    let app = Server::start(kind("http.server"), &places.any_python()?, &places.apps(), scratch.path())?;
    let (project, outside) = (scratch.path().join("project"), scratch.path().join("outside"));
    for (directory, route) in [(&project, "/inside"), (&outside, "/outside")] {
        fs::create_dir(directory)?;
        let source =
            format!("from fastapi import FastAPI\napp = FastAPI()\n@app.get('{route}')\ndef f(): pass\n");
        fs::write(directory.join("main.py"), source)?;
    }
    symlink(&outside, project.join("link"))?;
    symlink(outside.join("main.py"), project.join("linked.py"))?;
    let pid = app.process.pid().to_string();
    let scan = project.display().to_string();
    let options = [
        "--pid".to_owned(),
        pid.clone(),
        "--scan".to_owned(),
        scan,
        "--scan-service".to_owned(),
        "shop".to_owned(),
    ];
    let mut agent = Agent::start(&places.agent, &options, scratch.path())?;
    agent.attached(app.process.pid())?;
    let to = Asked(agent.port());
    let checks = std::cell::Cell::new(0);
    let expect = |what: &str, answer: &str, status: u16| -> Result<()> {
        checks.set(checks.get() + 1);
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: not {status}: {answer:.300}");
        Ok(())
    };

    let ours = format!("127.0.0.1:{}", to.0);
    for (host, status) in [(ours.as_str(), 200), ("localhost", 200), ("evil.example", 421), ("", 421)] {
        expect(host, &to.ask("GET", "/api/services", &format!("Host: {host}\r\n"), "")?, status)?;
    }
    let json = format!("Host: {ours}\r\nContent-Type: application/json\r\n");
    let text = format!("Host: {ours}\r\nContent-Type: text/plain\r\n");
    for path in ["/api/scan", "/ingest"] {
        expect(path, &to.ask("POST", path, &text, "{}")?, 415)?;
        for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
            expect(origin, &to.ask("POST", path, &format!("{json}Origin: {origin}\r\n"), "{}")?, 403)?;
        }
        expect(path, &to.ask("POST", path, &format!("{json}Sec-Fetch-Site: cross-site\r\n"), "{}")?, 403)?;
        expect(path, &to.ask("POST", path, &json, &" ".repeat(LARGE))?, 413)?;
    }
    for path in ["/", "/api/overview", "/nowhere"] {
        let answer = to.ask("GET", path, &format!("Host: {ours}\r\nOrigin: http://evil.example\r\n"), "")?;
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        for wanted in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
        ] {
            checks.set(checks.get() + 1);
            ensure!(head.contains(wanted), "{path}: no {wanted} in {head}");
        }
        ensure!(!head.contains("access-control-") && !head.contains("unsafe-"), "{path}: {head}");
    }

    let scan = |root: &std::path::Path| {
        let body = serde_json::json!({"service": "shop", "path": root}).to_string();
        to.ask("POST", "/api/scan", &json, &body)
    };
    expect("its own source", &scan(&project)?, 200)?;
    for root in [&outside, &project.join("link"), &project.join("../outside"), std::path::Path::new("/etc")] {
        expect(&root.display().to_string(), &scan(root)?, 403)?;
    }
    let found = agent.get("/api/discovered")?.to_string();
    ensure!(found.contains("/inside") && !found.contains("/outside"), "links were followed: {found}");

    for file in fs::read_dir(agent.store())? {
        let meta = file?.metadata()?;
        checks.set(checks.get() + 1);
        ensure!(meta.mode() & 0o077 == 0, "others may read a file of the store: {:o}", meta.mode());
    }
    until(Duration::from_secs(60), "a flood to be refused", || Ok(to.flood()?.then_some(())))?;
    agent.stop()?;

    let directory = scratch.path().join("with-token");
    fs::create_dir(&directory)?;
    let arguments = ["--pid".to_owned(), pid];
    let mut agent = Agent::start_in(&[("APM_AGENT_TOKEN", TOKEN)], &places.agent, &arguments, &directory)?;
    let to = Asked(agent.port());
    let with = |header: &str| format!("Host: localhost\r\n{header}");
    let wrong = format!("Authorization: Bearer {}x\r\n", &TOKEN[..TOKEN.len() - 1]);
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    for (header, status) in
        [("", 401), (wrong.as_str(), 401), ("Authorization: Bearer \r\n", 401), (&right, 200)]
    {
        for path in ["/api/services", "/metrics", "/api/status"] {
            expect(header, &to.ask("GET", path, &with(header), "")?, status)?;
        }
    }
    ensure!(!agent.process.output().contains(TOKEN), "the token is in the log");
    agent.stop()?;
    Ok(Verdict::Passed(format!("{} answers as they must be; a flood is refused", checks.get())))
}

/// The server at this port.
struct Asked(u16);

impl Asked {
    /// Sends many requests at once, without waiting for answers: one that is answered before the next could be too slow to
    /// reach the limit. Is any refused?
    fn flood(&self) -> Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut sends = stream.try_clone()?;
        let (one, last) = ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "Connection: close\r\n\r\n");
        let all = format!("{}{one}{last}", format!("{one}\r\n").repeat(FLOOD - 1));
        // Answers are read meanwhile: who does not read them is not read either.
        let sending = thread::spawn(move || sends.write_all(all.as_bytes()));
        let mut answers = Vec::new();
        let read = stream.read_to_end(&mut answers);
        let sent = sending.join().expect("a write does not panic");
        ensure!(!answers.is_empty(), "a flood has no answer: {sent:?}, {read:?}");
        Ok(String::from_utf8_lossy(&answers).contains("HTTP/1.1 429 "))
    }

    /// Sends a request on a connection of its own and reads the whole answer.
    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        // A body that is too large is refused before it is there.
        let _refused = stream.write_all(body.as_bytes());
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        ensure!(!answer.is_empty(), "no answer to {method} {path}: {read:?}");
        String::from_utf8(answer).context("an answer that is no text")
    }
}
