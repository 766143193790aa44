//! The names of everything in Redis. All keys of a space begin with one hash tag, so a space is in one slot of a cluster and
//! no script crosses slots; an ACL that allows `~{hf:*` and `&{hf:*` is enough.
//!
//! | key behind the tag | type | holds |
//! |---|---|---|
//! | `r:<key>` | string | a record: 8 bytes of version, then its bytes |
//! | `s:<set>` | sorted set | an ordered set |
//! | `h:<family>` | sorted set | the sets of the family that have members, by the score of the first |
//! | `l:<log>:<k>` | list | the k-th 128 entries of a log: 2 bytes of length of the thread, the thread, the bytes |
//! | `t:<log>` | hash | for each thread of a log its positions, 8 bytes each |
//! | `n` | hash | the length of each log |
//! | `b` | hash | for trimmed logs the first position left; behind name and NUL the first that still takes room |
//! | `c` | hash | the counters |

use crate::Space;

/// Slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// The names within one space.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Keys {
    tag: String,
}

impl Keys {
    pub(super) fn new(prefix: &str, space: &Space) -> Self {
        Self {
            tag: format!("{{{prefix}:{space}}}"),
        }
    }

    /// The part that all keys begin with.
    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    pub(super) fn record(&self, key: &str) -> Vec<u8> {
        self.named("r:", key)
    }

    pub(super) fn set(&self, set: &str) -> Vec<u8> {
        self.named("s:", set)
    }

    pub(super) fn heads(&self, family: &str) -> Vec<u8> {
        self.named("h:", family)
    }

    /// A segment of a log, but for its number.
    pub(super) fn segments(&self, log: &str) -> Vec<u8> {
        [self.tag.as_bytes(), b"l:", log.as_bytes(), b":"].concat()
    }

    pub(super) fn threads(&self, log: &str) -> Vec<u8> {
        self.named("t:", log)
    }

    pub(super) fn lengths(&self) -> Vec<u8> {
        self.named("n", "")
    }

    pub(super) fn bases(&self) -> Vec<u8> {
        self.named("b", "")
    }

    pub(super) fn counters(&self) -> Vec<u8> {
        self.named("c", "")
    }

    /// The channel on which hints are published.
    pub(super) fn channel(&self) -> Vec<u8> {
        self.named("hints", "")
    }

    /// The slot of all of them in a cluster.
    pub(super) fn slot(&self) -> u16 {
        slot(self.tag.trim_matches(['{', '}']).as_bytes())
    }

    fn named(&self, kind: &str, name: &str) -> Vec<u8> {
        [self.tag.as_bytes(), kind.as_bytes(), name.as_bytes()].concat()
    }
}

/// The family of a set: what stands before the first `/` of its name.
pub(super) fn family(set: &str) -> Option<&str> {
    set.split_once('/').map(|(family, _)| family)
}

/// CRC16 (XMODEM) of the hash tag, as the cluster specification has it.
fn slot(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| match crc & 0x8000 {
            0 => crc << 1,
            _ => (crc << 1) ^ 0x1021,
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot(b"123456789"), 0x31c3 % SLOTS);
        assert_eq!(slot(b"foo"), 12_182);
    }

    #[test]
    fn all_keys_of_a_space_have_its_tag() {
        let keys = Keys::new("hf", &Space::new("pool/default").unwrap());
        assert_eq!(keys.record("job/1"), b"{hf:pool/default}r:job/1");
        assert_eq!(keys.segments("journal"), b"{hf:pool/default}l:journal:");
        assert_eq!(keys.slot(), slot(b"hf:pool/default"));
    }
}
