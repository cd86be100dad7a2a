//! What the memory and the files of watched interpreters tell of running code: names, lines, source, classes, values.
//!
//! The probes send addresses, as that is cheap; what they stand for is read here, once, and remembered.

mod own;
mod source;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use apm_agent_ebpf::RaisedFrame;
use apm_core::python::lines::line_of;
use apm_core::python::place::{Place, place};
use apm_core::python::traceback::Frame;

use crate::process::PythonProcess;
use crate::process::cpython::objects::{Class, Code, ObjectLayout, Objects};
use source::Sources;

/// Code objects and classes remembered per process; past that, all are read anew.
const OBJECTS_MAX: usize = 16_384;

/// A code object: where, the place of its name, its first line.
type CodeKey = (u64, u64, u32);

/// Interpreters that can be looked into, by pid.
#[derive(Default)]
pub struct Interpreters(HashMap<u32, Interpreter>);

impl Interpreters {
    /// Looks into a process from now on. `None` where the layout of its version is not known.
    ///
    /// # Errors
    /// Its memory cannot be read; in words for the user.
    pub fn open(&mut self, process: &PythonProcess) -> Result<Option<&'static ObjectLayout>, String> {
        let pid = process.id.pid;
        let Some(layout) = process.version.and_then(ObjectLayout::of) else { return Ok(None) };
        let objects =
            Objects::open(pid, layout).map_err(|error| format!("its memory cannot be read: {error}"))?;
        // What a worker runs is not in its command line.
        let from_parent = || self.0.get(&process.parent)?.own.clone();
        let interpreter = Interpreter {
            own: own::package(process).or_else(from_parent),
            minor: layout.minor,
            objects,
            codes: HashMap::new(),
            variables: HashMap::new(),
            classes: HashMap::new(),
            sources: Sources::new(pid),
        };
        self.0.insert(pid, interpreter);
        Ok(Some(layout))
    }

    /// Is it looked into?
    pub fn knows(&self, pid: u32) -> bool {
        self.0.contains_key(&pid)
    }

    /// One of them.
    pub fn get(&mut self, pid: u32) -> Option<&mut Interpreter> {
        self.0.get_mut(&pid)
    }

    /// The process is gone, or runs another program.
    pub fn process_gone(&mut self, pid: u32) {
        self.0.remove(&pid);
    }
}

/// What is known of an interpreter.
pub struct Interpreter {
    /// The package, or module, that it runs, as far as its command line tells.
    own: Option<Arc<str>>,
    minor: u8,
    objects: Objects,
    codes: HashMap<CodeKey, Arc<Names>>,
    /// Names of variables by code object.
    variables: HashMap<CodeKey, Arc<[String]>>,
    classes: HashMap<u64, Arc<Class>>,
    sources: Sources,
}

/// A code object, its names ready to be shared.
pub struct Names {
    /// `co_filename`
    pub file: Arc<str>,
    /// `co_name`
    pub name: Arc<str>,
    /// `co_qualname` where the version has it, else `co_name`.
    pub qualified: Arc<str>,
    /// Where the process has the file's name.
    file_at: Option<u64>,
    code: Code,
}

impl Interpreter {
    /// Whose code it is.
    pub fn place(&self, code: &Names) -> Place {
        place(&code.file, &code.name, self.own.as_deref())
    }

    /// The frame, with what is missing of it. While the kernel moves a page (compaction), a probe cannot read it, and sends
    /// zeros for what it holds of the code object; a moment later it is there, and still that of the frame.
    pub fn completed(&self, frame: &RaisedFrame) -> RaisedFrame {
        let missing = (frame.name == 0).then(|| self.objects.identity(frame.code)).flatten();
        missing.map_or(*frame, |(name, first_line)| RaisedFrame { name, first_line, ..*frame })
    }

    /// What a frame runs, with the line and its source. `None` where its code object is gone.
    pub fn frame(&mut self, frame: &RaisedFrame) -> Option<Frame> {
        let frame = &self.completed(frame);
        let names = self.names(frame)?;
        let line = self.line(&names, frame);
        Some(Frame {
            of_application: self.place(&names) == Place::Application,
            source: line.and_then(|line| self.sources.line(&names.file, line)),
            file: Arc::clone(&names.file),
            name: Arc::clone(&names.name),
            qualified: Arc::clone(&names.qualified),
            line,
        })
    }

    /// What a frame runs.
    pub fn names(&mut self, frame: &RaisedFrame) -> Option<Arc<Names>> {
        let key: CodeKey = (frame.code, frame.name, frame.first_line);
        let file_at = self.objects.file_of(frame.code);
        let known = self.codes.get(&key).map(Arc::clone);
        if let Some(known) = &known
            && known.file_at == file_at
        {
            return Some(Arc::clone(known));
        }
        // One of the same name and line may have taken the place of another, as modules that are put together at run time do; or
        // it is gone: then it is the one that was known.
        let Some(code) = self.objects.code(key.0, key.1, key.2) else { return known };
        self.variables.remove(&key);
        let names = Arc::new(Names {
            file: code.file.as_str().into(),
            name: code.name.as_str().into(),
            qualified: code.qualified.as_str().into(),
            file_at,
            code,
        });
        if self.codes.len() >= OBJECTS_MAX {
            self.codes.clear();
        }
        self.codes.insert(key, Arc::clone(&names));
        Some(names)
    }

    /// Names of the variables of what a frame runs, in the order in which it holds them.
    pub fn variables(&mut self, frame: &RaisedFrame) -> Option<Arc<[String]>> {
        let frame = &self.completed(frame);
        let key: CodeKey = (frame.code, frame.name, frame.first_line);
        if let Some(known) = self.variables.get(&key) {
            return Some(Arc::clone(known));
        }
        // Is it still that code object?
        self.names(frame)?;
        let names: Arc<[String]> = self.objects.variables(frame.code)?.into();
        if self.variables.len() >= OBJECTS_MAX {
            self.variables.clear();
        }
        self.variables.insert(key, Arc::clone(&names));
        Some(names)
    }

    /// The line that a frame is in; `None` where the code object has none for the instruction.
    pub fn line(&self, names: &Names, frame: &RaisedFrame) -> Option<u32> {
        match u32::try_from(frame.line) {
            Ok(line @ 1..) => Some(line),
            _ => line_of(self.minor, &names.code.lines, frame.first_line, u32::try_from(frame.lasti).ok()?),
        }
    }

    /// The class at an address.
    pub fn class(&mut self, address: u64) -> Option<Arc<Class>> {
        if let Some(known) = self.classes.get(&address) {
            return Some(Arc::clone(known));
        }
        let class = Arc::new(self.objects.class(address)?);
        if self.classes.len() >= OBJECTS_MAX {
            self.classes.clear();
        }
        self.classes.insert(address, Arc::clone(&class));
        Some(class)
    }
}
