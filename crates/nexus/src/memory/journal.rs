//! One log in memory: entries by position, and the positions of each thread.
//!
//! Positions rise from 0 and are never used twice, so the length only grows; a trim removes entries, not positions.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use crate::limits::READ_BYTES_MAX;
use crate::{Entry, LogDump, Span};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Journal {
    len: u64,
    entries: BTreeMap<u64, Entry>,
    threads: BTreeMap<String, BTreeSet<u64>>,
}

/// `threads` follows from `entries`.
impl Hash for Journal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len.hash(state);
        self.entries.hash(state);
    }
}

impl Journal {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn append(&mut self, thread: Option<&String>, bytes: &[u8]) {
        let position = self.len;
        self.len += 1;
        if let Some(thread) = thread {
            self.threads.entry(thread.clone()).or_default().insert(position);
        }
        let entry = Entry {
            position,
            thread: thread.cloned(),
            bytes: bytes.to_vec(),
        };
        self.entries.insert(position, entry);
    }

    pub(super) fn trim(&mut self, below: u64) {
        let kept = self.entries.split_off(&below);
        for entry in std::mem::replace(&mut self.entries, kept).into_values() {
            let Some(thread) = entry.thread else { continue };
            let Some(positions) = self.threads.get_mut(&thread) else {
                continue;
            };
            positions.remove(&entry.position);
            if positions.is_empty() {
                self.threads.remove(&thread);
            }
        }
    }

    pub(super) fn read(&self, span: Span) -> Vec<Entry> {
        page(self.entries.range(span.from..).map(|(_, entry)| entry), span.n)
    }

    pub(super) fn read_thread(&self, thread: &str, span: Span) -> Vec<Entry> {
        let Some(positions) = self.threads.get(thread) else {
            return Vec::new();
        };
        page(
            positions
                .range(span.from..)
                .filter_map(|position| self.entries.get(position)),
            span.n,
        )
    }

    pub(super) fn dump(&self) -> LogDump {
        LogDump {
            len: self.len,
            entries: self.entries.values().cloned().collect(),
        }
    }
}

/// The first `n` entries, or fewer once they have more than [`READ_BYTES_MAX`] bytes together.
fn page<'a>(entries: impl Iterator<Item = &'a Entry>, n: usize) -> Vec<Entry> {
    let mut bytes = 0;
    let mut page = Vec::new();
    for entry in entries.take(n) {
        if bytes > READ_BYTES_MAX {
            break;
        }
        bytes += entry.bytes.len();
        page.push(entry.clone());
    }
    page
}
