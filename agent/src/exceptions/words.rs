//! One event put into words.

use apm_agent_ebpf::{ARGUMENTS_MAX, Raised as Event, raised_flags, relation};
use apm_core::loss::{Loss, Losses};
use apm_core::python::message::{Wording, message};
use apm_core::python::redact;
use apm_core::python::traceback::{Exception, Relation};
use apm_core::python::value::Value;

use crate::python::Interpreter;

pub(super) fn exception(interpreter: &mut Interpreter, event: &Event, losses: &mut Losses) -> Exception {
    let class = interpreter.class(event.ty);
    let known = event.arguments.min(ARGUMENTS_MAX as u64) as usize;
    let values: Vec<_> = event.values[..known].iter().map(|value| interpreter.value(value)).collect();
    let is = |name| class.as_ref().is_some_and(|class| class.is(name));
    let wording = if is("KeyError") {
        Wording::Key
    } else if is("OSError") {
        let filename = &event.values[ARGUMENTS_MAX];
        let has =
            filename.ty != 0 && interpreter.class(filename.ty).is_some_and(|class| !class.is("NoneType"));
        Wording::Os { filename: has.then(|| interpreter.value(filename)) }
    } else if is("BaseExceptionGroup") {
        let held = &event.values[1];
        let is_counted =
            interpreter.class(held.ty).is_some_and(|class| class.is("list") || class.is("tuple"));
        // `PyVarObject.ob_size`
        Wording::Group { members: is_counted.then_some(held.words[0]) }
    } else {
        Wording::Plain
    };
    if class.is_none() {
        losses.add(Loss::ExceptionsUnread, 1);
    }
    let count = usize::try_from(event.frames).unwrap_or(0).min(event.traceback.len());
    let mut frames = Vec::with_capacity(count);
    for frame in &event.traceback[..count] {
        match interpreter.frame(frame) {
            Some(frame) => frames.push(frame),
            None => losses.add(Loss::FramesUnread, 1),
        }
    }
    Exception {
        class: class.map_or_else(|| "<unknown exception>".to_owned(), |class| class.name.clone()),
        message: message(&wording, &values, event.arguments),
        frames,
        cut: event.flags & raised_flags::CUT != 0,
        relation: match event.relation {
            relation::CAUSE => Some(Relation::Cause),
            relation::CONTEXT => Some(Relation::Context),
            _ => None,
        },
    }
}

/// Variables of the function that raised an exception, as a JSON object. What is secret goes no further than this.
pub(super) fn locals(interpreter: &mut Interpreter, event: &Event) -> Option<String> {
    let count = usize::try_from(event.locals_count).unwrap_or(0).min(event.locals.len());
    let innermost = event.traceback.get(usize::try_from(event.frames).ok()?.checked_sub(1)?)?;
    if count == 0 {
        return None;
    }
    let names = interpreter.variables(innermost)?;
    let mut shown = serde_json::Map::new();
    for (name, read) in names.iter().zip(&event.locals[..count]) {
        let value = interpreter.local(read);
        if value != Value::Unbound {
            shown.insert(name.clone(), redact::shown(name, &value).into());
        }
    }
    (!shown.is_empty()).then(|| serde_json::Value::Object(shown).to_string())
}
