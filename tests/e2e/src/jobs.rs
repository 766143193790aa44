//! Specs, written shortly.

use domain::JobSpec;

/// A job that runs a command.
pub fn command(argv: &[&str]) -> JobSpec {
    JobSpec::command(argv.iter().copied())
}

/// A job that runs a shell script, with a name for people.
pub fn script(name: &str, text: &str) -> JobSpec {
    JobSpec {
        name: Some(name.to_owned()),
        script: Some(text.to_owned()),
        ..JobSpec::command([] as [&str; 0])
    }
}

/// `n` jobs that each run the script with its number in `$N`.
pub fn batch_of(n: usize, text: &str) -> Vec<JobSpec> {
    let jobs = (1..=n).map(|number| {
        let mut spec = script("item", text);
        spec.env.insert("N".to_owned(), number.to_string());
        spec
    });
    jobs.collect()
}
