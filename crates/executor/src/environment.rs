//! The environment of a job: the same on every machine, whatever the agent was started with.
//!
//! Three layers, of which a later one wins: a fixed base, the job's own variables, and those that the agent
//! adds. A job cannot set variables of the agent: names with the agent's prefix are dropped from its layer.

use std::collections::BTreeMap;

use crate::workdir::TEMPORARY_DIR;

/// Names that only the agent may set.
pub const AGENT_PREFIX: &str = "HIVEFORGE_";

const BASE: [(&str, &str); 7] = [
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "hiveforge"),
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("SHELL", "/bin/sh"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
    ("USER", "hiveforge"),
];

/// Returns the whole environment of a job in `workdir`, sorted by name, each name once.
///
/// Of variables that are given twice in one layer, the last counts.
pub fn environment(
    workdir: &str,
    job: &[(String, String)],
    agent: &[(String, String)],
) -> Vec<(String, String)> {
    let mut variables: BTreeMap<String, String> = BASE
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    variables.insert("HOME".to_owned(), workdir.to_owned());
    variables.insert("TMPDIR".to_owned(), format!("{workdir}/{TEMPORARY_DIR}"));
    variables.extend(
        job.iter()
            .filter(|(name, _)| !name.starts_with(AGENT_PREFIX))
            .cloned(),
    );
    variables.extend(agent.iter().cloned());
    variables.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn value(variables: &[(String, String)], name: &str) -> Option<String> {
        variables
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.clone())
    }

    #[test]
    fn the_base_is_the_same_everywhere() {
        let lines: Vec<_> = environment("/w/j/1", &[], &[])
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        HOME=/w/j/1
        LANG=C.UTF-8
        LOGNAME=hiveforge
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        SHELL=/bin/sh
        TERM=dumb
        TMPDIR=/w/j/1/.tmp
        TZ=UTC
        USER=hiveforge
        ");
    }

    #[test]
    fn a_job_overrides_the_base_and_the_last_value_counts() {
        let job = pairs(&[("TZ", "Europe/Berlin"), ("SEED", "1"), ("SEED", "2")]);
        let variables = environment("/w", &job, &[]);
        assert_eq!(value(&variables, "TZ").as_deref(), Some("Europe/Berlin"));
        assert_eq!(value(&variables, "SEED").as_deref(), Some("2"));
        assert!(variables.is_sorted());
    }

    #[test]
    fn a_job_cannot_speak_for_the_agent() {
        let job = pairs(&[("HIVEFORGE_ATTEMPT", "9"), ("HIVEFORGE_FORGED", "1")]);
        let variables = environment("/w", &job, &pairs(&[("HIVEFORGE_ATTEMPT", "1")]));
        assert_eq!(value(&variables, "HIVEFORGE_ATTEMPT").as_deref(), Some("1"));
        assert_eq!(value(&variables, "HIVEFORGE_FORGED"), None);
    }
}
