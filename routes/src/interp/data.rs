//! Files of the tree that the application reads as data: a table of routes kept in JSON beside the module.
//!
//! A path that starts from `__file__` is a text with [`ROOT`] before the path relative to the root. `pathlib.Path` is
//! that same text: joining and taking the parent is all that is done with it here. A text that begins with [`ROOT`] is
//! never a route.

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use serde_json::Value as Json;

use super::{Interp, submodules};
use crate::limits::{Counter, MAX_DATA_NESTING, MAX_ITEMS};
use crate::value::{Args, Kind, Value};

/// Stands for the root of the tree. No path of a file system and no route holds this character.
const ROOT: &str = "\0root";

/// `__file__` of a module.
pub(super) fn dunder_file<'a>(path: &str) -> Value<'a> {
    Value::str(format!("{ROOT}/{path}"))
}

/// Is the text a path of the tree rather than one of a request?
pub(crate) fn is_path(text: &str) -> bool {
    text.contains(ROOT)
}

/// An attribute of a path; `None` where the text is no path, or the attribute is a method.
pub(super) fn attr<'a>(text: &str, name: &str) -> Option<Value<'a>> {
    if !is_path(text) {
        return None;
    }
    match name {
        "parent" => Some(dirname(text)),
        "name" => Some(basename(text)),
        "stem" => Some(Value::str(split_suffix(text.rsplit('/').next().unwrap_or_default()).0)),
        "suffix" => Some(Value::str(split_suffix(text).1)),
        _ => None,
    }
}

/// `os.path.basename`
pub(super) fn basename<'a>(text: &str) -> Value<'a> {
    Value::str(text.rsplit('/').next().unwrap_or_default())
}

/// `os.path.splitext`: a name that begins with a dot has no suffix by that.
pub(super) fn split_suffix(text: &str) -> (&str, &str) {
    let name = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[name..].rfind('.') {
        Some(dot) if text[name..name + dot].contains(|c| c != '.') => text.split_at(name + dot),
        _ => (text, ""),
    }
}

/// `os.path.dirname`
pub(super) fn dirname<'a>(text: &str) -> Value<'a> {
    text.rsplit_once('/').map_or(Value::Unknown, |(parent, _)| Value::str(parent))
}

/// `os.path.join`, and `/` between paths. Unknown where a part is.
pub(super) fn join<'a>(parts: &[Value<'a>]) -> Value<'a> {
    let mut joined = String::new();
    for part in parts {
        let Some(part) = part.as_str() else { return Value::Unknown };
        if part.starts_with('/') || is_path(&part) || joined.is_empty() {
            joined = part.to_string();
        } else {
            if !joined.ends_with('/') {
                joined.push('/');
            }
            joined.push_str(&part);
        }
    }
    Value::str(joined)
}

/// A method of a path; `None` where the text is no path, or the method means nothing here.
pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    text: &str,
    name: &str,
    args: &Args<'a>,
) -> Option<Value<'a>> {
    if !is_path(text) {
        return None;
    }
    Some(match name {
        "resolve" | "absolute" | "as_posix" | "expanduser" => Value::str(text),
        "joinpath" => {
            let parts: Vec<_> =
                [Value::str(text)].into_iter().chain(args.positional.iter().cloned()).collect();
            join(&parts)
        }
        "with_name" => match (text.rsplit_once('/'), args.positional.first().and_then(Value::as_str)) {
            (Some((parent, _)), Some(name)) => Value::str(format!("{parent}/{name}")),
            _ => Value::Unknown,
        },
        "glob" => {
            let pattern = args.positional.first().and_then(Value::as_str);
            pattern.map_or(Value::Unknown, |pattern| submodules::glob(interp, text, &pattern))
        }
        "iterdir" => submodules::glob(interp, text, "*"),
        "open" => open(interp, &Value::str(text), args),
        "read_text" | "read_bytes" => interp.data(text).map_or(Value::Unknown, Value::str),
        _ => return None,
    })
}

/// An open file, as far as it can be read.
pub(super) fn open<'a>(interp: &mut Interp<'a>, path: &Value<'a>, args: &Args<'a>) -> Value<'a> {
    let args = Args { positional: vec![path.clone()], site: args.site, ..Args::default() };
    let site = args.site;
    Value::Object(interp.object(None, Kind::Opaque { callee: "builtins.open".into(), args }, site))
}

/// Content of an open file of the tree.
pub(super) fn content<'a>(interp: &mut Interp<'a>, file: &Value<'a>) -> Option<String> {
    let Value::Object(object) = file else { return None };
    let Kind::Opaque { callee, args } = &object.kind else { return None };
    if &**callee != "builtins.open" {
        return None;
    }
    let path = args.positional.first()?.as_str()?;
    interp.data(&path)
}

/// `json.loads`
pub(super) fn from_json<'a>(text: &str) -> Value<'a> {
    serde_json::from_str::<Json>(text).map_or(Value::Unknown, |json| converted(&json, 0))
}

fn converted<'a>(json: &Json, depth: u32) -> Value<'a> {
    if depth > MAX_DATA_NESTING {
        return Value::Unknown;
    }
    match json {
        Json::Null => Value::None,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number.as_i64().map_or(Value::Unknown, Value::Int),
        Json::String(text) => Value::str(text.as_str()),
        Json::Array(items) => {
            Value::list(items.iter().take(MAX_ITEMS).map(|item| converted(item, depth + 1)).collect())
        }
        Json::Object(fields) => {
            let field = |(name, value)| (Value::str(String::as_str(name)), converted(value, depth + 1));
            Value::Dict(Rc::new(fields.iter().take(MAX_ITEMS).map(field).collect::<Vec<_>>().into()))
        }
    }
}

impl Interp<'_> {
    /// Text of a file of the tree, given as a path that starts from `__file__`. Never one outside of the tree.
    fn data(&mut self, text: &str) -> Option<String> {
        let relative = relative(text)?;
        let found = self.sources.data(&relative)?;
        if self.data_files.insert(relative.to_string_lossy().into_owned()) {
            self.counters.add(Counter::DataFiles, 1);
        }
        Some(found)
    }
}

/// What a path of the tree is relative to its root; `None` where it leads out of that.
pub(super) fn relative(text: &str) -> Option<PathBuf> {
    normal(text.strip_prefix(ROOT)?)
}

/// A path relative to the root without `.` and `..`; `None` where it leads out of the root.
fn normal(path: &str) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => {
                if !normal.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return None,
        }
    }
    Some(normal)
}
