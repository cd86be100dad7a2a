//! Modules of a package that the application finds by looking for them (`pkgutil.iter_modules`), and modules that it imports by
//! a name that it puts together.

use std::path::PathBuf;

use super::{Interp, data};
use crate::limits::MAX_ITEMS;
use crate::value::{Args, Kind, Value};

/// `pkgutil.iter_modules(paths, prefix)`: `ModuleInfo`s, each a tuple with names. `None` where a path is not of the tree.
pub(super) fn iter_modules<'a>(interp: &mut Interp<'a>, args: &Args<'a>) -> Option<Value<'a>> {
    let prefix = args.get(1, "prefix").map_or(Some("".into()), |prefix| prefix.as_str())?;
    let mut found = Vec::new();
    for path in interp.iterate(&args.get(0, "path")?)? {
        let folder = folder(&path)?;
        for (name, is_package) in interp.sources.tree.modules_in(&folder).into_iter().take(MAX_ITEMS) {
            let name = Value::str(format!("{prefix}{name}"));
            let items = vec![Value::None, name.clone(), Value::Bool(is_package)];
            let object = interp.object(None, Kind::Plain, args.site);
            let attrs =
                [("name", name), ("ispkg", Value::Bool(is_package)), ("__items__", Value::tuple(items))];
            object.attrs.borrow_mut().extend(attrs.map(|(name, value)| (name.into(), value)));
            found.push(Value::Object(object));
        }
    }
    Some(Value::list(found))
}

/// A folder of the tree, from an item of a package's `__path__` or from a path that starts at `__file__`.
fn folder(path: &Value<'_>) -> Option<PathBuf> {
    match path {
        Value::Module(package) => Some(package.folder.clone()),
        Value::Str(text) => data::relative(text),
        _ => None,
    }
}

/// `importlib.import_module(name, package)`
pub(super) fn import_module<'a>(interp: &mut Interp<'a>, args: &Args<'a>) -> Value<'a> {
    let Some(name) = args.get(0, "name").and_then(|name| name.as_str()) else { return Value::Unknown };
    let dotted = match name.strip_prefix('.') {
        None => name,
        Some(rest) if !rest.starts_with('.') => match args.get(1, "package").and_then(|name| name.as_str()) {
            Some(package) => format!("{package}.{rest}").into(),
            None => return Value::Unknown,
        },
        Some(_) => return Value::Unknown,
    };
    match interp.module_named(args.site.file, &dotted) {
        Some(module) => Value::Module(module),
        None => Value::External(dotted),
    }
}
