//! Looking into interpreters: exceptions and call sites.

use std::collections::BTreeSet;
use std::sync::Arc;

use apm_agent_ebpf::{Raising, unwinding};
use apm_core::record::Record;

use super::Engine;
use crate::capture::{CaptureError, Point};
use crate::process::cpython::objects::ObjectLayout;
use crate::process::{Attachment, Watched};

/// Services whose exceptions are looked at on their way; of others only what is at hand at a response or on standard
/// error is seen.
const BLIND_MAX: usize = 256;
/// What is said of it to the user.
const UNWINDING: &str = "exceptions on their way";

impl Engine {
    /// Reads exceptions and call sites of a process from now on.
    pub(super) fn look_inside(&mut self, watched: &Watched) {
        let id = watched.process.id;
        let layout = match self.interpreters.open(&watched.process) {
            Ok(Some(layout)) => Ok(layout),
            Ok(None) => Err("of this version are not known to the agent".to_owned()),
            Err(problem) => Err(problem),
        };
        let mut report = |what: &str, result: Result<(), String>| {
            self.registry.report(id, Attachment { what: what.to_owned(), problem: result.err() });
        };
        let (capture, locals) = (&mut self.capture, self.locals);
        let words = |error: CaptureError| error.to_string();
        if self.exceptions.is_some() {
            let looked = layout.as_ref().map_err(|problem| format!("exceptions {problem}"));
            report(
                "exceptions",
                looked.and_then(|layout| {
                    capture.look_at_exceptions(id.pid, wanted(layout.raising, locals)).map_err(words)
                }),
            );
        }
        if self.naming.call_sites.is_some() {
            let walked = layout.as_ref().map_err(|problem| format!("call stacks {problem}"));
            let frozen =
                || "its modules are packed into one program: the application's are not told from libraries'";
            let known = if watched.process.is_frozen() { Err(frozen().to_owned()) } else { walked };
            report(
                "call sites",
                known.and_then(|layout| capture.walk_stacks(id.pid, layout.stacks).map_err(words)),
            );
        }
        if let Some(&whose) = self.blind.get(&watched.service) {
            self.watch_unwinding(watched, whose);
        }
    }

    /// What the process has run is gone.
    pub(super) fn program_gone(&mut self, pid: u32) {
        self.interpreters.process_gone(pid);
        if let Some(call_sites) = &mut self.naming.call_sites {
            call_sites.process_gone(pid);
        }
        if let Some(exceptions) = &mut self.exceptions {
            exceptions.process_gone(pid);
        }
        if let Some(attribution) = &mut self.attribution {
            attribution.process_gone(pid);
        }
    }

    /// Puts call stacks into words; those of processes that are not known wait, unless this is the `last` chance.
    pub(super) fn read_stacks(&mut self, last: bool) {
        if let Some(call_sites) = &mut self.naming.call_sites {
            call_sites.read(&mut self.interpreters, &mut self.capture, last);
        }
    }

    /// A request failed and its exception was not seen: the service's exceptions are looked at on their way from now on,
    /// in all of its processes.
    pub(super) fn notice_blindness(&mut self, told: &[Record]) {
        for record in told {
            let Record::Event(event) = record else { continue };
            if event.status >= 500 && event.error_type.is_none() && self.interpreters.knows(event.pid) {
                // The probes do not know the requests of streams, only the contexts that serve them.
                let of_stream = event.protocol == Some("h2");
                let whose = if of_stream { unwinding::OF_STREAMS } else { unwinding::OF_REQUESTS };
                self.watch_service(&Arc::clone(&event.service), whose);
            }
        }
    }

    /// Services whose source tells that a failure shows its exception nowhere are looked at more closely before their first.
    /// Django with `DEBUG` on is not among them: the page that it answers with raises and handles hundreds of exceptions.
    pub(super) fn expect_blindness(&mut self) {
        let routes = &self.naming.routes;
        let services: BTreeSet<Arc<str>> = self
            .registry
            .watched()
            .filter(|w| self.interpreters.knows(w.process.id.pid) && !self.blind.contains_key(&w.service))
            .filter(|w| routes.hides_failures(&w.service))
            .map(|w| Arc::clone(&w.service))
            .collect();
        for service in services {
            self.watch_service(&service, unwinding::OF_REQUESTS);
        }
    }

    /// Looks at exceptions on their way in all processes of a service.
    fn watch_service(&mut self, service: &Arc<str>, whose: u32) {
        let known = self.blind.get(service).copied();
        if self.exceptions.is_none()
            || known.is_some_and(|known| known >= whose)
            || (known.is_none() && self.blind.len() >= BLIND_MAX)
        {
            return;
        }
        self.blind.insert(Arc::clone(service), whose);
        let of_it: Vec<Watched> =
            self.registry.watched().filter(|w| w.service == *service).cloned().collect();
        for watched in of_it {
            if self.interpreters.knows(watched.process.id.pid) {
                self.watch_unwinding(&watched, whose);
            }
        }
    }

    fn watch_unwinding(&mut self, watched: &Watched, whose: u32) {
        let id = watched.process.id;
        let problem = self.attach_unwinding(watched, whose).err();
        self.registry.report(id, Attachment { what: UNWINDING.to_owned(), problem });
    }

    fn attach_unwinding(&mut self, watched: &Watched, whose: u32) -> Result<(), String> {
        let process = &watched.process;
        let layout =
            process.version.and_then(ObjectLayout::of).ok_or("its version is not known to the agent")?;
        let file = &process.runtime.as_ref().ok_or("its interpreter is not mapped")?.file;
        let offset = file.facts.python.as_ref().and_then(|build| build.traceback_here);
        let offset = offset.ok_or("PyTraceBack_Here is not exported")?;
        let point = Point { program: "python_traceback", offset, size: 0, cookie: None };
        let pid = process.id.pid;
        self.capture.attach_functions(pid, file.key, UNWINDING, &file.access, &[point])?;
        let raising = Raising { unwinding: whose, ..wanted(layout.raising, self.locals) };
        self.capture.look_at_exceptions(pid, raising).map_err(|error| error.to_string())
    }
}

/// A layout without the place of variables, where those are not wanted.
fn wanted(layout: Raising, locals: bool) -> Raising {
    if locals { layout } else { Raising { locals: 0, ..layout } }
}
