//! Built-in functions, and the methods of strings, lists and dictionaries, as far as paths are put together with them.

use std::rc::Rc;

use super::expr::display;
use super::{Interp, data, submodules};
use crate::limits::{MAX_ITEMS, MAX_STRING};
use crate::value::{Args, Kind, Value};

/// Calls a function of the standard library; `None` where its meaning is not needed here.
pub(super) fn builtin<'a>(interp: &mut Interp<'a>, name: &str, args: &Args<'a>) -> Option<Value<'a>> {
    let first = || args.positional.first().cloned().unwrap_or_default();
    Some(match name {
        "builtins.str"
        | "django.utils.translation.gettext_lazy"
        | "django.utils.translation.gettext"
        | "django.utils.translation.ugettext_lazy"
        | "markupsafe.Markup" => display(&first()).map_or(Value::Unknown, Value::str),
        "builtins.list" | "builtins.set" | "builtins.sorted" | "builtins.frozenset" | "builtins.reversed" => {
            match args.positional.first() {
                None => Value::list(Vec::new()),
                Some(value) => {
                    let Some(mut items) = interp.iterate(value) else { return Some(Value::Unknown) };
                    if name == "builtins.reversed" {
                        items.reverse();
                    }
                    if name == "builtins.sorted" && items.iter().all(|item| item.as_str().is_some()) {
                        items.sort_by_key(Value::as_str);
                    }
                    Value::list(items)
                }
            }
        }
        "builtins.tuple" => interp.iterate(&first()).map_or(Value::Unknown, Value::tuple),
        "builtins.dict" => {
            let mut items = match args.positional.first() {
                Some(Value::Dict(dict)) => dict.borrow().clone(),
                _ => Vec::new(),
            };
            items.extend(args.named.iter().map(|(name, value)| (Value::Str(name.clone()), value.clone())));
            Value::Dict(Rc::new(items.into()))
        }
        "builtins.len" => match first() {
            Value::Str(text) => i64::try_from(text.chars().count()).map_or(Value::Unknown, Value::Int),
            value => {
                value.items().and_then(|i| i64::try_from(i.len()).ok()).map_or(Value::Unknown, Value::Int)
            }
        },
        "builtins.enumerate" => {
            let items = interp.iterate(&first())?;
            let pair = |(index, item)| {
                Value::tuple(vec![i64::try_from(index).map_or(Value::Unknown, Value::Int), item])
            };
            Value::list(items.into_iter().enumerate().map(pair).collect())
        }
        "builtins.range" => {
            let bounds: Vec<i64> = args
                .positional
                .iter()
                .map_while(|arg| if let Value::Int(n) = arg { Some(*n) } else { None })
                .collect();
            let (from, to) = match bounds[..] {
                [to] => (0, to),
                [from, to] => (from, to),
                _ => return Some(Value::Unknown),
            };
            Value::list((from..to).take(MAX_ITEMS).map(Value::Int).collect())
        }
        "builtins.zip" => {
            let columns: Option<Vec<_>> = args.positional.iter().map(|arg| interp.iterate(arg)).collect();
            let Some(columns) = columns else { return Some(Value::Unknown) };
            let rows = columns.iter().map(Vec::len).min().unwrap_or(0);
            Value::list(
                (0..rows).map(|row| Value::tuple(columns.iter().map(|c| c[row].clone()).collect())).collect(),
            )
        }
        "builtins.getattr" => {
            let Some(name) = args.positional.get(1).and_then(Value::as_str) else {
                return Some(Value::Unknown);
            };
            match interp.attr(&first(), &name) {
                Value::Unknown => args.positional.get(2).cloned().unwrap_or_default(),
                found if interp.is_missing_setting(&found) => {
                    args.positional.get(2).cloned().unwrap_or_default()
                }
                found => found,
            }
        }
        "builtins.setattr" => {
            if let (Value::Object(object), Some(Value::Str(name)), Some(value)) =
                (first(), args.positional.get(1), args.positional.get(2))
            {
                object.attrs.borrow_mut().insert(name.clone(), value.clone());
            }
            Value::None
        }
        "builtins.print" => Value::None,
        "builtins.isinstance"
        | "builtins.hasattr"
        | "builtins.callable"
        | "builtins.issubclass"
        | "builtins.any"
        | "builtins.all" => Value::Unknown,
        "os.getenv" | "os.environ.get" => match args.positional.first().and_then(Value::as_str) {
            Some(variable) => {
                let default = args.get(1, "default");
                interp.environment(&variable, default)
            }
            None => Value::Unknown,
        },
        "importlib.import_module" => submodules::import_module(interp, args),
        "pkgutil.iter_modules" | "pkgutil.walk_packages" => {
            submodules::iter_modules(interp, args).unwrap_or_default()
        }
        "functools.partial" => {
            let kind = Kind::Partial { function: first(), args: args.rest() };
            Value::Object(interp.object(None, kind, args.site))
        }
        "functools.wraps" | "functools.update_wrapper" => Value::External("builtins.identity".into()),
        "builtins.identity" | "builtins.iter" | "typing.cast" | "functools.lru_cache" | "functools.cache" => {
            args.positional.last().cloned().unwrap_or_else(|| Value::External("builtins.identity".into()))
        }
        "pydantic.Field" | "dataclasses.field" => args.get(0, "default").unwrap_or_default(),
        "itertools.chain" => {
            let lists: Vec<_> =
                args.positional.iter().filter_map(|arg| interp.iterate(arg)).flatten().collect();
            Value::list(lists)
        }
        "pathlib.Path" | "pathlib.PurePath" | "pathlib.PosixPath" | "os.path.join" | "posixpath.join" => {
            data::join(&args.positional)
        }
        "os.path.abspath" | "os.path.realpath" | "os.path.normpath" | "os.fspath" => first(),
        "os.listdir" => submodules::listdir(interp, args),
        "glob.glob" | "glob.iglob" => {
            match first().as_str().as_deref().and_then(|path| path.rsplit_once('/')) {
                Some((folder, pattern)) => submodules::glob(interp, folder, pattern),
                None => Value::Unknown,
            }
        }
        "os.path.basename" => first().as_str().map_or(Value::Unknown, |path| data::basename(&path)),
        "os.path.splitext" => first().as_str().map_or(Value::Unknown, |path| {
            let (stem, suffix) = data::split_suffix(&path);
            Value::tuple(vec![Value::str(stem), Value::str(suffix)])
        }),
        "os.path.dirname" => first().as_str().map_or(Value::Unknown, |path| data::dirname(&path)),
        "builtins.open" | "io.open" => data::open(interp, &first(), args),
        "json.load" => data::content(interp, &first()).map_or(Value::Unknown, |text| data::from_json(&text)),
        "json.loads" => first().as_str().map_or(Value::Unknown, |text| data::from_json(&text)),
        "urllib.parse.urljoin" => Value::Unknown,
        _ => return None,
    })
}

/// Calls a method of a string, list or dictionary.
pub(super) fn method<'a>(
    interp: &mut Interp<'a>,
    object: &Value<'a>,
    name: &str,
    args: &Args<'a>,
) -> Value<'a> {
    match object {
        Value::Str(text) => match data::method(interp, text, name, args) {
            Some(value) => value,
            None => string_method(interp, text, name, args),
        },
        Value::Object(_) if name == "read" => {
            data::content(interp, object).map_or(Value::Unknown, Value::str)
        }
        Value::Seq(seq) => {
            let value = args.positional.first().cloned().unwrap_or_default();
            let more = if name == "extend" { interp.iterate(&value).unwrap_or_default() } else { Vec::new() };
            let mut items = seq.items.borrow_mut();
            let room = MAX_ITEMS.saturating_sub(items.len());
            match name {
                "append" | "add" if room > 0 => items.push(value),
                "extend" | "update" => items.extend(more.into_iter().take(room)),
                "insert" if room > 0 => {
                    let at = match value {
                        Value::Int(at) => usize::try_from(at).unwrap_or(0).min(items.len()),
                        _ => items.len(),
                    };
                    items.insert(at, args.positional.get(1).cloned().unwrap_or_default());
                }
                "copy" => return Value::list(items.clone()),
                "pop" if args.positional.is_empty() => return items.pop().unwrap_or_default(),
                _ => return Value::Unknown,
            }
            Value::None
        }
        Value::Dict(dict) => match name {
            "items" => Value::list(
                dict.borrow().iter().map(|(k, v)| Value::tuple(vec![k.clone(), v.clone()])).collect(),
            ),
            "keys" => Value::list(dict.borrow().iter().map(|(key, _)| key.clone()).collect()),
            "values" => Value::list(dict.borrow().iter().map(|(_, value)| value.clone()).collect()),
            "get" => match interp.item(object, &args.positional.first().cloned().unwrap_or_default()) {
                Value::Unknown => args.get(1, "default").unwrap_or_default(),
                found => found,
            },
            "update" => {
                if let Some(Value::Dict(other)) = args.positional.first()
                    && !Rc::ptr_eq(dict, other)
                {
                    let more = other.borrow().clone();
                    for (key, value) in more {
                        interp.set_item(object, key, value);
                    }
                }
                for (name, value) in &args.named {
                    interp.set_item(object, Value::Str(name.clone()), value.clone());
                }
                Value::None
            }
            "copy" => Value::Dict(Rc::new(dict.borrow().clone().into())),
            _ => Value::Unknown,
        },
        _ => Value::Unknown,
    }
}

fn string_method<'a>(interp: &mut Interp<'a>, text: &Rc<str>, name: &str, args: &Args<'a>) -> Value<'a> {
    let argument = args.positional.first().and_then(Value::as_str);
    let of = |result: &str| Value::str(result);
    let strip = |c: char| argument.as_deref().map_or(c.is_whitespace(), |set| set.contains(c));
    match name {
        "strip" => of(text.trim_matches(strip)),
        "lstrip" => of(text.trim_start_matches(strip)),
        "rstrip" => of(text.trim_end_matches(strip)),
        "lower" => of(&text.to_lowercase()),
        "upper" => of(&text.to_uppercase()),
        "title" | "capitalize" => Value::Unknown,
        "removeprefix" => {
            argument.map_or(Value::Unknown, |prefix| of(text.strip_prefix(&*prefix).unwrap_or(text)))
        }
        "removesuffix" => {
            argument.map_or(Value::Unknown, |suffix| of(text.strip_suffix(&*suffix).unwrap_or(text)))
        }
        "startswith" => argument.map_or(Value::Unknown, |prefix| Value::Bool(text.starts_with(&*prefix))),
        "endswith" => argument.map_or(Value::Unknown, |suffix| Value::Bool(text.ends_with(&*suffix))),
        "replace" => match (argument, args.positional.get(1).and_then(Value::as_str)) {
            (Some(from), Some(to)) if text.len() * to.len().max(1) <= MAX_STRING => {
                of(&text.replace(&*from, &to))
            }
            _ => Value::Unknown,
        },
        "split" => match argument {
            Some(by) if !by.is_empty() => Value::list(text.split(&*by).take(MAX_ITEMS).map(of).collect()),
            None if args.positional.is_empty() => Value::list(text.split_whitespace().map(of).collect()),
            _ => Value::Unknown,
        },
        "join" => {
            let items = args.positional.first().and_then(|items| interp.iterate(items));
            match items.map(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>()) {
                Some(Some(parts))
                    if parts.iter().map(|p| p.len() + text.len()).sum::<usize>() <= MAX_STRING =>
                {
                    of(&parts.join(&**text))
                }
                _ => Value::Unknown,
            }
        }
        "format" => format(text, args),
        _ => Value::Unknown,
    }
}

/// `"...".format(...)` with plain fields only.
fn format<'a>(text: &str, args: &Args<'a>) -> Value<'a> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let tail = &rest[at..];
        if tail.starts_with("{{") || tail.starts_with("}}") {
            out.push_str(&tail[..1]);
            rest = &tail[2..];
            continue;
        }
        let Some(end) = tail.find('}').filter(|_| tail.starts_with('{')) else { return Value::Unknown };
        let field = &tail[1..end];
        let value = if field.is_empty() {
            next += 1;
            args.positional.get(next - 1).cloned()
        } else if let Ok(index) = field.parse::<usize>() {
            args.positional.get(index).cloned()
        } else {
            args.named(field)
        };
        match value.as_ref().and_then(display) {
            Some(shown) if out.len() + shown.len() <= MAX_STRING => out.push_str(&shown),
            _ => return Value::Unknown,
        }
        rest = &tail[end + 1..];
    }
    out.push_str(rest);
    Value::str(out)
}

/// `"..." % values` with `%s` and `%d` only.
pub(super) fn percent<'a>(text: &str, right: &Value<'a>) -> Value<'a> {
    let values = match right {
        Value::Seq(seq) if seq.is_tuple => seq.items.borrow().clone(),
        one => vec![one.clone()],
    };
    let mut values = values.iter();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        match tail.as_bytes().first() {
            Some(b's' | b'd') => match values.next().and_then(display) {
                Some(shown) if out.len() + shown.len() <= MAX_STRING => out.push_str(&shown),
                _ => return Value::Unknown,
            },
            Some(b'%') => out.push('%'),
            _ => return Value::Unknown,
        }
        rest = &tail[1..];
    }
    out.push_str(rest);
    Value::str(out)
}
