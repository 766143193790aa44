//! The identity of a vault: a name that is made once and kept in a file beside the blobs.
//!
//! Several coordinators must mean the same vault, or each would miss the blobs of the others. Paths cannot tell, since every
//! machine has its own; this can.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};

use crate::error::VaultError;
use crate::layout::{Layout, sync_dir};

/// Random bytes of an identity.
const ID_BYTES: usize = 16;

/// The identity of a vault: 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VaultId(String);

impl VaultId {
    /// The text of it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads the identity of the vault, and makes it where there is none. Of several that make it at once one wins.
pub(crate) fn open(layout: &Layout) -> Result<VaultId, VaultError> {
    match read(layout) {
        Err(VaultError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            make(layout)?;
            read(layout)
        }
        found => found,
    }
}

fn read(layout: &Layout) -> Result<VaultId, VaultError> {
    let path = layout.id();
    let text = fs::read_to_string(&path).map_err(VaultError::at("read the vault's id in", &path))?;
    let id = text.trim();
    if id.len() == ID_BYTES * 2 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(VaultId(id.to_owned()));
    }
    let why = "it does not hold the 32 hexadecimal digits of an id: restore it, or remove it for a new one";
    let source = io::Error::new(io::ErrorKind::InvalidData, why);
    Err(VaultError::at("use the vault's id in", &path)(source))
}

/// The file appears whole and durable: it is written under another name first, and given its own without replacing one.
fn make(layout: &Layout) -> Result<(), VaultError> {
    let (path, tmp) = (layout.id(), layout.tmp());
    let failed = || VaultError::at("make the vault's id in", &path);
    let mut random = [0; ID_BYTES];
    getrandom::fill(&mut random)
        .map_err(io::Error::from)
        .map_err(failed())?;
    let mut draft = tempfile::Builder::new()
        .prefix("id-")
        .tempfile_in(&tmp)
        .map_err(VaultError::at("create a file in", &tmp))?;
    writeln!(draft, "{}", hex::encode(random))
        .and_then(|()| draft.as_file().sync_all())
        .map_err(failed())?;
    match draft.persist_noclobber(&path) {
        Err(refused) if refused.error.kind() != io::ErrorKind::AlreadyExists => Err(failed()(refused.error)),
        Ok(_) | Err(_) => sync_dir(layout.root()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_id_of_a_vault_is_made_once_and_two_vaults_have_two() {
        let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let id = |home: &Path| open(&Layout::create(home).unwrap()).unwrap();
        assert_eq!(id(homes[0].path()), id(homes[0].path()));
        assert_ne!(id(homes[0].path()), id(homes[1].path()));
    }

    #[test]
    fn all_that_open_a_new_vault_at_once_agree_on_its_id() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::create(home.path()).unwrap();
        let ids: Vec<VaultId> = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&layout).unwrap())).collect();
            opening.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn a_damaged_id_is_refused_with_the_file_and_the_way_out() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::create(home.path()).unwrap();
        fs::write(layout.id(), "mine\n").unwrap();
        let refused = open(&layout).unwrap_err();
        let VaultError::Io { path, source, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(path, &layout.id());
        assert!(source.to_string().contains("restore it"), "{source}");
    }
}
