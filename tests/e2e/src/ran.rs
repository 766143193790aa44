//! What really ran, told by the jobs themselves: each run leaves a line in a file of its job.
//!
//! HiveForge's own word for it is checked by other means; this one does not depend on it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use domain::JobId;

/// The directory of the files.
#[derive(Debug)]
pub struct Ran {
    directory: PathBuf,
}

impl Ran {
    /// Nothing ran yet. The files lie beneath `system`, outside of every work directory.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(system: &Path) -> Result<Self> {
        let directory = system.join("ran");
        fs::create_dir(&directory).with_context(|| format!("make {}", directory.display()))?;
        Ok(Self { directory })
    }

    /// The shell command with which a job says that it runs.
    pub fn script(&self) -> String {
        format!(
            "echo $HIVEFORGE_ATTEMPT >> {}/$HIVEFORGE_JOB_ID",
            self.directory.display()
        )
    }

    /// Fails unless each of these jobs has run once.
    ///
    /// # Errors
    /// One has not run, or more than once; the words name it and its attempts.
    pub fn each_once(&self, jobs: &[JobId]) -> Result<()> {
        for job in jobs {
            let path = self.directory.join(job.to_string());
            let attempts = fs::read_to_string(&path).with_context(|| format!("{job} has not run"))?;
            ensure!(
                attempts.lines().count() == 1,
                "{job} ran in these attempts: {attempts:?}"
            );
        }
        Ok(())
    }
}
