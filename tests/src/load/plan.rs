//! What is asked.

use std::io::Write;

use super::random::Random;

/// Stands in every credential, query value and body that is sent: no store may ever hold it.
pub(crate) const SECRET: &str = "s3cr3t-never-stored";

/// What a server can do; what it cannot is not asked of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Answers several requests that arrive in one write.
    pub(crate) pipelining: bool,
    /// Reads bodies with `Transfer-Encoding: chunked`.
    pub(crate) chunked_uploads: bool,
    /// Answers `Expect: 100-continue` with an interim response.
    pub(crate) expect: bool,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    None,
    Length(usize),
    Chunked(usize),
}

/// One request and the answer it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) status: u16,
    /// Length of the answer's body.
    pub(super) size: usize,
    pub(super) upload: Upload,
    /// Ask with HTTP/1.0, without keep-alive.
    pub(super) http10: bool,
    /// Send `Connection: close`.
    pub(super) close: bool,
    /// Wait for `100 Continue` before the body.
    pub(super) expect: bool,
    /// Send the head in two writes.
    pub(super) split: bool,
    /// Go away after sending, before the answer.
    pub(super) abandon: bool,
}

const STATUSES: &[u16] = &[200, 200, 200, 200, 200, 201, 204, 302, 304, 400, 404, 422, 500, 503];
const METHODS: &[&str] =
    &["GET", "GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const SIZES: &[usize] = &[0, 2, 17, 300, 300, 1500, 4096, 20_000, 70_000];
const UPLOADS: &[usize] = &[0, 5, 300, 4000, 9000, 40_000, 120_000];

impl Ask {
    /// A request of any kind the server can answer.
    pub(super) fn any(id: &str, traits: Traits, random: &mut Random) -> Self {
        let method = random.pick(METHODS);
        let abandon = random.one_in(100);
        let delay = if abandon { 40 } else { random.pick(&[0, 0, 0, 0, 1, 3, 12]) };
        let mut ask = Self::new(id, method, random, delay);
        ask.abandon = abandon;
        if matches!(method, "POST" | "PUT" | "PATCH") {
            let length = random.pick(UPLOADS);
            let chunked = traits.chunked_uploads && random.one_in(3);
            ask.upload = if chunked { Upload::Chunked(length) } else { Upload::Length(length) };
            ask.expect = traits.expect && length > 0 && random.one_in(10);
        }
        ask.http10 = random.one_in(40) && !matches!(ask.upload, Upload::Chunked(_)) && !ask.expect;
        ask.close = random.one_in(25);
        ask.split = random.one_in(10);
        ask.name_features();
        ask
    }

    /// Adds what is special about the request to its id, for whoever reads a failure.
    fn name_features(&mut self) {
        let features = [
            (matches!(self.upload, Upload::Length(_)), "length"),
            (matches!(self.upload, Upload::Chunked(_)), "chunked"),
            (self.http10, "http10"),
            (self.close, "close"),
            (self.expect, "expect"),
            (self.split, "split"),
            (self.abandon, "abandon"),
        ];
        for (_, name) in features.iter().filter(|(has, _)| *has) {
            self.path.push('-');
            self.path.push_str(name);
        }
    }

    /// A request without a body that may stand in a pipeline.
    pub(super) fn plain(id: &str, random: &mut Random) -> Self {
        let method = random.pick(&["GET", "GET", "DELETE"]);
        let delay = random.pick(&[0, 0, 2]);
        Self::new(id, method, random, delay)
    }

    fn new(id: &str, method: &'static str, random: &mut Random, delay: u64) -> Self {
        let status = random.pick(STATUSES);
        let size = random.pick(SIZES);
        let how = random.pick(&["whole", "whole", "pieces"]);
        Self {
            method,
            path: format!("/r/{status}/{size}/{delay}/{how}/{id}"),
            status,
            size,
            upload: Upload::None,
            http10: false,
            close: false,
            expect: false,
            split: false,
            abandon: false,
        }
    }

    /// Length of the body that must come back.
    pub(super) fn answer_length(&self) -> usize {
        let bodiless = self.method == "HEAD" || matches!(self.status, 204 | 304);
        if bodiless { 0 } else { self.size }
    }

    /// The head as sent.
    pub(super) fn head(&self) -> Vec<u8> {
        let version = if self.http10 { "1.0" } else { "1.1" };
        let mut head = format!(
            "{} {}?token={SECRET} HTTP/{version}\r\nHost: 127.0.0.1\r\nUser-Agent: apm-tests\r\n\
             Authorization: Bearer {SECRET}\r\nCookie: session={SECRET}\r\n",
            self.method, self.path
        );
        match self.upload {
            Upload::None => {}
            Upload::Length(n) => {
                head.push_str(&format!("Content-Type: text/plain\r\nContent-Length: {n}\r\n"));
            }
            Upload::Chunked(_) => head.push_str("Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"),
        }
        if self.close {
            head.push_str("Connection: close\r\n");
        }
        if self.expect {
            head.push_str("Expect: 100-continue\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// The body as sent, framing included.
    pub(super) fn body(&self) -> Vec<u8> {
        let plain = |n: usize| SECRET.bytes().cycle().take(n).collect::<Vec<u8>>();
        match self.upload {
            Upload::None => Vec::new(),
            Upload::Length(n) => plain(n),
            Upload::Chunked(n) => {
                let mut framed = Vec::new();
                for chunk in plain(n).chunks(7000) {
                    write!(framed, "{:x}\r\n", chunk.len()).expect("memory takes all");
                    framed.extend_from_slice(chunk);
                    framed.extend_from_slice(b"\r\n");
                }
                framed.extend_from_slice(b"0\r\n\r\n");
                framed
            }
        }
    }
}
