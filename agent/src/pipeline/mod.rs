//! The pipeline owns threads and channels; it alone sees both ends of the data path.

mod engine;
mod naming;
mod run;
mod signals;
mod source;
mod status;

pub use engine::{Engine, EngineStatus};
pub use run::run;
