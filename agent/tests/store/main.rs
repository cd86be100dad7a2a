//! The store and the server through their public faces.

mod aged;
mod api;
mod brute;
mod described;
mod faults;
mod openapi;
mod rows;
mod security;
mod support;
mod versions;
