//! The options of `run` that say what the job is, and the spec that they make.

use clap::Args;
use domain::job::Group;
use domain::spec::{ArtifactRule, Cpus, TIMEOUT_DEFAULT};
use domain::{ByteSize, Constraint, GroupName, JobSpec, Span};

use crate::command::pair::Pair;

/// What the job is.
#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    /// A name for people [default: the program's]
    #[arg(long)]
    name: Option<String>,
    /// An environment variable of the job; repeatable
    #[arg(long, value_name = "K=V")]
    env: Vec<Pair>,
    /// A note for people; repeatable
    #[arg(long = "label", value_name = "K=V")]
    labels: Vec<Pair>,
    /// A condition on the agent, e.g. 'os = linux' or 'gpu >= 1'; repeatable
    #[arg(long, value_name = "CONSTRAINT")]
    require: Vec<Constraint>,
    /// How long an attempt may run, e.g. 90s or 1h30m [default: 1h]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
    /// Cpus to reserve, e.g. 2 or 0.5
    #[arg(long, value_name = "N", value_parser = cpus)]
    cpus: Option<Cpus>,
    /// Memory to reserve, e.g. 512MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Upload a file or directory and put it at DEST in the work directory; repeatable
    #[arg(long = "input", value_name = "PATH[=DEST]")]
    pub(super) inputs: Vec<String>,
    /// Keep the files that match; no match fails the job; repeatable
    #[arg(long = "artifact", value_name = "GLOB")]
    artifacts: Vec<String>,
    /// How many attempts may fail through no fault of the program
    #[arg(long, value_name = "N", default_value_t = 1)]
    max_attempts: u32,
    /// -100 to 100; higher goes first
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    priority: i8,
    /// Run in a container; needs an agent with a container engine
    #[arg(long)]
    image: Option<String>,
    /// At most LIMIT jobs of the group at once [default limit: 1]
    #[arg(long, value_name = "NAME[=LIMIT]", value_parser = group)]
    group: Option<Group>,
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl SpecArgs {
    /// The spec, inputs left out. [`JobSpec::check`] it before use.
    pub(super) fn to_spec(&self) -> JobSpec {
        let pairs = |pairs: &[Pair]| {
            pairs
                .iter()
                .map(|pair| (pair.key.clone(), pair.value.clone()))
                .collect()
        };
        let mut spec = JobSpec::command(&self.command);
        spec.name.clone_from(&self.name);
        spec.env = pairs(&self.env);
        spec.labels = pairs(&self.labels);
        spec.requires.clone_from(&self.require);
        spec.timeout = self.timeout.unwrap_or(TIMEOUT_DEFAULT);
        spec.limits.cpus = self.cpus;
        spec.limits.memory = self.memory;
        spec.artifacts = self.artifacts.iter().map(|glob| required(glob)).collect();
        spec.max_attempts = self.max_attempts;
        spec.priority = self.priority;
        spec.image.clone_from(&self.image);
        spec.group.clone_from(&self.group);
        spec
    }
}

fn required(glob: &str) -> ArtifactRule {
    ArtifactRule {
        glob: glob.to_owned(),
        optional: false,
    }
}

/// Cpus are read as a spec reads them.
fn cpus(text: &str) -> Result<Cpus, String> {
    serde_json::from_str(text).map_err(|_| "write a number of cpus such as 2 or 0.5".to_owned())
}

fn group(text: &str) -> Result<Group, String> {
    let (name, limit) = match text.split_once('=') {
        Some((name, limit)) => (
            name,
            limit
                .parse()
                .map_err(|_| "the limit is a number of jobs".to_owned())?,
        ),
        None => (text, 1),
    };
    let name: GroupName = name
        .parse()
        .map_err(|error: domain::id::BadName| error.to_string())?;
    Ok(Group { name, limit })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn spec(line: &[&str]) -> Result<JobSpec, String> {
        let line = Line::try_parse_from([&["run"], line].concat()).map_err(|error| error.to_string())?;
        Ok(line.spec.to_spec())
    }

    #[test]
    fn the_options_make_the_same_spec_as_a_file() {
        let options = [
            "--name",
            "n",
            "--env",
            "A=b=c",
            "--label",
            "team=x",
            "--require",
            "os = linux",
            "--timeout",
            "90s",
            "--cpus",
            "0.5",
            "--memory",
            "1GiB",
            "--artifact",
            "out/*",
            "--max-attempts",
            "3",
            "--priority",
            "-5",
            "--image",
            "debian",
            "--group",
            "g=2",
            "--",
            "make",
            "-C",
            "src",
        ];
        let file = r#"
            name = "n"
            command = ["make", "-C", "src"]
            env = { A = "b=c" }
            labels = { team = "x" }
            requires = ["os = linux"]
            timeout = "90s"
            limits = { cpus = 0.5, memory = "1GiB" }
            artifacts = ["out/*"]
            max_attempts = 3
            priority = -5
            image = "debian"
            group = { name = "g", limit = 2 }
        "#;
        assert_eq!(spec(&options), Ok(JobSpec::from_toml(file).unwrap()));
        assert_eq!(spec(&["--", "true"]), Ok(JobSpec::command(["true"])));
    }

    #[test]
    fn a_bad_value_is_refused_with_its_option() {
        for (option, value) in [
            ("--timeout", "90"),
            ("--memory", "lots"),
            ("--cpus", "0"),
            ("--require", "os"),
            ("--env", "A"),
            ("--group", "G"),
        ] {
            let refused = spec(&[option, value, "--", "true"]).unwrap_err();
            assert!(refused.contains(option), "{refused}");
        }
    }
}
