//! Real Python processes, as they are recognised and followed.

#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod python;

use std::path::PathBuf;
use std::time::Duration;

use apm_agent::process::cpython::functions::{self, Library, Role};
use apm_agent::process::{
    Decision, Implementation, NotPython, Policy, ProcSource, ProcessEvent, Procfs, Registry, Sampler, TlsKind,
};
use apm_agent::python::Interpreters;
use apm_agent_ebpf::RaisedFrame;
use python::{Python, interpreters};

/// Runs `test` for every Python of this machine, and says which are absent.
fn with_each(test: impl Fn(&str, PathBuf)) {
    for version in ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15"] {
        match interpreters(version).as_slice() {
            [] => println!("skipped: no Python {version} on this machine"),
            found => found.iter().for_each(|path| test(version, path.clone())),
        }
    }
}

#[test]
fn every_python_is_recognised_with_its_exact_version_and_runtime() {
    with_each(|series, path| {
        let python = Python::run(&path, "import platform", "platform.python_version()");
        let seen = Procfs::default().inspect(python.pid()).unwrap();
        assert_eq!(seen.id.pid, python.pid());
        assert_eq!(seen.implementation, Implementation::CPython, "{}", path.display());
        assert_eq!(seen.version.unwrap().to_string(), python.said(), "{}", path.display());
        assert!(python.said().starts_with(series));
        let runtime = seen.runtime.expect("the loader has mapped it before the first line of code ran");
        let map = std::fs::read_to_string(format!("/proc/{}/maps", python.pid())).unwrap();
        let address = runtime.runtime_address.expect("CPython from 3.7 on has _PyRuntime");
        let inside = map.lines().any(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |hex| u64::from_str_radix(hex, 16).unwrap();
            // The variable may lie in the zeroed part behind the file's last page: an anonymous mapping.
            (number(start)..number(end)).contains(&address) && line.contains(" rw-p ")
        });
        assert!(inside, "{address:#x} is no writable memory of {}:\n{map}", path.display());
        assert!(runtime.file.access.exists());
    });
}

#[test]
fn what_a_probe_could_not_read_of_a_code_object_is_read_later() {
    with_each(|_, path| {
        let script = "\n\n\ndef shop(price, count):\n    return price * count";
        let python = Python::run(&path, script, "id(shop.__code__)");
        let process = Procfs::default().inspect(python.pid()).unwrap();
        let mut interpreters = Interpreters::default();
        interpreters.open(&process).unwrap().expect("the layout is known");
        let interpreter = interpreters.get(python.pid()).unwrap();
        let frame = RaisedFrame { code: python.said().parse().unwrap(), ..RaisedFrame::default() };
        assert!(interpreter.names(&frame).is_none(), "its name is not that of the code object");
        let completed = interpreter.completed(&frame);
        assert_eq!(completed.first_line, 4, "{}", path.display());
        assert_eq!(&*interpreter.names(&completed).unwrap().name, "shop", "{}", path.display());
        assert_eq!(*interpreter.variables(&frame).unwrap(), ["price", "count"], "{}", path.display());
        // Nothing is made of what is no code object, and of one that is another now.
        let no_code = RaisedFrame { code: process.runtime.unwrap().runtime_address.unwrap(), ..frame };
        assert_eq!(interpreter.completed(&no_code).name, 0);
        assert!(interpreter.frame(&RaisedFrame { name: completed.name + 8, ..completed }).is_none());
    });
}

/// Prints where the functions are that make contexts, and then has the interpreter's memory say something else.
const TELLS_LIES: &str = "
import ctypes
def at(address):
    return ctypes.c_uint64.from_address(address)
def symbol(name):
    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, name))
new = at(symbol('PyContext_Type') + 312)
method = at(symbol('PyContext_Type') + 232).value
while ctypes.string_at(at(method).value) != b'copy':
    method += 32
copy = at(method + 8)
told = new.value, copy.value
new.value = copy.value = symbol('Py_GetVersion')
";

#[test]
fn functions_to_probe_are_those_of_the_file_whatever_the_process_writes_into_its_memory() {
    with_each(|_, path| {
        let python = Python::run(&path, TELLS_LIES, "*told");
        let told: Vec<u64> = python.said().split(' ').map(|number| number.parse().unwrap()).collect();
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", python.pid())).unwrap();
        let number = |hex: &str| u64::from_str_radix(hex, 16).unwrap();
        let in_file = |address: &u64| {
            maps.lines().find_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let (start, end) = words[0].split_once('-')?;
                let inside = address.checked_sub(number(start))?;
                (*address < number(end)).then(|| number(words[2]) + inside)
            })
        };
        let process = Procfs::default().inspect(python.pid()).unwrap();
        let libraries = functions::libraries(&process);
        let contexts = libraries.iter().find(|found| found.library == Library::Contexts).unwrap();
        let found = functions::functions(&process, contexts).unwrap();
        assert!(found.iter().all(|function| function.role == Role::MakesContext));
        let found: Vec<u64> = found[1..].iter().map(|function| function.offset).collect();
        let expected: Vec<u64> = told.iter().map(|address| in_file(address).unwrap()).collect();
        assert_eq!(found, expected, "{}", path.display());
    });
}

/// Both come with the interpreter: `_queue` as a file of its own or linked into it.
#[test]
fn functions_of_queues_are_found_in_every_python() {
    with_each(|_, path| {
        let python = Python::run(&path, "import _queue", "''");
        let process = Procfs::default().inspect(python.pid()).unwrap();
        let libraries = functions::libraries(&process);
        let functions = match libraries.iter().find(|found| found.library == Library::Queue) {
            Some(found) => functions::functions(&process, found).unwrap(),
            None => {
                let contexts = libraries.iter().find(|found| found.library == Library::Contexts);
                functions::builtin_queue(contexts.unwrap())
            }
        };
        let count = |role| functions.iter().filter(|function| function.role == role).count();
        assert!(count(Role::Puts) >= 1 && count(Role::Gets) >= 1, "{}: {functions:?}", path.display());
    });
}

#[test]
fn runtime_address_is_where_the_interpreter_itself_says() {
    with_each(|_, path| {
        let script =
            "import ctypes\naddress = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, '_PyRuntime'))";
        let python = Python::run(&path, script, "address");
        let seen = Procfs::default().inspect(python.pid()).unwrap();
        let address = seen.runtime.unwrap().runtime_address.unwrap();
        assert_eq!(address.to_string(), python.said(), "{}", path.display());
    });
}

#[test]
fn openssl_is_seen_once_it_is_imported_with_the_version_python_tells() {
    with_each(|_, path| {
        let bare = Python::run(&path, "import sys", "sys.version");
        assert!(Procfs::default().inspect(bare.pid()).unwrap().tls.is_empty(), "{}", path.display());
        let python = Python::run(&path, "import ssl", "ssl.OPENSSL_VERSION");
        let seen = Procfs::default().inspect(python.pid()).unwrap();
        let [library] = seen.tls.as_slice() else { panic!("{:?}", seen.tls) };
        assert_eq!((library.kind, library.visible), (TlsKind::OpenSsl, true));
        assert_eq!(library.version.as_deref(), Some(python.said()), "{}", path.display());
        let functions = &library.file.facts.openssl.as_ref().unwrap().functions;
        for name in ["SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_free"] {
            let function = functions.iter().find(|function| function.name == name);
            assert!(function.is_some_and(|function| function.file_offset > 0), "{name} in {functions:?}");
        }
    });
}

#[test]
fn interpreter_that_was_deleted_while_running_is_still_readable() {
    let Some(path) = interpreters("3.11").pop() else { return println!("skipped: no Python 3.11") };
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("python3.11");
    std::fs::copy(std::fs::canonicalize(path).unwrap(), &copy).unwrap();
    let python = Python::run(&copy, "import sys", "sys.version_info[1]");
    std::fs::remove_file(&copy).unwrap();
    let seen = Procfs::default().inspect(python.pid()).unwrap();
    assert_eq!(seen.exe, copy, "the kernel's mark of deletion is no part of the name");
    assert!(seen.runtime.unwrap().file.access.exists());
}

#[test]
fn what_is_no_python_process_is_told() {
    let procfs = Procfs::default();
    let own = std::process::id();
    assert!(matches!(procfs.inspect(own), Err(NotPython::OtherProgram(pid, _)) if pid == own));
    // Above the largest pid that any kernel gives (PID_MAX_LIMIT, 2^22).
    assert_eq!(procfs.inspect(1 << 23), Err(NotPython::NoSuchProcess(1 << 23)));
    let mut zombie = std::process::Command::new("true").spawn().unwrap();
    let pid = zombie.id();
    python::until("the child has ended", || procfs.inspect(pid) == Err(NotPython::Zombie(pid)));
    zombie.wait().unwrap();
    assert_eq!(procfs.inspect(pid), Err(NotPython::NoSuchProcess(pid)));
}

#[test]
fn forked_and_spawned_workers_are_followed_and_named_after_their_master() {
    with_each(|_, path| {
        let place = tempfile::tempdir().unwrap();
        let project = place.path().join("bakery");
        std::fs::create_dir(&project).unwrap();
        let script = project.join("main.py");
        let code = "import multiprocessing, os, sys, time\n\
            def work(queue, master):\n\
            \x20   queue.put(os.getpid())\n\
            \x20   while os.getppid() == master: time.sleep(0.05)\n\
            if __name__ == '__main__':\n\
            \x20   sys.stdin.readline()\n\
            \x20   for method in ('fork', 'spawn'):\n\
            \x20       context = multiprocessing.get_context(method); queue = context.Queue()\n\
            \x20       context.Process(target=work, args=(queue, os.getpid()), daemon=True).start()\n\
            \x20       print(queue.get(), flush=True)\n\
            \x20   sys.stdin.read()\n";
        std::fs::write(&script, code).unwrap();
        let mut master = Python::script(&path, &script);
        let policy = Policy { pids: vec![master.pid()], own_pid: std::process::id(), ..Policy::default() };
        let mut registry = Registry::new(Procfs::default(), policy);
        let watch = |decisions: Vec<Decision>, pid: u32| {
            decisions.into_iter().any(|decision| {
                matches!(decision, Decision::Watch(watched)
                    if watched.process.id.pid == pid && &*watched.service == "bakery")
            })
        };
        python::until("the master runs Python", || watch(registry.scan(), master.pid()));
        master.tell("go\n");
        let forked: u32 = master.hear().parse().unwrap();
        let event = ProcessEvent::Fork { parent: master.pid(), child: forked };
        assert!(watch(registry.on_event(event), forked), "forked by {}", path.display());
        let spawned: u32 = master.hear().parse().unwrap();
        assert!(
            watch(registry.on_event(ProcessEvent::Exec(spawned)), spawned),
            "spawned by {}",
            path.display()
        );
        drop(master);
        python::until("all have ended", || {
            registry.scan();
            registry.watched().next().is_none()
        });
    });
}

#[test]
fn library_imported_late_is_told_as_a_change() {
    let Some(path) = interpreters("3.11").pop() else { return println!("skipped: no Python 3.11") };
    let script = "import sys\nprint('up', flush=True)\nsys.stdin.readline()\nimport ssl";
    let mut python = Python::start(&path, script, "'loaded'");
    assert_eq!(python.hear(), "up");
    let policy = Policy { pids: vec![python.pid()], ..Policy::default() };
    let mut registry = Registry::new(Procfs::default(), policy);
    assert!(
        matches!(registry.scan().as_slice(), [Decision::Watch(watched)] if watched.process.tls.is_empty())
    );
    assert!(registry.tick(Duration::from_secs(1)).is_empty());
    python.tell("go\n");
    assert_eq!(python.hear(), "loaded");
    registry.look_again(python.pid());
    let decisions = registry.tick(Duration::from_secs(1));
    assert!(
        matches!(decisions.as_slice(), [Decision::Changed(watched)] if watched.process.tls.len() == 1),
        "{decisions:?}"
    );
}

#[test]
fn cpu_and_memory_of_a_busy_process_are_measured() {
    let Some(path) = interpreters("3.11").pop() else { return println!("skipped: no Python 3.11") };
    let script = "data = bytearray(64 << 20)\nimport threading\n\
        def burn():\n while True: pass\nthreading.Thread(target=burn, daemon=True).start()";
    let python = Python::run(&path, script, "len(data)");
    let mut sampler = Sampler::default();
    let began = std::time::Instant::now();
    let first = sampler.sample([python.pid()], began.elapsed());
    assert!(first[0].mem_mb > 64.0 && first[0].cpu_pct.is_none(), "{first:?}");
    // How much it gets is the machine's business; that it gets some is not.
    python::until("it has used the CPU", || {
        sampler.sample([python.pid()], began.elapsed()).iter().any(|sample| sample.cpu_pct > Some(1.0))
    });
}

/// Says that its arguments are 64 MiB of its memory, as any process may, and maps files of odd names.
const SAYS_MUCH: &str = r"
import ctypes, mmap, os, tempfile
directory = tempfile.mkdtemp().encode()
for name in b'caf\xe9.dat', b'a\nb':
    with open(os.path.join(directory, name), 'wb+') as file:
        file.write(b'x')
        file.flush()
        globals()[repr(name)] = mmap.mmap(file.fileno(), 1)
    os.remove(os.path.join(directory, name))
os.rmdir(directory)
room = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
room.write(b'x' * (len(room) - 1))
start = ctypes.addressof(ctypes.c_char.from_buffer(room))
text = open('/proc/self/stat').read().rsplit(')', 1)[1].split()
code, end, stack, data, data_end, brk = [int(text[field - 3]) for field in (26, 27, 28, 45, 46, 47)]
words = [code, end, data, data_end, brk, brk, stack] + [start, start + len(room)] * 2 + [0, 0xffffffff << 32]
# PR_SET_MM, PR_SET_MM_MAP (prctl(2)): struct prctl_mm_map
done = ctypes.CDLL(None).prctl(35, 14, (ctypes.c_uint64 * len(words))(*words), 8 * len(words), 0)
";

#[test]
fn a_process_is_seen_whatever_it_says_of_itself_and_takes_no_memory_for_it() {
    with_each(|_, path| {
        let python = Python::run(&path, SAYS_MUCH, "done");
        assert_eq!(python.said(), "0", "prctl(2) is refused");
        let seen = Procfs::default().inspect(python.pid()).unwrap();
        let said: usize = seen.naming.cmdline.iter().map(|argument| argument.len() + 1).sum();
        assert!((1..1 << 20).contains(&said), "{said}");
        assert!(seen.runtime.is_some());
    });
}
