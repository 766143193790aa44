//! `--input PATH[=DEST]`: which local files become which inputs of a job.
//!
//! First everything is found and named ([`collect`]), so that a mistake is told before anything is sent; then it is
//! hashed and uploaded ([`upload`]). A directory stands for all files in it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::IsTerminal as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use domain::spec::{ENTRIES_MAX, Input};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use indicatif::ProgressBar;
use protocol::client::Client;

use crate::blobs;
use crate::failure::Failure;

/// Uploads at the same time.
const UPLOADS_MAX: usize = 4;
/// Deepest directory that is walked.
const DEPTH_MAX: usize = 32;
/// Any of these permission bits makes a file executable.
const EXECUTE_BITS: u32 = 0o111;

/// A local file that becomes an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalInput {
    path: PathBuf,
    executable: bool,
}

/// Finds the files that `--input` options name: destination in the work directory to local file.
///
/// # Errors
/// A path does not exist, cannot be an input, or two files have the same destination.
pub(crate) fn collect(options: &[String]) -> Result<BTreeMap<String, LocalInput>, Failure> {
    let mut found = BTreeMap::new();
    for option in options {
        let (path, destination) = match option.rsplit_once('=') {
            Some((path, destination)) => (Path::new(path), destination.trim_end_matches('/').to_owned()),
            None => (Path::new(option), default_destination(Path::new(option))?),
        };
        let destination = if destination == "." {
            String::new()
        } else {
            destination
        };
        add(&mut found, path, destination, 0)?;
    }
    Ok(found)
}

fn add(
    found: &mut BTreeMap<String, LocalInput>,
    path: &Path,
    destination: String,
    depth: usize,
) -> Result<(), Failure> {
    // Follows links: a link to a file is read as that file.
    let metadata = path.metadata().map_err(|why| Failure::file("read", path, why))?;
    if metadata.is_dir() {
        return add_directory(found, path, &destination, depth);
    }
    if !metadata.is_file() {
        return refuse(path, "it is neither a file nor a directory");
    }
    if destination.is_empty() {
        return refuse(
            path,
            "`.` is the work directory itself: give the file a name there",
        );
    }
    let input = LocalInput {
        path: path.to_path_buf(),
        executable: is_executable(&metadata),
    };
    if found.insert(destination.clone(), input).is_some() {
        return refuse(path, &format!("another input is named `{destination}` too"));
    }
    if found.len() > ENTRIES_MAX {
        return refuse(
            path,
            &format!("a job has at most {ENTRIES_MAX} inputs: pack them into an archive"),
        );
    }
    Ok(())
}

fn add_directory(
    found: &mut BTreeMap<String, LocalInput>,
    path: &Path,
    destination: &str,
    depth: usize,
) -> Result<(), Failure> {
    if depth >= DEPTH_MAX {
        return refuse(path, &format!("directories are walked at most {DEPTH_MAX} deep"));
    }
    let unreadable = |why| Failure::file("read", path, why);
    for entry in path.read_dir().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let child = entry.path();
        // A linked directory could lead out of the tree, or around in it.
        if entry.file_type().map_err(unreadable)?.is_symlink() && child.is_dir() {
            return refuse(&child, "it is a link to a directory");
        }
        let name = text(&entry.file_name(), &child)?;
        let below = if destination.is_empty() {
            name
        } else {
            format!("{destination}/{name}")
        };
        add(found, &child, below, depth + 1)?;
    }
    Ok(())
}

/// A relative path inside the current directory keeps its name; of any other the last part is kept.
fn default_destination(path: &Path) -> Result<String, Failure> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(text(part, path)?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                let name = path.file_name();
                return match name {
                    Some(name) => text(name, path),
                    None => refuse(path, "give it a name in the work directory: PATH=DEST"),
                };
            }
        }
    }
    Ok(parts.join("/"))
}

fn text(name: &OsStr, path: &Path) -> Result<String, Failure> {
    match name.to_str() {
        Some(name) => Ok(name.to_owned()),
        None => refuse(path, "its name is not UTF-8"),
    }
}

fn refuse<T>(path: &Path, why: &str) -> Result<T, Failure> {
    Err(Failure::Input {
        path: path.display().to_string(),
        why: why.to_owned(),
    })
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & EXECUTE_BITS != 0
}

/// Hashes and uploads the files; returns the inputs of the spec.
///
/// # Errors
/// A file cannot be read, or the coordinator refuses.
pub(crate) async fn upload(
    client: &Client,
    files: BTreeMap<String, LocalInput>,
) -> Result<BTreeMap<String, Input>, Failure> {
    let mut inputs = BTreeMap::new();
    // Two uploads of one blob at a time would be in each other's way.
    let mut blobs = BTreeMap::new();
    for (destination, LocalInput { path, executable }) in files {
        let (digest, length) = blobs::digest_of(&path)?;
        blobs.insert(digest, (path, length));
        inputs.insert(destination, Input { digest, executable });
    }
    let bar = if std::io::stderr().is_terminal() && !blobs.is_empty() {
        ProgressBar::new(blobs.len() as u64).with_message("uploading inputs")
    } else {
        ProgressBar::hidden()
    };
    let uploads = blobs.iter().map(|(digest, (path, length))| {
        let bar = &bar;
        async move {
            blobs::upload(client, path, *digest, *length).await?;
            bar.inc(1);
            Ok::<_, Failure>(())
        }
    });
    let sent: Result<(), Failure> = stream::iter(uploads)
        .buffer_unordered(UPLOADS_MAX)
        .try_collect()
        .await;
    bar.finish_and_clear();
    sent.map(|()| inputs)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("src/deep")).unwrap();
        std::fs::write(dir.path().join("src/a.c"), "a").unwrap();
        std::fs::write(dir.path().join("src/deep/run.sh"), "b").unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path().join("src/deep/run.sh"), mode).unwrap();
        dir
    }

    fn names(options: &[String]) -> Vec<(String, bool)> {
        let found = collect(options).unwrap();
        found
            .into_iter()
            .map(|(name, input)| (name, input.executable))
            .collect()
    }

    #[test]
    fn a_directory_stands_for_all_its_files() {
        let dir = tree();
        let src = dir.path().join("src").display().to_string();
        let below = |prefix: &str| {
            vec![
                (format!("{prefix}a.c"), false),
                (format!("{prefix}deep/run.sh"), true),
            ]
        };
        assert_eq!(names(std::slice::from_ref(&src)), below("src/"));
        assert_eq!(names(&[format!("{src}=in/put/")]), below("in/put/"));
        assert_eq!(names(&[format!("{src}=.")]), below(""));
    }

    #[test]
    fn a_path_inside_the_current_directory_keeps_its_name() {
        for (path, expected) in [
            ("./src/a.c", "src/a.c"),
            ("../x/a.c", "a.c"),
            ("/etc/hosts", "hosts"),
            (".", ""),
        ] {
            assert_eq!(default_destination(Path::new(path)).unwrap(), expected, "{path}");
        }
        assert!(default_destination(Path::new("..")).is_err());
    }

    #[test]
    fn a_link_to_a_directory_and_a_name_taken_twice_are_refused() {
        let dir = tree();
        let src = dir.path().join("src").display().to_string();
        assert!(matches!(
            collect(&[format!("{src}/a.c=x"), format!("{src}/deep/run.sh=x")]),
            Err(Failure::Input { .. })
        ));
        symlink(dir.path(), dir.path().join("src/around")).unwrap();
        assert!(matches!(collect(&[src]), Err(Failure::Input { .. })));
    }

    #[test]
    fn more_files_than_a_job_may_have_are_refused_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..=ENTRIES_MAX {
            std::fs::write(dir.path().join(n.to_string()), "").unwrap();
        }
        let refused = collect(&[format!("{}=.", dir.path().display())]).unwrap_err();
        assert!(refused.to_string().contains("at most 256 inputs"), "{refused}");
    }
}
