//! The fingerprint of an agent: equal ones run a job in the same way.
//!
//! SHA-256 over what decides how a job runs: resolved configuration, binary and executor. Name, data directory, token and
//! coordinators are not in it, because they decide only where and for whom.

use std::fs::File;
use std::io::{self, Read};

use domain::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::config::Resolved;

const READ_BYTES: usize = 1 << 20;

/// What is hashed, as JSON with its keys in this order.
#[derive(Serialize)]
struct Canonical<'a> {
    version: u32,
    slots: usize,
    cpu_millis: u32,
    memory_bytes: u64,
    labels: &'a std::collections::BTreeMap<String, String>,
    executor: &'a str,
    binary: Digest,
}

/// The fingerprint of an agent with this configuration and executor, run by the binary with this digest.
pub fn fingerprint(config: &Resolved, executor: &str, binary: Digest) -> Digest {
    let canonical = Canonical {
        version: 1,
        slots: config.slots,
        cpu_millis: config.capacity.cpu_millis,
        memory_bytes: config.capacity.memory_bytes,
        labels: &config.all_labels(executor),
        executor,
        binary,
    };
    Digest::of(&serde_json::to_vec(&canonical).expect("numbers, texts and digests are JSON"))
}

/// The digest of the running binary.
///
/// # Errors
/// It cannot be read.
pub fn binary_digest() -> io::Result<Digest> {
    digest_of(&mut File::open("/proc/self/exe")?)
}

/// The digest of all that can be read.
pub(crate) fn digest_of(reader: &mut impl Read) -> io::Result<Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hasher.finalize().into())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::Resources;

    use super::*;

    #[test]
    fn what_changes_how_a_job_runs_changes_the_fingerprint() {
        let capacity = Resources {
            cpu_millis: 2000,
            memory_bytes: 1 << 30,
        };
        let config = Resolved {
            slots: 2,
            capacity,
            labels: BTreeMap::new(),
        };
        let binary = Digest::of(b"binary");
        let one = fingerprint(&config, "process", binary);
        assert_eq!(one, fingerprint(&config, "process", binary));
        let sandboxed = fingerprint(&config, "sandbox", binary);
        let rebuilt = fingerprint(&config, "process", Digest::of(b"another"));
        let labels = [("gpu".to_owned(), "1".to_owned())].into();
        let labelled = fingerprint(&Resolved { labels, ..config }, "process", binary);
        assert!([sandboxed, rebuilt, labelled].iter().all(|other| *other != one));
    }
}
