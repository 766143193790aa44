//! The canonical encoding of specs: fixed bytes for fixed specs, forever.
//!
//! The bytes lie in `golden/specs.txt`. A line of it is never edited: jobs, journals and audit records out there name
//! specs by the digest of these bytes.

use std::collections::BTreeMap;

use domain::spec::UnreadableSpec;
use domain::{Digest, JobSpec};
use proptest::prelude::*;

use crate::reading::ALL_FIELDS_TOML;
use crate::specs::any_spec;

const GOLDEN: &str = include_str!("golden/specs.txt");

fn samples() -> [(&'static str, JobSpec); 4] {
    let toml = |text: &str| JobSpec::from_toml(text).expect("a sample spec is valid");
    [
        ("minimal", JobSpec::command(["true"])),
        ("all-fields", toml(ALL_FIELDS_TOML)),
        ("script", toml("script = \"make -j4\\nmake check\"")),
        (
            "script-with-shell",
            toml("script = \"print(1)\"\nshell = [\"python3\", \"-c\"]"),
        ),
    ]
}

#[test]
fn a_fixed_spec_has_fixed_bytes_and_a_fixed_digest() {
    let lines =
        samples().map(|(name, spec)| format!("{name} {} {}\n", spec.digest(), hex::encode(spec.canonical())));
    assert_eq!(lines.concat(), GOLDEN);
}

#[test]
fn fixed_bytes_are_read_as_the_fixed_spec() {
    for (line, (name, spec)) in GOLDEN.lines().zip(samples()) {
        let [_, digest, bytes] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let bytes = hex::decode(bytes).unwrap();
        assert_eq!(Digest::of(&bytes).to_string(), digest);
        assert_eq!(JobSpec::from_canonical(&bytes), Ok(spec), "{name}");
    }
}

#[test]
fn the_first_byte_is_the_version_and_no_other_is_read() {
    let mut bytes = JobSpec::command(["true"]).canonical();
    assert_eq!(bytes[0], 1);
    bytes[0] = 2;
    let refused = JobSpec::from_canonical(&bytes).unwrap_err();
    assert_eq!(refused, UnreadableSpec::Version { found: Some(2) });
    assert_eq!(
        JobSpec::from_canonical(&[]),
        Err(UnreadableSpec::Version { found: None })
    );
}

#[test]
fn a_stored_spec_with_a_field_of_a_later_version_is_not_run_without_it() {
    let mut bytes = vec![1];
    let later = BTreeMap::from([("command", vec!["true"]), ("commandment", vec!["x"])]);
    ciborium::into_writer(&later, &mut bytes).unwrap();
    let refused = JobSpec::from_canonical(&bytes).unwrap_err().to_string();
    assert!(refused.contains("unknown field `commandment`"), "{refused}");
}

proptest! {
    #[test]
    fn canonical_bytes_read_back_and_written_again_are_the_same(spec in any_spec()) {
        let bytes = spec.canonical();
        let back = JobSpec::from_canonical(&bytes).unwrap();
        prop_assert_eq!(back.canonical(), bytes);
        prop_assert_eq!(back.check(), Ok(()));
    }

    #[test]
    fn what_is_read_back_means_what_was_written(spec in any_spec()) {
        let back = JobSpec::from_canonical(&spec.canonical()).unwrap();
        prop_assert_eq!(back.argv(), spec.argv());
        prop_assert_eq!(back.log_limit(), spec.log_limit());
        // Only a default that was written out is forgotten.
        let bare = |spec: JobSpec| JobSpec {
            shell: vec![],
            limits: domain::spec::Limits { log: None, ..spec.limits },
            ..spec
        };
        prop_assert_eq!(bare(back), bare(spec));
    }

    #[test]
    fn no_bytes_break_the_reader(bytes: Vec<u8>) {
        drop(JobSpec::from_canonical(&[&[1], bytes.as_slice()].concat()));
    }
}
