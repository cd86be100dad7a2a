//! The pipeline owns threads and channels; it alone sees both ends of the data path.

mod engine;

pub use engine::{Engine, EngineStatus};
