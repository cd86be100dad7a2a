//! Caps of a scan, and the named counters of what it met.

use std::time::Duration;

/// Stack of the scan's thread. Only touched pages cost memory.
pub(crate) const STACK_BYTES: usize = 256 << 20;
/// Brackets of a file that are open at once.
pub(crate) const MAX_BRACKETS: usize = 5_000;
/// Nesting of expressions and statements that is followed.
pub(crate) const MAX_NESTING: u32 = 200;
/// Nesting of calls of functions of the application.
pub(crate) const MAX_CALLS: u32 = 40;
/// Nesting of module imports.
pub(crate) const MAX_IMPORTS: u32 = 200;
/// Passes through one loop or comprehension.
pub(crate) const MAX_ITERATIONS: usize = 2_000;
/// Items in one list, tuple or dictionary.
pub(crate) const MAX_ITEMS: usize = 10_000;
/// Characters in one string that the evaluation puts together.
pub(crate) const MAX_STRING: usize = 4_096;
/// Nesting of routers within routers.
pub(crate) const MAX_ROUTERS: u32 = 32;
/// Bytes of a file that the application reads as data.
pub(crate) const MAX_DATA: u64 = 1 << 20;
/// Nesting of such data.
pub(crate) const MAX_DATA_NESTING: u32 = 32;
/// Values that are looked at for what a wrapper wraps.
pub(crate) const MAX_WRAPPED: usize = 64;
/// Bytes of a route's path in the framework's own syntax; far longer than any server takes.
pub(crate) const MAX_PATH: usize = 4_096;

/// Caps of one scan. What lies beyond them is counted, see [`Counter`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// Python files that are looked at.
    pub files: usize,
    /// Bytes of one file; a larger one is skipped.
    pub file_bytes: u64,
    /// Bytes of all files that are read.
    pub total_bytes: u64,
    /// Depth of directories below the root.
    pub depth: usize,
    /// Directory entries that are looked at.
    pub entries: usize,
    /// Evaluated statements and expressions.
    pub steps: u64,
    /// Evaluated statements and expressions of one entry module or factory.
    pub steps_each: u64,
    /// Routes in the result.
    pub routes: usize,
    /// Time for the whole scan.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: 20_000,
            file_bytes: 2 << 20,
            total_bytes: 128 << 20,
            depth: 24,
            entries: 400_000,
            steps: 50_000_000,
            steps_each: 5_000_000,
            routes: 20_000,
            time: Duration::from_secs(20),
        }
    }
}

/// Declares [`Counter`] with its names, so that a variant cannot be without one.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a scan counts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Counter { $($(#[doc = $doc])+ $variant,)+ }

        impl Counter {
            /// All counters.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The counter's name, as shown to the user.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

counters! {
    /// Python files found.
    Files = "files",
    /// Files parsed.
    Parsed = "files_parsed",
    /// Files with syntax errors; what could be parsed of them was used.
    SyntaxErrors = "files_with_syntax_errors",
    /// Files that could not be read.
    Unreadable = "files_unreadable",
    /// Files over the size cap.
    TooLarge = "files_too_large",
    /// Files and directories left out because a cap on files, entries, depth or bytes was reached.
    BeyondCaps = "files_beyond_caps",
    /// Evaluations stopped because a cap on steps or time was reached.
    Stopped = "evaluations_stopped",
    /// Calls and imports not followed because they were nested too deeply.
    TooDeep = "nesting_too_deep",
    /// Registrations whose path is not known; no route could be made of them.
    UnknownPaths = "routes_with_unknown_path",
    /// Routes whose prefix is not known.
    UnknownPrefixes = "routes_with_unknown_prefix",
    /// Routes of routers and blueprints that nothing was seen to include.
    Unattached = "routes_unattached",
    /// URL configurations, applications and routers outside of the tree that are included as a whole.
    Opaque = "opaque_includes",
    /// Settings and environment variables for which the default was taken.
    AssumedDefaults = "assumed_defaults",
    /// Files that the application reads as data and that were read for it.
    DataFiles = "data_files_read",
    /// Routes left out because their path is longer than any server takes.
    TooLong = "routes_too_long",
    /// Patterns that the matcher cannot test (regular expressions with look-around or back-references).
    Unmatchable = "routes_unmatchable",
    /// Routes left out because the cap on routes was reached.
    TooManyRoutes = "routes_beyond_cap",
}

/// Values of all counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; Counter::ALL.len()]);

impl Counters {
    /// Adds `n`.
    pub fn add(&mut self, counter: Counter, n: u64) {
        self.0[counter as usize] += n;
    }

    /// The value of `counter`.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// All counters with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, u64)> + '_ {
        Counter::ALL.iter().map(|&counter| (counter, self.get(counter)))
    }
}
