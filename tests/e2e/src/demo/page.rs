//! How the demo speaks: a heading for each part, short indented lines, and how long it took.

use std::time::Instant;

use anyhow::{Context as _, Result};

/// Runs one part under its heading.
///
/// # Errors
/// The part's own, with the heading before it.
pub(super) fn part<T>(heading: &'static str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("\n{heading}");
    let began_at = Instant::now();
    let done = run().context(heading)?;
    println!("    {:.2} s", began_at.elapsed().as_secs_f64());
    Ok(done)
}

/// Prints one line, or several.
pub(super) fn say(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}
