//! `hiveforge blob put|get`: content by digest.
//!
//! A blob is named by its digest before it is sent, so standard input is kept in a temporary file first. A downloaded
//! file appears under its name only after its digest was right.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use domain::Digest;
use protocol::client::Client;
use tempfile::NamedTempFile;

use crate::blobs;
use crate::cli::Connection;
use crate::command::Context;
use crate::failure::Failure;
use crate::output;

/// The permissions of a downloaded file, before the umask.
const FILE_MODE: u32 = 0o666;

/// Options of `blob`.
#[derive(Debug, Args)]
pub(crate) struct Blob {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Upload a file and print its digest
    Put {
        /// The file, or - for standard input
        file: PathBuf,
    },
    /// Download a blob and check it against its digest
    Get {
        /// The digest, 64 hexadecimal digits
        digest: Digest,
        /// Where to write it [default: standard output]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

impl Blob {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or written, or the coordinator refuses.
    pub(crate) async fn run(self, ctx: &Context) -> Result<(), Failure> {
        let client = ctx.connect(&self.connection)?;
        match self.verb {
            Verb::Put { file } if file.as_os_str() == "-" => {
                let spooled = spool_stdin()?;
                put(&client, spooled.path()).await
            }
            Verb::Put { file } => put(&client, &file).await,
            Verb::Get { digest, file: None } => {
                let path = format!("/v1/blobs/{digest}");
                blobs::download(&client, &path, digest, &mut io::stdout()).await
            }
            Verb::Get {
                digest,
                file: Some(file),
            } => get_to_file(&client, digest, &file).await,
        }
    }
}

async fn put(client: &Client, file: &Path) -> Result<(), Failure> {
    let (digest, length) = blobs::digest_of(file)?;
    blobs::upload(client, file, digest, length).await?;
    output::print(&format!("{digest}\n"))
}

fn spool_stdin() -> Result<NamedTempFile, Failure> {
    let failed = |why| Failure::file("keep", "standard input", why);
    let mut spooled = NamedTempFile::new().map_err(failed)?;
    io::copy(&mut io::stdin().lock(), &mut spooled).map_err(failed)?;
    spooled.flush().map_err(failed)?;
    Ok(spooled)
}

async fn get_to_file(client: &Client, digest: Digest, file: &Path) -> Result<(), Failure> {
    let failed = |why| Failure::file("write", file, why);
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut partial = tempfile::Builder::new()
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(directory.unwrap_or_else(|| Path::new(".")))
        .map_err(failed)?;
    blobs::download(
        client,
        &format!("/v1/blobs/{digest}"),
        digest,
        partial.as_file_mut(),
    )
    .await?;
    partial.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}
