//! Specs made at random, valid all of them, for properties that hold of every spec.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use domain::job::Group;
use domain::spec::{ArtifactRule, Cpus, Input, Limits, Network, Source};
use domain::time::Timestamp;
use domain::units::{ByteSize, Span};
use domain::{Constraint, Digest, JobSpec};

/// Any spec that the edge accepts.
pub(crate) fn any_spec() -> impl Strategy<Value = JobSpec> {
    (what_to_run(), bounds(), files(), words()).prop_map(|(run, bounds, files, words)| JobSpec {
        timeout: bounds.timeout,
        limits: bounds.limits,
        max_attempts: bounds.max_attempts,
        priority: bounds.priority,
        not_before: bounds.not_before,
        group: bounds.group,
        inputs: files.inputs,
        source: files.source,
        artifacts: files.artifacts,
        name: words.name,
        requires: words.requires,
        network: words.network,
        secrets: words.secrets,
        labels: words.labels,
        ..run
    })
}

/// A text as it may stand in an argument or a value.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 é\"'\\\\=\n.$-]{0,12}"
}

fn what_to_run() -> impl Strategy<Value = JobSpec> {
    let arguments =
        || ("[a-z/]{1,8}", vec(text(), 0..4)).prop_map(|(program, rest)| [vec![program], rest].concat());
    let command = arguments().prop_map(JobSpec::command);
    let shell = prop_oneof![Just(vec![]), arguments()];
    let script = (text(), shell).prop_map(|(script, shell)| JobSpec {
        script: Some(script),
        shell,
        ..JobSpec::command(Vec::<String>::new())
    });
    let env = btree_map("[A-Z]{1,5}", text(), 0..4);
    let image = option::of("[a-z]{1,9}:[0-9]");
    (prop_oneof![command, script], env, image).prop_map(|(run, env, image)| JobSpec { env, image, ..run })
}

fn bounds() -> impl Strategy<Value = JobSpec> {
    let at = option::of((0u64..1 << 42).prop_map(Timestamp));
    let group = option::of(("[a-z][a-z0-9.-]{0,8}", 1u32..9));
    let group = group.prop_map(|group| {
        group.map(|(name, limit)| Group {
            name: name.parse().expect("a group name"),
            limit,
        })
    });
    let timeout = (1u64..2_592_000_000).prop_map(Span::from_millis);
    (timeout, limits(), 1u32..=20, -100i8..=100, at, group).prop_map(
        |(timeout, limits, max_attempts, priority, not_before, group)| JobSpec {
            timeout,
            limits,
            max_attempts,
            priority,
            not_before,
            group,
            ..JobSpec::command(["x"])
        },
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    let bytes =
        || option::of(prop_oneof![any::<u32>().prop_map(u64::from), Just(64 << 20)].prop_map(ByteSize));
    let pids = option::of(1u32..9999);
    (option::of(cpus()), bytes(), pids, bytes(), bytes()).prop_map(|(cpus, memory, pids, disk, log)| Limits {
        cpus,
        memory,
        pids,
        disk,
        log,
    })
}

fn cpus() -> impl Strategy<Value = Cpus> {
    (1u32..=4_096_000).prop_map(|millis| {
        let text = format!("{}.{:03}", millis / 1000, millis % 1000);
        serde_json::from_str(&text).expect("a number of cpus")
    })
}

fn files() -> impl Strategy<Value = JobSpec> {
    let input = (any::<[u8; 32]>(), any::<bool>()).prop_map(|(bytes, executable)| Input {
        digest: Digest::from_bytes(bytes),
        executable,
    });
    let inputs = btree_map("[a-z]{1,4}(/[a-z.]{1,3}x){0,2}", input, 0..4);
    let source = option::of("[0-9a-f]{40}").prop_map(|commit| {
        commit.map(|commit| Source {
            git: "https://example.org/x.git".to_owned(),
            commit,
        })
    });
    let rule = ("[a-z*]{1,5}(/[a-z*?]{1,5})?", any::<bool>());
    let artifacts = vec(
        rule.prop_map(|(glob, optional)| ArtifactRule { glob, optional }),
        0..4,
    );
    (inputs, source, artifacts).prop_map(|(inputs, source, artifacts)| JobSpec {
        inputs,
        source,
        artifacts,
        ..JobSpec::command(["x"])
    })
}

fn words() -> impl Strategy<Value = JobSpec> {
    let name = option::of("[a-zA-Zé0-9 _-]{1,12}");
    let constraint = prop_oneof![
        "[a-z]{1,5} = [a-z0-9]{1,5}",
        "[a-z]{1,5} >= -?[0-9]{1,5}",
        "[a-z]{1,5} in \\([a-z]{1,3}, [a-z]{1,3}\\)",
        "[a-z]{1,5} exists",
    ];
    let constraint = constraint.prop_map(|text| text.parse::<Constraint>().expect("a requirement"));
    let network = option::of(prop_oneof![Just(Network::None), Just(Network::Full)]);
    let labels = btree_map("[a-z]{1,5}", "[a-z0-9]{1,5}", 0..4);
    (
        name,
        vec(constraint, 0..4),
        network,
        vec("[a-z]{1,5}", 0..3),
        labels,
    )
        .prop_map(
            |(name, requires, network, secrets, labels): (_, _, _, _, BTreeMap<_, _>)| JobSpec {
                name,
                requires,
                network,
                secrets,
                labels,
                ..JobSpec::command(["x"])
            },
        )
}
