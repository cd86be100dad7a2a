use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::*;
use crate::cli::Exclude;
use crate::process::python::{Implementation, PythonVersion};
use crate::process::service::NamingFacts;

/// A made-up `/proc`; clones share it.
#[derive(Clone, Default)]
struct Fake(Rc<RefCell<BTreeMap<u32, FakeProcess>>>, Rc<Cell<Blind>>);

/// What cannot be looked at for want of file descriptors.
#[derive(Clone, Copy, Default, PartialEq)]
enum Blind {
    #[default]
    Not,
    List,
    Processes,
}

#[derive(Clone)]
struct FakeProcess {
    start: u64,
    parent: u32,
    cmdline: String,
    otel_service: Option<String>,
}

impl Fake {
    fn run(&self, pid: u32, parent: u32, start: u64, cmdline: &str) -> &Self {
        let process = FakeProcess { start, parent, cmdline: cmdline.into(), otel_service: None };
        self.0.borrow_mut().insert(pid, process);
        self
    }

    fn end(&self, pid: u32) {
        self.0.borrow_mut().remove(&pid);
    }

    fn edit(&self, pid: u32, change: impl FnOnce(&mut FakeProcess)) {
        change(self.0.borrow_mut().get_mut(&pid).unwrap());
    }
}

impl ProcSource for Fake {
    fn pids(&self) -> Option<Vec<u32>> {
        // Not in the order of their start.
        (self.1.get() != Blind::List).then(|| self.0.borrow().keys().rev().copied().collect())
    }

    fn lineage(&self, pid: u32) -> Result<Lineage, Unseen> {
        if self.1.get() == Blind::Processes {
            return Err(Unseen::Unknown);
        }
        let processes = self.0.borrow();
        let process = processes.get(&pid).ok_or(Unseen::Gone)?;
        Ok(Lineage { id: ProcessId { pid, start: process.start }, parent: process.parent })
    }

    fn cmdline(&self, pid: u32) -> Vec<String> {
        let processes = self.0.borrow();
        let Some(process) = processes.get(&pid) else { return Vec::new() };
        let separator = if process.cmdline.contains('|') { '|' } else { ' ' };
        process.cmdline.split(separator).map(str::to_owned).collect()
    }

    fn inspect(&self, pid: u32) -> Result<PythonProcess, NotPython> {
        if self.1.get() == Blind::Processes {
            return Err(NotPython::Unknown(pid, "too many open files".into()));
        }
        let process = self.0.borrow().get(&pid).cloned().ok_or(NotPython::NoSuchProcess(pid))?;
        if !process.cmdline.starts_with("python") {
            return Err(NotPython::OtherProgram(pid, process.cmdline));
        }
        Ok(PythonProcess {
            id: ProcessId { pid, start: process.start },
            parent: process.parent,
            exe: "/usr/bin/python3".into(),
            implementation: Implementation::CPython,
            version: Some(PythonVersion { major: 3, minor: 11, micro: None }),
            runtime: None,
            tls: Vec::new(),
            sends_in_tasks: false,
            libc: None,
            container: None,
            naming: NamingFacts {
                cmdline: self.cmdline(pid),
                cwd: Some(PathBuf::from("/srv/dir")),
                otel_service: process.otel_service,
                ..Default::default()
            },
        })
    }
}

const OWN: u32 = 999;
const SPAWN: &str = "python3|-c|from multiprocessing.spawn import spawn_main";

/// init, a shell with uvicorn and its spawned worker, and a celery worker elsewhere.
fn machine() -> Fake {
    let fake = Fake::default();
    fake.run(1, 0, 1, "init")
        .run(10, 1, 100, "bash")
        .run(30, 10, 300, "python3 -m uvicorn shop:app")
        .run(20, 30, 310, SPAWN)
        .run(40, 1, 400, "python3 -m celery -A till worker")
        .run(OWN, 1, 500, "python3 agent-in-disguise.py");
    fake
}

fn registry(fake: &Fake, policy: Policy) -> Registry<Fake> {
    Registry::new(fake.clone(), Policy { own_pid: OWN, ..policy })
}

/// `+pid:service`, `~pid`, `-pid`
fn told(decisions: &[Decision]) -> Vec<String> {
    decisions
        .iter()
        .map(|decision| match decision {
            Decision::Watch(watched) => format!("+{}:{}", watched.process.id.pid, watched.service),
            Decision::Changed(watched) => format!("~{}:{}", watched.process.id.pid, watched.service),
            Decision::Forget(id) => format!("-{}", id.pid),
        })
        .collect()
}

fn exclude(text: &str) -> Policy {
    Policy { exclude: vec![text.parse::<Exclude>().unwrap()], ..Default::default() }
}

fn roots(pids: &[u32]) -> Policy {
    Policy { pids: pids.to_vec(), ..Default::default() }
}

#[test]
fn scan_watches_every_python_but_itself_and_names_workers_after_their_parent() {
    let mut registry = registry(&machine(), Policy::default());
    assert_eq!(told(&registry.scan()), ["+30:shop", "+20:shop", "+40:till"]);
    assert!(registry.scan().is_empty(), "a second scan has nothing to add");
    assert!(registry.get(OWN).is_none() && registry.get(10).is_none());
}

#[test]
fn roots_are_watched_with_their_descendants_only() {
    let fake = machine();
    let mut registry = registry(&fake, roots(&[10]));
    assert_eq!(told(&registry.scan()), ["+30:shop", "+20:shop"]);
    fake.run(50, 40, 600, "python3 -m celery -A till worker");
    assert!(registry.on_event(ProcessEvent::Fork { parent: 40, child: 50 }).is_empty());
}

#[test]
fn orphan_of_a_root_stays_in_scope() {
    let fake = machine();
    let mut registry = registry(&fake, roots(&[30]));
    registry.scan();
    // A daemon forks twice: the middle process is no longer there when the last one calls execve.
    fake.run(60, 30, 600, "python3 -m uvicorn shop:app").run(61, 60, 601, "sh");
    registry.on_event(ProcessEvent::Fork { parent: 30, child: 60 });
    registry.on_event(ProcessEvent::Fork { parent: 60, child: 61 });
    fake.end(60);
    registry.on_event(ProcessEvent::Exit(60));
    fake.run(61, 1, 601, "python3 -m daemon_of_shop");
    assert_eq!(told(&registry.on_event(ProcessEvent::Exec(61))), ["+61:daemon_of_shop"]);
}

#[test]
fn forked_worker_is_watched_at_once_and_forgotten_at_its_end() {
    let fake = machine();
    let mut registry = registry(&fake, Policy::default());
    registry.scan();
    fake.run(70, 40, 700, "python3 -m celery -A till worker");
    assert_eq!(told(&registry.on_event(ProcessEvent::Fork { parent: 40, child: 70 })), ["+70:till"]);
    fake.end(70);
    assert_eq!(told(&registry.on_event(ProcessEvent::Exit(70))), ["-70"]);
    assert!(registry.on_event(ProcessEvent::Exit(70)).is_empty());
}

#[test]
fn process_that_was_gone_before_its_event_came_is_nothing() {
    let mut registry = registry(&machine(), Policy::default());
    registry.scan();
    assert!(registry.on_event(ProcessEvent::Fork { parent: 40, child: 71 }).is_empty());
    assert!(registry.on_event(ProcessEvent::Exec(71)).is_empty());
}

#[test]
fn exec_of_python_is_watched_and_exec_of_something_else_forgotten() {
    let fake = machine();
    let mut registry = registry(&fake, Policy::default());
    registry.scan();
    fake.run(80, 10, 800, "bash");
    assert!(registry.on_event(ProcessEvent::Fork { parent: 10, child: 80 }).is_empty());
    fake.edit(80, |process| process.cmdline = "python3 -m shop2".into());
    assert_eq!(told(&registry.on_event(ProcessEvent::Exec(80))), ["+80:shop2"]);
    fake.edit(80, |process| process.cmdline = "python3 -m shop3".into());
    assert_eq!(told(&registry.on_event(ProcessEvent::Exec(80))), ["~80:shop3"]);
    fake.edit(80, |process| process.cmdline = "sleep 9".into());
    assert_eq!(told(&registry.on_event(ProcessEvent::Exec(80))), ["-80"]);
}

#[test]
fn reused_pid_inherits_nothing() {
    let fake = machine();
    let mut registry = registry(&fake, Policy::default());
    registry.scan();
    let id = registry.get(40).unwrap().process.id;
    registry.report(id, Attachment { what: "openssl".into(), problem: None });
    fake.run(40, 1, 4000, "python3 -m other");
    assert_eq!(told(&registry.on_event(ProcessEvent::Exec(40))), ["-40", "+40:other"]);
    assert!(registry.get(40).unwrap().attachments.is_empty());
    registry.report(id, Attachment { what: "late".into(), problem: None });
    assert!(
        registry.get(40).unwrap().attachments.is_empty(),
        "a report on the predecessor is not its successor's"
    );
}

#[test]
fn reused_pid_of_a_root_is_no_root() {
    let fake = machine();
    let mut registry = registry(&fake, roots(&[40]));
    assert_eq!(told(&registry.scan()), ["+40:till"]);
    fake.run(40, 1, 4000, "python3 -m other");
    assert_eq!(told(&registry.scan()), ["-40"]);
}

#[rstest::rstest]
#[case("till", &["+30:shop", "+20:shop"])]
#[case("*uvicorn*", &["+40:till"])]
#[case("30", &["+40:till"])]
#[case("40", &["+30:shop", "+20:shop"])]
#[case("10", &["+40:till"])]
#[case("nothing", &["+30:shop", "+20:shop", "+40:till"])]
fn excluded_processes_are_left_alone_with_their_workers(#[case] text: &str, #[case] expected: &[&str]) {
    assert_eq!(told(&registry(&machine(), exclude(text)).scan()), expected);
}

#[rstest::rstest]
#[case("till")]
#[case("*celery*")]
#[case("40")]
fn worker_forked_by_an_excluded_process_is_excluded(#[case] text: &str) {
    let fake = machine();
    let mut registry = registry(&fake, exclude(text));
    registry.scan();
    fake.run(90, 40, 900, "python3 renamed-itself.py");
    assert!(registry.on_event(ProcessEvent::Fork { parent: 40, child: 90 }).is_empty());
}

#[test]
fn name_given_by_the_user_is_everyones() {
    let policy = Policy { service: Some("mine".into()), ..Default::default() };
    assert_eq!(told(&registry(&machine(), policy).scan()), ["+30:mine", "+20:mine", "+40:mine"]);
}

#[test]
fn lost_exit_is_made_up_for_by_a_scan_and_by_a_tick() {
    let fake = machine();
    let mut registry = registry(&fake, Policy::default());
    registry.scan();
    fake.end(20);
    assert_eq!(told(&registry.scan()), ["-20"]);
    fake.end(40);
    assert_eq!(told(&registry.tick(Duration::from_secs(1))), ["-40"]);
}

#[test]
fn what_cannot_be_looked_at_is_not_taken_for_ended() {
    let fake = machine();
    let mut registry = registry(&fake, Policy::default());
    let watched = registry.scan().len();
    for blind in [Blind::List, Blind::Processes] {
        fake.1.set(blind);
        assert!(registry.scan().is_empty());
        assert!(registry.tick(Duration::from_secs(100)).is_empty());
        // Where it can be looked at, it is told that it runs Python again.
        let told = told(&registry.on_event(ProcessEvent::Exec(40)));
        assert_eq!(told.is_empty(), blind == Blind::Processes, "{told:?}");
        assert_eq!(registry.watched().count(), watched);
    }
    fake.end(20);
    fake.1.set(Blind::Not);
    assert_eq!(told(&registry.scan()), ["-20"]);
    fake.end(40);
    assert_eq!(told(&registry.tick(Duration::from_secs(200))), ["-40"], "it is looked at again");
}

#[test]
fn library_that_comes_later_is_told_once() {
    let fake = machine();
    let mut registry = registry(&fake, roots(&[40]));
    registry.scan();
    assert!(registry.tick(Duration::from_millis(60)).is_empty(), "nothing has changed");
    // Stands for a newly mapped file: the runtime is compared as a whole.
    let Some(Entry { kind: Kind::Watched { watched, .. }, .. }) = registry.known.get_mut(&40) else {
        panic!("40 is watched");
    };
    let before = PythonProcess::clone(&watched.process);
    watched.process = Arc::new(PythonProcess { runtime: Some(runtime()), ..before });
    assert!(registry.tick(Duration::from_millis(70)).is_empty(), "it is not time yet");
    assert_eq!(told(&registry.tick(Duration::from_millis(200))), ["~40:till"]);
    assert!(registry.tick(Duration::from_secs(90)).is_empty());
}

#[test]
fn hint_makes_the_next_tick_look() {
    let fake = machine();
    let mut registry = registry(&fake, roots(&[40]));
    registry.scan();
    fake.end(40);
    assert!(registry.tick(Duration::ZERO).is_empty());
    registry.look_again(40);
    assert_eq!(told(&registry.tick(Duration::ZERO)), ["-40"]);
}

fn runtime() -> crate::process::PythonRuntime {
    let key = crate::process::elf::FileKey { device: 1, inode: 2, modified: 3, changed: 0 };
    let file = crate::process::MappedFile {
        path: "/usr/lib/libpython3.11.so".into(),
        access: "/usr/lib/libpython3.11.so".into(),
        key,
        facts: Arc::default(),
        load_bias: 0,
    };
    crate::process::PythonRuntime { file, runtime_address: None }
}
