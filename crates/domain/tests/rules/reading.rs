//! Reading a spec: two formats with one meaning, defaults that need not be written, and order that does not matter.

use domain::JobSpec;
use domain::spec::{Limits, Network};
use proptest::prelude::*;

use crate::specs::any_spec;

/// Every field once, in TOML and in JSON.
pub(crate) const ALL_FIELDS_TOML: &str = include_str!("golden/all-fields.toml");
const ALL_FIELDS_JSON: &str = include_str!("golden/all-fields.json");

fn toml(text: &str) -> JobSpec {
    JobSpec::from_toml(text).expect(text)
}

/// Two texts that are the same spec, to people and to the store.
fn same(one: &str, other: &str) {
    assert_eq!(toml(one).digest(), toml(other).digest(), "\n{one}\n---\n{other}");
}

#[test]
fn the_same_spec_in_toml_and_in_json_is_equal_and_has_one_digest() {
    let (toml, json) = (
        toml(ALL_FIELDS_TOML),
        JobSpec::from_json(ALL_FIELDS_JSON).unwrap(),
    );
    assert_eq!(toml, json);
    assert_eq!(toml.digest(), json.digest());
}

#[test]
fn the_sample_with_all_fields_really_has_all_of_them() {
    let known = JobSpec::from_toml("x = 1").unwrap_err().message;
    let fields: serde_json::Value = serde_json::from_str(ALL_FIELDS_JSON).unwrap();
    // `command` and `script` exclude each other, and `shell` goes with `script`.
    let missing: Vec<&str> = known
        .split('`')
        .skip(3)
        .step_by(2)
        .filter(|field| fields.get(field).is_none())
        .collect();
    assert_eq!(missing, ["script", "shell"]);
    let Limits {
        cpus,
        memory,
        pids,
        disk,
        log,
    } = toml(ALL_FIELDS_TOML).limits;
    assert!(cpus.is_some() && memory.is_some() && pids.is_some() && disk.is_some() && log.is_some());
}

#[test]
fn a_default_that_is_written_out_does_not_change_the_digest() {
    let bare = "command = [\"make\"]\n";
    for default in [
        "timeout = \"1h\"",
        "timeout = \"60m\"",
        "max_attempts = 1",
        "priority = 0",
        "env = {}",
        "limits = {}",
        "limits.log = \"64MiB\"",
        "requires = []",
        "inputs = {}",
        "artifacts = []",
        "secrets = []",
        "labels = {}",
        "shell = []",
    ] {
        same(bare, &format!("{bare}{default}"));
    }
    same(
        "script = \"make\"",
        "script = \"make\"\nshell = [\"/bin/sh\", \"-eu\", \"-c\"]",
    );
    same(
        "command = [\"make\"]\nartifacts = [\"*.log\"]",
        "command = [\"make\"]\nartifacts = [{ glob = \"*.log\", optional = false }]",
    );
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    same(
        &format!("{bare}inputs.a = {{ digest = \"{digest}\" }}"),
        &format!("{bare}inputs.a = {{ digest = \"{digest}\", executable = false }}"),
    );
}

#[test]
fn the_order_and_the_spelling_of_fields_do_not_change_the_digest() {
    same(
        "command = [\"make\"]\npriority = 3\nenv = { B = \"2\", A = \"1\" }\nlimits = { memory = \"1024MiB\", cpus = 2 }",
        "priority = 3\ncommand = ['make']\n[limits]\ncpus = 2.0\nmemory = \"1GiB\"\n[env]\nA = \"1\"\nB = \"2\"",
    );
    same(
        "command = [\"make\"]\nrequires = [\"gpu>=1\"]",
        "command = [\"make\"]\nrequires = [\" gpu >= 1 \"]",
    );
}

#[test]
fn what_means_something_else_has_another_digest() {
    let bare = "command = [\"make\"]\n";
    let digests: std::collections::BTreeSet<_> = [
        "",
        "name = \"x\"",
        "timeout = \"2h\"",
        "network = \"full\"",
        "network = \"none\"",
        "limits.log = \"32MiB\"",
        "limits.memory = \"64MiB\"",
        "env.A = \"\"",
        "labels.a = \"1\"",
        "secrets = [\"A\"]",
    ]
    .iter()
    .map(|field| toml(&format!("{bare}{field}")).digest())
    .collect();
    assert_eq!(digests.len(), 10);
}

#[test]
fn a_time_may_be_written_with_or_without_quotes_in_toml_and_in_any_zone() {
    same(
        "command = [\"make\"]\nnot_before = \"2026-11-21T17:00:00Z\"",
        "command = [\"make\"]\nnot_before = 2026-11-21T18:00:00+01:00",
    );
}

#[test]
fn a_script_is_the_last_argument_of_its_shell() {
    assert_eq!(
        toml("script = \"make test\"").argv(),
        ["/bin/sh", "-eu", "-c", "make test"]
    );
    let python = toml("script = \"print(1)\"\nshell = [\"python3\", \"-c\"]");
    assert_eq!(python.argv(), ["python3", "-c", "print(1)"]);
}

#[test]
fn a_job_without_a_name_is_called_after_its_program() {
    assert_eq!(
        toml("command = [\"/usr/bin/make\", \"test\"]").display_name(),
        "make"
    );
    assert_eq!(toml("script = \"make\"").display_name(), "script");
    assert_eq!(
        toml("command = [\"make\"]\nname = \"build\"").display_name(),
        "build"
    );
}

#[test]
fn what_not_every_agent_can_do_is_required_of_the_agent() {
    let network = JobSpec {
        network: Some(Network::None),
        ..JobSpec::command(["make"])
    };
    assert_eq!(
        network.constraints(),
        ["can.network-none exists".parse().unwrap()]
    );
    let all: Vec<String> = toml(ALL_FIELDS_TOML)
        .constraints()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        all,
        [
            "os = linux",
            "gpu >= 1",
            "arch in (aarch64, x86_64)",
            "can.image exists",
            "can.source exists",
            "can.secrets exists",
            "can.network-none exists",
            "can.limit-pids exists"
        ]
    );
}

proptest! {
    #[test]
    fn every_spec_that_is_made_is_one_that_the_edge_accepts(spec in any_spec()) {
        prop_assert_eq!(spec.check(), Ok(()));
    }

    #[test]
    fn a_spec_written_as_json_or_toml_reads_back_with_the_same_digest(spec in any_spec()) {
        let json = JobSpec::from_json(&serde_json::to_string(&spec).unwrap()).unwrap();
        let toml = JobSpec::from_toml(&toml::to_string(&spec).unwrap()).unwrap();
        prop_assert_eq!(json.digest(), spec.digest());
        prop_assert_eq!(toml.digest(), spec.digest());
    }
}
