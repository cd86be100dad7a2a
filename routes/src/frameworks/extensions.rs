//! Packages that add routes of their own to an application that is handed to them (`Admin(app)`, `api.init_app(app)`).

use super::{What, missed};
use crate::interp::Interp;
use crate::limits::Counter;
use crate::value::{Args, Value};

/// Extensions of Flask that add no routes; of the others it is not known.
const SILENT: &[&str] = &[
    "flask_alembic",
    "flask_apscheduler",
    "flask_babel",
    "flask_babelex",
    "flask_bcrypt",
    "flask_caching",
    "flask_celeryext",
    "flask_compress",
    "flask_cors",
    "flask_executor",
    "flask_htmx",
    "flask_httpauth",
    "flask_jwt_extended",
    "flask_limiter",
    "flask_login",
    "flask_mail",
    "flask_mailman",
    "flask_marshmallow",
    "flask_migrate",
    "flask_mongoengine",
    "flask_moment",
    "flask_principal",
    "flask_pymongo",
    "flask_redis",
    "flask_script",
    "flask_seasurf",
    "flask_session",
    "flask_sqlalchemy",
    "flask_talisman",
    "flask_wtf",
];

/// Other packages that add routes.
const ADDING: &[&str] = &[
    "connexion",
    "dash",
    "fastapi_mcp",
    "flasgger",
    "gradio",
    "nicegui",
    "prometheus_fastapi_instrumentator",
    "prometheus_flask_exporter",
    "spectree",
    "sqladmin",
    "starlette_admin",
    "starlette_exporter",
];

/// Packages whose applications come with routes that are not told: those of their documentation.
const DOCUMENTED: &[&str] = &["apiflask", "flask_openapi3"];

/// Notes for an application that such a package made that it has further routes.
pub(super) fn made<'a>(interp: &mut Interp<'a>, callee: &str, of: &Value<'a>) {
    let package = callee.split('.').next().unwrap_or(callee);
    if let Some((_, node)) = of.node()
        && node.what.is_application()
        && DOCUMENTED.contains(&package)
    {
        missed(interp, node, Counter::Opaque, None);
    }
}

/// Notes for each application among the arguments of a call of something external that it may have further routes.
pub(super) fn handed<'a>(interp: &mut Interp<'a>, callee: &str, args: &Args<'a>) {
    let package = callee.split('.').next().unwrap_or(callee);
    let is_flasks = package.starts_with("flask_") && !SILENT.contains(&package);
    if !is_flasks && !ADDING.contains(&package) {
        return;
    }
    for value in args.positional.iter().chain(args.named.iter().map(|(_, value)| value)) {
        if let Some((_, node)) = value.node()
            && (node.what.is_application() || node.what == What::Blueprint)
        {
            missed(interp, node, Counter::Opaque, None);
        }
    }
}
