//! Programs that serve an application named by their arguments.

use super::NamingFacts;

/// A server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Launcher {
    /// `uvicorn shop.main:app`, and others whose application is an argument `module:attribute`.
    Asgi,
    /// Like the former; `module` alone will do, and `--name` names the service.
    Gunicorn,
    /// `flask --app shop run`
    Flask,
    /// `fastapi run shop/main.py`
    FastApi,
    /// `django-admin runserver --settings shop.settings`
    DjangoAdmin,
    /// `celery -A shop worker`
    Celery,
    /// `uwsgi --module shop.wsgi --http :8000`
    Uwsgi,
}

impl Launcher {
    pub(super) fn named(program: &str) -> Option<Self> {
        Some(match program {
            "uvicorn" | "hypercorn" | "granian" | "daphne" | "waitress-serve" | "waitress" | "meinheld"
            | "bjoern" | "robyn" | "litestar" | "sanic" | "aiohttp" => Self::Asgi,
            "gunicorn" | "gunicorn3" => Self::Gunicorn,
            "flask" => Self::Flask,
            "fastapi" => Self::FastApi,
            "django-admin" | "django" => Self::DjangoAdmin,
            "celery" => Self::Celery,
            "uwsgi" | "uwsgi-core" | "pyuwsgi" => Self::Uwsgi,
            _ => return None,
        })
    }

    /// What it serves: a module path, perhaps with `:attribute`, or a file.
    pub(super) fn app(self, arguments: &[String], facts: &NamingFacts) -> Option<String> {
        match self {
            Self::Asgi => spec(arguments)
                .or_else(|| option(arguments, &["--app"]))
                // aiohttp's and litestar's options, and a module alone where nothing better is there.
                .or_else(|| bare_module(arguments)),
            Self::Gunicorn => option(arguments, &["-n", "--name"])
                .or_else(|| spec(arguments))
                .or_else(|| bare_module(arguments)),
            Self::Flask => option(arguments, &["--app", "-A"]).or_else(|| facts.flask_app.clone()),
            Self::FastApi => arguments
                .iter()
                .find(|argument| argument.ends_with(".py"))
                .cloned()
                .or_else(|| option(arguments, &["-e", "--entrypoint"]))
                .or_else(|| option(arguments, &["--app"])),
            Self::DjangoAdmin => option(arguments, &["--settings"]).or_else(|| facts.django_settings.clone()),
            Self::Celery => option(arguments, &["-A", "--app"]),
            Self::Uwsgi => option(arguments, &["--module", "-w", "--wsgi-file", "--file"]),
        }
    }
}

/// Value of the first of the options `names`: `--name value`, `--name=value`, `-nvalue`.
pub(super) fn option(arguments: &[String], names: &[&str]) -> Option<String> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        names.iter().find_map(|name| {
            let rest = argument.strip_prefix(name)?;
            let value = match rest.strip_prefix('=') {
                Some(value) => value,
                None if rest.is_empty() => arguments.get(at + 1)?,
                None if !name.starts_with("--") => rest,
                None => return None,
            };
            (!value.is_empty()).then(|| value.to_owned())
        })
    })
}

/// The argument of the form `package.module:attribute`, wherever it stands.
fn spec(arguments: &[String]) -> Option<String> {
    positions(arguments).find(|argument| {
        argument.split_once(':').is_some_and(|(module, attribute)| {
            // `shop:create_app()` is a factory.
            let attribute = attribute.split('(').next().unwrap_or(attribute);
            is_module(module) && is_module(attribute)
        })
    })
}

/// A module without attribute: only the first or last argument can be one, whatever options take values.
fn bare_module(arguments: &[String]) -> Option<String> {
    let first = arguments.first().filter(|argument| is_module(argument));
    let last = || match arguments {
        [.., before, last] if is_module(last) && (!before.starts_with('-') || before.contains('=')) => {
            Some(last)
        }
        _ => None,
    };
    first.or_else(last).cloned()
}

/// Arguments that are no options, nor values of those options whose values look like applications.
fn positions(arguments: &[String]) -> impl Iterator<Item = String> + '_ {
    const MISLEADING: &[&str] =
        &["-c", "--config", "-b", "--bind", "-k", "--worker-class", "--host", "-n", "--name"];
    arguments
        .iter()
        .enumerate()
        .filter(|(at, argument)| {
            !argument.starts_with('-') && (*at == 0 || !MISLEADING.contains(&arguments[at - 1].as_str()))
        })
        .map(|(_, argument)| argument.clone())
}

fn is_module(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|part| {
            part.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
}
