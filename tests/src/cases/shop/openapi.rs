//! Every answer of the running agent, as a client gets it, held against the description that it serves itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use ureq::Body;
use ureq::http::Response;

use crate::agent::Agent;

#[path = "../../../../agent/tests/store/described.rs"]
mod described;
use described::{Description, faults, lists};

/// Lists that hold nothing where nothing bad happens, where every request that another caused is found by its call, where the
/// service called neither queries nor calls, and where no two services have a route of one name.
const QUIET: &[&str] = &[
    ".problems",
    ".notices",
    ".children",
    ".callee.calls",
    ".callee.queries",
    ".callee.db_slow",
    ".by_service",
];

struct Client<'a> {
    base: String,
    description: Description,
    service: &'a str,
    /// Answers compared.
    compared: usize,
}

/// Asks every documented path of `agent`, with all parameters, without, and with faulty ones. `service` is one whose
/// requests fail, query and call; its source lies in `source`. Gives the number of answers.
pub(super) fn hold(agent: &Agent, service: &str, source: &Path) -> Result<usize> {
    let base = agent.page().trim_end_matches('/').to_owned();
    let description = Description::new(agent.get("/api/openapi.json")?);
    let mut client = Client { base, description, service, compared: 0 };
    let paths: Vec<String> = client.description.paths("get").map(str::to_owned).collect();
    ensure!(paths.len() > 20, "only {paths:?} are described");
    let mut held = BTreeMap::new();
    for path in &paths {
        match path.as_str() {
            "/metrics" => client.metrics()?,
            "/api/stream" => client.first_tick()?,
            path => client.json(path, &mut held)?,
        }
    }
    let nothing: Vec<_> = held
        .into_iter()
        .filter(|(at, holds)| !holds && !QUIET.iter().any(|quiet| at.ends_with(quiet)))
        .collect();
    ensure!(nothing.is_empty(), "nothing to compare in {nothing:?}");
    client.posts(source)?;
    Ok(client.compared)
}

impl Client<'_> {
    /// Asks one path that answers JSON, and notes which of its lists hold something.
    fn json(&mut self, path: &str, held: &mut BTreeMap<String, bool>) -> Result<()> {
        let parameters = self.description.parameters(path).to_vec();
        let addresses = self.addresses(path, &parameters)?;
        for address in &addresses {
            lists(&self.get(path, address, 200)?, path, held);
        }
        let known = addresses.last().context("no address")?;
        parameters.iter().try_for_each(|parameter| self.refused(path, known, parameter))
    }

    /// Addresses of a path: those that are about a request for several of them, and any with and without what may be
    /// left out.
    fn addresses(&self, path: &str, parameters: &[Value]) -> Result<Vec<String>> {
        if path.contains("{id}") {
            let known = |id: &str| path.replace("{id}", id);
            return Ok(self.ids()?.iter().map(|id| known(id)).collect());
        }
        let query = |all: bool| {
            let wanted = parameters.iter().filter(|one| all || one["required"] == true);
            let pairs: Vec<String> = wanted.filter_map(|one| self.value(one)).collect();
            format!("{path}?{}", pairs.join("&"))
        };
        Ok(vec![query(false), query(true)])
    }

    /// `name=value` for a parameter, with a value that the shop has.
    fn value(&self, parameter: &Value) -> Option<String> {
        let name = parameter["name"].as_str()?;
        let value = match name {
            "service" => self.service,
            "method" => "POST",
            "route" => "/checkout",
            "folder" => "api",
            "w" => "900",
            "bucket" => "10",
            "limit" => "100",
            _ => parameter["schema"]["enum"][0].as_str()?,
        };
        Some(format!("{name}={value}"))
    }

    /// Requests that called, that queried, and that failed.
    fn ids(&self) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for query in ["sort=recent&method=POST&route=/checkout", "sort=failed", "sort=slow"] {
            let address = format!("/api/requests?service={}&limit=40&{query}", self.service);
            let answer: Value = serde_json::from_str(&self.ask(&address)?.body_mut().read_to_string()?)?;
            let rows = answer["requests"].as_array().context("no requests")?;
            ids.extend(rows.iter().filter_map(|row| row["request_id"].as_str()).map(str::to_owned));
        }
        Ok(ids)
    }

    /// A parameter that is wrong, or is missing, is refused as described.
    fn refused(&mut self, path: &str, known: &str, parameter: &Value) -> Result<()> {
        let name = parameter["name"].as_str().context("a parameter without a name")?;
        if parameter["in"] == "path" {
            self.get(path, &path.replace("{id}", "nobody"), 404)?;
            return Ok(());
        }
        let (bare, query) = known.split_once('?').unwrap_or((known, ""));
        let others = query.split('&').filter(|part| !part.starts_with(&format!("{name}=")));
        let rest = others.collect::<Vec<_>>().join("&");
        let schema = &parameter["schema"];
        let faulty = match schema["minimum"].as_i64() {
            _ if parameter["required"] == true => format!("{bare}?{rest}"),
            Some(least) => format!("{bare}?{rest}&{name}={}", least - 1),
            None if schema.get("enum").is_some() => format!("{bare}?{rest}&{name}=other"),
            None => return Ok(()),
        };
        let problem = self.get(path, &faulty, 422)?;
        ensure!(problem["parameter"] == name, "{faulty}: {problem}");
        Ok(())
    }

    /// The JSON at `address`, an address of `path`, after it was compared.
    fn get(&mut self, path: &str, address: &str, status: u16) -> Result<Value> {
        let answer = self.ask(address)?;
        self.compare("get", path, address, answer, status)
    }

    fn compare(
        &mut self,
        method: &str,
        path: &str,
        address: &str,
        mut answer: Response<Body>,
        status: u16,
    ) -> Result<Value> {
        let kind = kind(&answer);
        let text = answer.body_mut().read_to_string()?;
        ensure!(
            answer.status() == status,
            "{method} {address}: {} instead of {status}\n{text}",
            answer.status()
        );
        let described = match status {
            200 => "200",
            404 => "404",
            _ => "default",
        };
        let answer: Value = serde_json::from_str(&text).with_context(|| format!("{address}: {text}"))?;
        let faults = faults(&self.description.answer(method, path, described, &kind), &answer);
        ensure!(faults.is_empty(), "{address} is not as described:\n{}\n{answer:#}", faults.join("\n"));
        self.compared += 1;
        Ok(answer)
    }

    fn metrics(&mut self) -> Result<()> {
        let mut answer = self.ask("/metrics")?;
        let kind = kind(&answer);
        let text = json!(answer.body_mut().read_to_string()?);
        let faults = faults(&self.description.answer("get", "/metrics", "200", &kind), &text);
        ensure!(faults.is_empty(), "/metrics is not as described: {faults:?}");
        self.compared += 1;
        Ok(())
    }

    /// The first tick says everything.
    fn first_tick(&mut self) -> Result<()> {
        let answer = self.ask("/api/stream")?;
        let kind = kind(&answer);
        let mut lines = BufReader::new(answer.into_body().into_reader()).lines();
        let data = lines.find_map(|line| Some(line.ok()?.strip_prefix("data: ")?.to_owned()));
        let tick: Value = serde_json::from_str(&data.context("the stream ended without a tick")?)?;
        let named = tick["services"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["service"] == self.service));
        ensure!(named, "{tick:#}");
        let faults = faults(&self.description.answer("get", "/api/stream", "200", &kind), &tick);
        ensure!(faults.is_empty(), "a tick is not as described:\n{}\n{tick:#}", faults.join("\n"));
        self.compared += 1;
        Ok(())
    }

    /// What may be sent, and what is refused of it.
    fn posts(&mut self, source: &Path) -> Result<()> {
        let described: Vec<String> = self.description.paths("post").map(str::to_owned).collect();
        ensure!(described == ["/api/scan", "/ingest"], "{described:?} are described");
        let scan = |path: &str| json!({"service": self.service, "path": path}).to_string();
        let sent = [
            ("/api/scan", scan(&source.to_string_lossy()), 200),
            ("/api/scan", scan("/nowhere/at/all"), 403),
            ("/api/scan", scan("/"), 403),
            ("/api/scan", "{".to_owned(), 400),
            ("/ingest", json!({"service": "posted", "events": [], "outgoing_calls": []}).to_string(), 200),
            ("/ingest", "[]".to_owned(), 400),
            ("/ingest", "{".to_owned(), 400),
        ];
        for (path, body, status) in sent {
            let answer = client()
                .post(format!("{}{path}", self.base))
                .header("content-type", "application/json")
                .send(&body)?;
            self.compare("post", path, &format!("{path} {body}"), answer, status)?;
        }
        Ok(())
    }

    fn ask(&self, address: &str) -> Result<Response<Body>> {
        client().get(format!("{}{address}", self.base)).call().with_context(|| address.to_owned())
    }
}

fn client() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

/// The media type of an answer.
fn kind(answer: &Response<Body>) -> String {
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().to_owned()
}
