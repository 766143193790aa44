//! How a program makes its processes, as seen by strace.
//!
//! A fork copies the memory map of its caller, which costs a large agent tens of milliseconds each time. So the
//! only calls allowed are those that share it: `CLONE_VM`, and `vfork`. Used by every suite that traces a
//! binary which spawns jobs; the calls of the jobs themselves do not count.

use std::collections::BTreeSet;

/// What strace is told, before the name of the file for the trace.
pub(crate) const STRACE: [&str; 6] = ["strace", "-f", "-qq", "-e", "trace=clone,clone3,fork,vfork", "-o"];

/// How the lines of the traced calls begin.
const CALLS: [&str; 4] = ["clone(", "clone3(", "fork(", "vfork("];

/// The calls by which one program made processes, not counting its threads.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ProcessCalls {
    /// Those that share its memory.
    pub(crate) sharing: usize,
    /// The lines of those that copy it.
    pub(crate) copying: Vec<String>,
}

impl ProcessCalls {
    /// Reads a trace that was written with [`STRACE`]. Its first line is a call of the traced program.
    pub(crate) fn parse(trace: &str) -> Self {
        let own = own_threads(trace);
        let mut calls = Self::default();
        for (caller, call) in trace.lines().filter_map(split) {
            // Signals, exits, resumed calls, and `???(` of a thread whose process ended before strace had asked it.
            let is_call = CALLS.iter().any(|name| call.starts_with(name));
            if !own.contains(caller) || !is_call || call.contains("CLONE_THREAD") {
                continue;
            }
            if call.contains("CLONE_VM") || call.starts_with("vfork(") {
                calls.sharing += 1;
            } else {
                calls.copying.push(call.to_owned());
            }
        }
        calls
    }
}

/// The ids of all threads of the program, however they are related.
fn own_threads(trace: &str) -> BTreeSet<&str> {
    let mut made = Vec::new();
    let mut unfinished = BTreeSet::new();
    for (caller, call) in trace.lines().filter_map(split) {
        let resumed = call.starts_with("<...") && unfinished.remove(caller);
        if !resumed && !call.contains("CLONE_THREAD") {
            continue;
        }
        match call.rsplit_once("= ") {
            Some((_, id)) if !call.ends_with("<unfinished ...>") => made.push((caller, id.trim())),
            _ => drop(unfinished.insert(caller)),
        }
    }
    let mut own: BTreeSet<&str> = trace
        .lines()
        .filter_map(split)
        .map(|(caller, _)| caller)
        .take(1)
        .collect();
    loop {
        let before = own.len();
        for (caller, id) in &made {
            if own.contains(caller) {
                own.insert(id);
            }
        }
        if own.len() == before {
            return own;
        }
    }
}

fn split(line: &str) -> Option<(&str, &str)> {
    line.split_once(' ')
        .map(|(caller, call)| (caller, call.trim_start()))
}
