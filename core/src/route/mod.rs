//! Raw paths to routes of low cardinality: `/users/42` -> `/users/{id}`.
//!
//! Without the app's source nobody can know its routes; three rules come close, and bound what they cannot know:
//! 1. a segment that looks like an id, a date or a token becomes a placeholder ([`segment`]);
//! 2. a place in the path where too many different words were seen becomes `{name}` for every word that is not an
//!    established one (observed cardinality, [`table`]);
//! 3. a service that still has too many routes gets the rest as [`OTHER`].
//!
//! Paths that are answered 404 alone are kept apart by the same rules, with fewer places: what scanners try changes
//! nothing for the others.

pub mod segment;
pub mod table;
mod told;

pub use table::{OTHER, OTHER_METHOD, RouteTable};
pub use told::told;
