//! What changes for whom code runs: connections are accepted, contexts copied, threads started, work handed over.

use apm_agent_ebpf::{Conn, Python, conn_flags, python_flags};

use super::{
    frames::{is_work, is_work_item},
    maps::*,
    now::Now,
    python,
    transports::is_in_window,
};
use crate::stacks;

/// A connection was accepted: what this context makes from now on serves one connection each.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn accepted(id: u64) -> u32 {
    let Some(python) = python(id) else { return 0 };
    let Some(now) = Now::of(id, python) else { return 0 };
    // SAFETY: a live map value.
    unsafe { (*now.thread).window_stack = 0 };
    if now.entered {
        if let Some(unit) = unit(now.context, now.tgid) {
            // SAFETY: a live map value.
            unsafe {
                (*unit).accepts = 1;
                ((*unit).request, (*unit).group) = (0, 0);
            }
        }
    } else if now.greenlet() == 0 {
        // A thread that goes back to accepting is done with what it served.
        // SAFETY: a live map value.
        unsafe { (*now.thread).flags &= !thread_flags::VALID };
    }
    0
}

/// The thread is about to wait on an epoll instance. That alone makes no event loop: database drivers wait so too.
#[inline(always)]
pub fn waits(id: u64, epoll: u32) {
    if python(id).is_none() {
        return;
    }
    let Some(thread) = thread(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    thread.window_stack = 0;
    thread.last_epoll = epoll + 1;
    if thread.home_epoll == epoll + 1 {
        thread.flags &= !thread_flags::VALID;
    }
}

/// The process closes a descriptor: its number may be that of another epoll instance next.
#[inline(always)]
pub fn closes(id: u64, fd: u32) {
    if let Some(thread) = THREADS.get_ptr_mut(id as u32) {
        // SAFETY: a live map value.
        let thread = unsafe { &mut *thread };
        if thread.last_epoll == fd + 1 {
            thread.last_epoll = 0;
        }
    }
}

/// The thread closes a connection. If that is the one which it has read its request from, or may be, it is done with that.
#[inline(always)]
pub fn lets_go(conn: &Conn, id: u64) {
    let Some(thread) = THREADS.get_ptr_mut(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    // Requests that come through TLS are those of a stream.
    if conn.flags & conn_flags::TLS != 0 || conn.request == thread.request {
        thread.flags |= thread_flags::LETS_GO;
    }
}

/// The current thread starts another, `child`, of the same process.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn starts_thread(id: u64, child: u32) -> u32 {
    let Some(python) = python(id) else { return 0 };
    if python.flags & python_flags::THREADS_ONLY != 0 {
        // Where hand-overs are not seen, it may do anybody's work.
        let _full = new_thread(child);
        return 0;
    }
    let Some(now) = Now::of(id, python) else { return 0 };
    if now.state == 0 {
        // Not Python's: a server of another language starts its pool, which works for others too.
        let _full = new_thread(child);
        return 0;
    }
    let resolved = now.resolve();
    let lineage = now.lineage(&resolved).child(0);
    let Some(thread) = new_thread(child) else { return 0 };
    // SAFETY: a live map value; the thread does not run yet.
    let thread = unsafe { &mut *thread };
    thread.request = resolved.request;
    thread.lineage = lineage;
    if resolved.request != 0 {
        thread.flags = thread_flags::VALID | thread_flags::INHERITED;
        kept(HAS_THREADS.insert(resolved.request, 1, 0));
    }
    0
}

/// The current thread ends. Looked up first, as this is asked of every thread of the host, and a removal takes a lock.
#[inline(always)]
pub fn ends_thread(tid: u32) {
    if THREADS.get_ptr(tid).is_some() {
        let _gone_meanwhile = THREADS.remove(tid);
    }
}

/// A process was forked: its child has the same layout.
#[inline(always)]
pub fn forks(parent: u32, child: u32) {
    if let Some(python) = PYTHONS.get_ptr(parent) {
        // SAFETY: a live map value.
        kept(PYTHONS.insert(child, unsafe { *python }, 0));
    }
}

/// The process ends or replaces its program.
#[inline(always)]
pub fn ends(tgid: u32) {
    let _had_none = PYTHONS.remove(tgid);
    // What its first thread knows, a new program does not hold.
    let _had_none = THREADS.remove(tgid);
}

/// A context was copied from the current one, or made anew.
#[inline(always)]
pub fn copied(id: u64, python: &Python, child: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let number = number();
    let (mut request, mut group) = (resolved.request, 0);
    let mut lineage = Lineage { unit: number, ancestors: [0; 3] };
    if !resolved.unit.is_null() {
        // SAFETY: a live map value.
        let parent = unsafe { &*resolved.unit };
        lineage = parent.lineage.child(number);
        group = if parent.accepts != 0 { number } else { parent.group };
    } else if !now.entered {
        lineage = now.lineage(&resolved).child(number);
    }
    // SAFETY: a live map value.
    let thread = unsafe { &mut *now.thread };
    if now.entered && is_in_window(thread, now.context) {
        if thread.window_request != 0 {
            request = thread.window_request;
        } else if thread.window_group != 0 {
            // Before the first request, it is made for the connection.
            (request, group) = (0, thread.window_group);
        }
    }
    if thread.accepting != 0 {
        group = thread.accepting;
        request = 0;
    }
    let is_told = python.flags & python_flags::MAKERS != 0;
    let stack = if is_told { stacks::call_stack(id, now.state, 0) } else { 0 };
    // Last: a new record may take the place of the parent's.
    let key = Key { address: child, tgid: u64::from(now.tgid) };
    let _full = new_unit(key, &lineage, request, group, stack);
}

/// A greenlet was made: it does the work of the one that made it.
#[inline(always)]
pub fn greenlet_made(id: u64, python: &Python, greenlet: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let unit = number();
    let (mut request, mut lineage) = (resolved.request, now.lineage(&resolved).child(unit));
    // SAFETY: a live map value.
    if now.is_bare() && unsafe { (*now.thread).flags } & thread_flags::INHERITED != 0 {
        // The first of a thread that a request has started: gevent's pools work so, for others too.
        (request, lineage) = (0, Lineage { unit, ancestors: [0; 3] });
    }
    let key = Key { address: greenlet, tgid: u64::from(now.tgid) };
    let _full = new_unit(key, &lineage, request, 0, 0);
}

/// The thread goes on with another greenlet.
#[inline(always)]
pub fn greenlet_switched(id: u64, greenlet: u64) {
    if let Some(thread) = thread(id as u32) {
        // SAFETY: a live map value.
        unsafe { (*thread).greenlet = greenlet };
    }
}

/// Something is put into a `SimpleQueue`: a work item, or what belongs to nobody, such as a connection of a pool.
#[inline(always)]
pub fn put(id: u64, python: &Python, item: u64) {
    if is_work(python, item) {
        hand_over(id, python, item);
    }
}

#[inline(always)]
fn hand_over(id: u64, python: &Python, item: u64) {
    let Some(now) = Now::of(id, python) else { return };
    let resolved = now.resolve();
    let handover = Handover { request: resolved.request, from: now.lineage(&resolved), stack: 0 };
    kept(HANDOVERS.insert(Key { address: item, tgid: u64::from(now.tgid) }, handover, 0));
}

/// A work item is put into a queue of gevent's, for a pool of greenlets. Its way out is not seen: a function that switches
/// stacks before it returns must not be probed at its return. `work_item` finds it where it is executed.
#[inline(always)]
pub fn green_put(id: u64, python: &Python, item: u64) {
    if is_work_item(item) {
        hand_over(id, python, item);
        let any = Handover { request: 0, from: Lineage::default(), stack: 0 };
        kept(HANDOVERS.insert(green_mark(id >> 32), any, 0));
    }
}

/// There while work items of the process go through gevent's queues.
#[inline(always)]
fn green_mark(tgid: u64) -> Key {
    Key { address: 0, tgid }
}

/// Do work items of the process go through gevent's queues?
#[inline(always)]
pub fn has_green_work(tgid: u64) -> bool {
    HANDOVERS.get_ptr(green_mark(tgid)).is_some()
}

/// A greenlet runs: if it executes a work item, which is that at `item`, it does the work of whoever put that into the
/// queue.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn green_work(item: u64, tgid: u64, greenlet: u64) -> u32 {
    let Some(unit) = unit(greenlet, tgid as u32) else { return 0 };
    // SAFETY: a live map value.
    let unit = unsafe { &mut *unit };
    if item == 0 {
        if unit.pool != 0 {
            // Between two items, or in one that was put there unseen.
            unit.request = 0;
        }
        return 0;
    }
    if let Some(handover) = HANDOVERS.get_ptr(Key { address: item, tgid }) {
        // SAFETY: a live map value.
        let handover = unsafe { &*handover };
        unit.pool = 1;
        unit.request = handover.request;
        unit.lineage.ancestors = handover.from.child(0).ancestors;
    }
    0
}

/// Something was taken from a `SimpleQueue`. If it is a work item, the thread now does the work of whoever put it there.
#[inline(always)]
pub fn got(id: u64, python: &Python, item: u64) {
    use thread_flags::*;
    if !is_work(python, item) {
        return;
    }
    let key = Key { address: item, tgid: id >> 32 };
    let Some(thread) = thread(id as u32) else { return };
    // SAFETY: a live map value.
    let thread = unsafe { &mut *thread };
    if thread.flags & (VALID | INHERITED | HANDED | ANSWERED) == VALID {
        // In the middle of a request that it has read itself, a thread takes results, not work.
        let _not_needed = HANDOVERS.remove(key);
        return;
    }
    takes_over(thread, key);
}

/// The thread begins to execute a work item.
#[inline(always)]
pub fn takes_over(thread: &mut Thread, key: Key) {
    use thread_flags::*;
    thread.context = 0;
    thread.flags &= LOOP | LOOKED;
    thread.request = 0;
    thread.lineage = Lineage::default();
    let Some(handover) = HANDOVERS.get_ptr(key) else { return };
    // SAFETY: a live map value.
    let handover = unsafe { *handover };
    thread.request = handover.request;
    thread.lineage = handover.from.child(0);
    if handover.request != 0 {
        thread.flags |= VALID | HANDED;
    }
    let _gone = HANDOVERS.remove(key);
}
