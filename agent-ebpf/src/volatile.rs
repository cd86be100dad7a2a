//! Values of which the verifier is to know nothing: they lie in a map and are read and written as volatile, so that all
//! ways through a step end in the same state, and it walks each step once.

/// The value of a field of a live map value.
macro_rules! get {
    ($place:expr) => {
        // SAFETY: a field of a live map value.
        unsafe { core::ptr::read_volatile(&raw const $place) }
    };
}

/// Sets it.
macro_rules! set {
    ($place:expr, $value:expr) => {
        // SAFETY: a field of a live map value.
        unsafe { core::ptr::write_volatile(&raw mut $place, $value) }
    };
}

pub(crate) use {get, set};
