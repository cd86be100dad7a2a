//! Django's settings, as code reads them: `from django.conf import settings`.

use std::path::Path;
use std::rc::Rc;

use super::Interp;
use crate::value::{Module, Value};

/// What `django.conf.settings` is called here.
const SETTINGS: &str = "django.conf.settings";

impl<'a> Interp<'a> {
    /// An attribute of something external that is one of the settings: their value where all the settings that the process
    /// may run with agree on it. `None` where none of them names it.
    pub(super) fn setting(&mut self, of: &str, name: &str) -> Option<Value<'a>> {
        if of != SETTINGS {
            return None;
        }
        let modules = self.settings_modules();
        let mut values = modules.iter().filter_map(|module| module.scope.get(name));
        let first = values.next()?;
        let is_agreed = values.all(|value| value.equals(&first) == Some(true));
        Some(if is_agreed { self.settled(first) } else { Value::Unknown })
    }

    /// Is this a setting that no settings of the tree name?
    pub(super) fn is_missing_setting(&mut self, value: &Value<'a>) -> bool {
        let Value::External(dotted) = value else { return false };
        let name = dotted.strip_prefix(SETTINGS).and_then(|rest| rest.strip_prefix('.'));
        name.is_some_and(|name| !name.contains('.')) && !self.settings_modules().is_empty()
    }

    /// The module that `DJANGO_SETTINGS_MODULE` names, else all that may be meant.
    fn settings_modules(&mut self) -> Vec<Rc<Module<'a>>> {
        if let Some(known) = &self.settings {
            return known.clone();
        }
        // What the settings import may ask for settings.
        self.settings = Some(Vec::new());
        let named = self.options.environment.as_ref().and_then(|known| known.get("DJANGO_SETTINGS_MODULE"));
        let named = named.cloned().flatten().and_then(|dotted| self.module_named(0, &dotted));
        let modules = match named {
            Some(module) => vec![module],
            None => self.settings_files().into_iter().map(|file| self.module(file)).collect(),
        };
        self.settings = Some(modules.clone());
        modules
    }

    /// Files that name the root of the URLs, and those beside them in a package of settings (`settings/production.py`).
    fn settings_files(&mut self) -> Vec<usize> {
        let tree = self.sources.tree;
        let candidates: Vec<_> = (0..tree.len()).filter(|&file| !tree.is_test(file)).collect();
        let (own, others): (Vec<_>, Vec<_>) = candidates
            .into_iter()
            .partition(|&file| self.sources.mentions(file, &mut self.counters).settings);
        let is_package = |folder: &Path| folder.file_name().is_some_and(|name| name == "settings");
        let is_beside = |file: &usize| {
            let folder = tree.package_folder(*file);
            is_package(folder)
                && !tree.is_package(*file)
                && own.iter().any(|own| tree.package_folder(*own) == folder)
        };
        let beside: Vec<_> = others.into_iter().filter(is_beside).collect();
        own.into_iter().chain(beside).collect()
    }
}
