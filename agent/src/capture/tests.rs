//! Programs run by themselves, without what they are attached to.

use aya::maps::HashMap;
use aya::programs::Program;
use aya::{RawTracePointRunOptions, TestRun as _};

use super::{CaptureOptions, attach, load, take};

/// The size of what is known of a thread.
const THREAD: usize = 120;

#[test]
fn nothing_is_left_of_a_thread_that_ends_after_the_first_of_its_process() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: loading a program needs root");
        return;
    }
    let mut ebpf = load(CaptureOptions { ring_bytes: 1 << 16 }).expect("the object loads");
    let mut threads: HashMap<_, u32, [u8; THREAD]> =
        HashMap::try_from(take(&mut ebpf, "THREADS").expect("the table")).expect("a table");
    let program = ebpf.program_mut("sched_process_exit").expect("the program");
    attach::load(program).expect("it is taken");
    let this = nix::unistd::gettid().as_raw().cast_unsigned();
    threads.insert(this, [1; THREAD], 0).expect("room");
    // The process is not among those that are watched: its first thread took it out as that ended.
    let Program::RawTracePoint(program) = program else { panic!("of another kind") };
    program.test_run(RawTracePointRunOptions::new()).expect("it runs");
    assert!(threads.get(&this, 0).is_err(), "the number would come to another thread with it");
}
