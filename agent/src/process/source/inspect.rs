//! Looking at one process.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use procfs::ProcError;
use procfs::process::Process;

use super::mappings::{Mapping, mappings};
use super::{Unseen, as_seen_within, base_name, cmdline, environ, is_ours, without_deleted_mark};
use crate::process::elf::{ElfCache, is_python_name, version_in_name};
use crate::process::identity::ProcessId;
use crate::process::mapped::{MappedFile, tls_libraries};
use crate::process::patience::FileSystems;
use crate::process::python::{Container, Implementation, NotPython, PythonProcess, PythonRuntime};
use crate::process::service::{NamingFacts, container_id, otel_resource_service};

pub(super) fn inspect(
    elf: &ElfCache,
    file_systems: &FileSystems,
    pid: u32,
) -> Result<PythonProcess, NotPython> {
    let gone = |error: ProcError| match error {
        ProcError::PermissionDenied(_) => NotPython::NotPermitted(pid),
        error if Unseen::from(&error) == Unseen::Unknown => NotPython::Unknown(pid, error.to_string()),
        _ => NotPython::NoSuchProcess(pid),
    };
    let number = i32::try_from(pid).map_err(|_| NotPython::NoSuchProcess(pid))?;
    let process = Process::new(number).map_err(gone)?;
    let stat = process.stat().map_err(gone)?;
    if matches!(stat.state, 'Z' | 'X' | 'x') {
        return Err(NotPython::Zombie(pid));
    }
    let link = PathBuf::from(format!("/proc/{pid}/exe"));
    let (exe, _) = match std::fs::read_link(&link) {
        Ok(path) => without_deleted_mark(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(NotPython::NotPermitted(pid));
        }
        Err(error) if is_ours(&error) => return Err(NotPython::Unknown(pid, error.to_string())),
        // proc_pid_exe(5): kernel threads have none.
        Err(_) => return Err(NotPython::KernelThread(pid, stat.comm)),
    };
    let exe_name = base_name(&exe);
    let mappings = mappings(pid).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => NotPython::NotPermitted(pid),
        _ if is_ours(&error) => NotPython::Unknown(pid, error.to_string()),
        _ => NotPython::NoSuchProcess(pid),
    })?;
    if let Some(silent) = silent(file_systems, &mappings, pid) {
        let reason = format!("the file system of {} does not answer", silent.display());
        return Err(NotPython::Unknown(pid, reason));
    }
    // An executable with an interpreter linked in may have any name.
    let exe_is_python = is_python_name(&exe_name) || elf.holds_python(&link);
    let other = || NotPython::OtherProgram(pid, exe.display().to_string());
    if !exe_is_python && !mappings.iter().any(Mapping::may_be_libpython) {
        return Err(other());
    }
    let mut files: Vec<MappedFile> = Vec::new();
    for mapping in &mappings {
        let access = if mapping.path == exe { Some(link.clone()) } else { mapping.access(pid) };
        let Some(access) = access else { continue };
        match elf.facts(&access, &base_name(&mapping.path)) {
            Ok((key, facts)) => files.extend(facts.and_then(|facts| mapping.file(access, key, facts))),
            // Without it the process would look like one that has let go of its library.
            Err(error) if is_ours(&error) => return Err(NotPython::Unknown(pid, error.to_string())),
            Err(_) => {}
        }
    }
    // An interpreter linked into the executable is the one that runs, whatever extensions bring along.
    let holder = files.iter().filter(|file| file.facts.python.is_some()).min_by_key(|file| file.path != exe);
    let build = holder.and_then(|file| file.facts.python.as_ref());
    if build.is_none() && !exe_is_python {
        // A library of that name that holds no interpreter: libpython3.so only forwards.
        return Err(other());
    }
    let named = match exe_name.as_str() {
        name if name.starts_with("pypy") => Implementation::PyPy,
        name if name.starts_with("graalpy") => Implementation::GraalPy,
        _ => Implementation::CPython,
    };
    let control_group = control_group(&process);
    let version = build.and_then(|build| build.version).or_else(|| version_in_name(&exe_name));
    Ok(PythonProcess {
        id: ProcessId { pid, start: stat.starttime },
        parent: u32::try_from(stat.ppid).unwrap_or(0),
        implementation: build.map_or(named, |build| build.implementation),
        version,
        runtime: holder.zip(build).map(|(file, build)| PythonRuntime {
            file: file.clone(),
            runtime_address: build.runtime.map(|address| address.wrapping_add(file.load_bias)),
        }),
        tls: tls_libraries(&files),
        libc: files.iter().find(|file| file.facts.name_lookup.is_some()).cloned(),
        sends_in_tasks: version.is_some_and(|v| (v.major, v.minor) < (3, 12))
            && mappings.iter().any(|mapping| is_aiohttp(&mapping.path)),
        container: container(pid, &control_group),
        naming: naming(&process, pid, control_group),
        exe,
    })
}

/// A file of the process's on a file system that does not answer, if there is one. One of each file system is asked for.
fn silent<'a>(file_systems: &FileSystems, mappings: &'a [Mapping], pid: u32) -> Option<&'a Path> {
    let mut asked = BTreeSet::new();
    let mut of_each = mappings.iter().filter(|mapping| asked.insert(mapping.device));
    of_each
        .find(|mapping| !file_systems.answers(mapping.device, mapping.by_mapping(pid), &mapping.path))
        .map(|mapping| mapping.path.as_path())
}

/// `aiohttp/_http_writer.cpython-311-x86_64-linux-gnu.so`: servers have it too.
fn is_aiohttp(library: &Path) -> bool {
    let is_in_package = library.parent().is_some_and(|directory| directory.ends_with("aiohttp"));
    is_in_package && base_name(library).starts_with("_http_writer.")
}

fn control_group(process: &Process) -> String {
    let Ok(groups) = process.cgroups() else { return String::new() };
    // cgroups(7): version 2's single hierarchy is number 0; on version 1 systemd has a hierarchy of its own.
    groups
        .into_iter()
        .filter(|group| group.hierarchy == 0 || group.controllers.iter().any(|name| name == "name=systemd"))
        .max_by_key(|group| group.pathname.len())
        .map(|group| group.pathname)
        .unwrap_or_default()
}

fn container(pid: u32, control_group: &str) -> Option<Container> {
    let namespace = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let apart = |kind: &str| {
        matches!(
            (namespace(&pid.to_string(), kind), namespace("self", kind)),
            (Some(its), Some(ours)) if its != ours
        )
    };
    let id = container_id(control_group);
    // A sandboxed unit (PrivateTmp= and the like) has mounts of its own too, but the machine's pid namespace.
    (apart("pid") || (id.is_some() && apart("mnt"))).then_some(Container { id })
}

fn naming(process: &Process, pid: u32, control_group: String) -> NamingFacts {
    // Only what names the service is taken out of the environment, which is full of secrets.
    let environment = environ(pid);
    let variable = |name: &str| {
        environment.split(|&byte| byte == 0).find_map(|entry| {
            let entry = std::str::from_utf8(entry).ok()?;
            entry.strip_prefix(name)?.strip_prefix('=').map(str::to_owned).filter(|value| !value.is_empty())
        })
    };
    NamingFacts {
        cmdline: cmdline(pid),
        cwd: process.cwd().ok().map(|cwd| as_seen_within(cwd, process.root().ok().as_deref())),
        home: variable("HOME").map(PathBuf::from),
        control_group,
        otel_service: variable("OTEL_SERVICE_NAME")
            .or_else(|| variable("OTEL_RESOURCE_ATTRIBUTES").and_then(|text| otel_resource_service(&text))),
        flask_app: variable("FLASK_APP"),
        django_settings: variable("DJANGO_SETTINGS_MODULE"),
        is_reloaded: variable("RUN_MAIN").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn process_with_files_on_a_file_system_that_does_not_answer_is_left_as_it_was() {
        let (elf, file_systems, own) = (ElfCache::default(), FileSystems::default(), std::process::id());
        let is_unknown = |file_systems: &FileSystems| matches!(inspect(&elf, file_systems, own), Err(NotPython::Unknown(pid, _)) if pid == own);
        assert!(!is_unknown(&file_systems));
        let mappings = mappings(own).unwrap();
        let program =
            mappings.iter().find(|mapping| mapping.path == std::env::current_exe().unwrap()).unwrap();
        let (release, held) = channel::<()>();
        let file_systems = FileSystems::default();
        assert!(!file_systems.answers_to(program.device, &program.path, move || _ = held.recv()));
        assert!(is_unknown(&file_systems));
        release.send(()).unwrap();
        while !file_systems.silent().is_empty() {
            std::thread::yield_now();
        }
        assert!(!is_unknown(&file_systems));
    }

    #[test]
    fn path_of_a_process_in_another_root_is_told_as_it_sees_it() {
        let seen = |path: &str, root: Option<&str>| as_seen_within(path.into(), root.map(Path::new));
        assert_eq!(seen("/srv/root/app/web", Some("/srv/root")), Path::new("/app/web"));
        assert_eq!(seen("/srv/root", Some("/srv/root")), Path::new("/"));
        assert_eq!(seen("/srv/rooted", Some("/srv/root")), Path::new("/srv/rooted"));
        assert_eq!(seen("/app", Some("/")), Path::new("/app"));
        assert_eq!(seen("/app", None), Path::new("/app"));
    }
}
