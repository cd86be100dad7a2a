//! The probes: syscall tracepoints that copy the traffic of watched processes, and the life of sockets and processes.
//!
//! One file per concern under `probes/`; `maps` is the shared state, `kernel` reads kernel structures, `connection`
//! finds and numbers a socket's connection, `emit` fills the ring buffer, `attribution` says for which request code runs,
//! `exceptions` sends the exception that a thread handles, `stacks` the Python code that makes a call. See ARCHITECTURE.md for what a probe may do.
#![feature(asm_experimental_arch)]
#![no_std]
#![no_main]
// The crate is one program: what its modules share is public within it, and programs are exported by name.
#![allow(unreachable_pub)]

mod attribution;
mod connection;
mod emit;
mod exceptions;
mod kernel;
mod maps;
mod payload;
mod pieces;
mod probes;
mod stacks;
mod streams;
mod unwinding;
mod volatile;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path leads here.
    loop {}
}

/// The kernel lets only GPL-compatible programs use the tracing helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
