//! What is to be read, and in which order.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;

use super::super::calm::Shape;
use super::super::file::{inode, shape};
use super::super::progress::Inode;
use super::{Folder, FolderError, io_error};

/// The file that producers append to.
const APPENDED: &str = "external.jsonl";

/// Files looked at in one go, besides those that wait for whoever made them;
/// the next are looked at when some of these are gone.
const FILES_MAX: usize = 1024;

/// A name in the inbox.
#[derive(Debug, Clone)]
pub(in super::super) struct Found {
    pub name: OsString,
    pub inode: Inode,
    pub shape: Shape,
    /// It has looked like that for a while.
    pub is_calm: bool,
}

/// What there is to be read.
#[derive(Debug)]
pub(in super::super) struct Listing {
    /// By name; the one that is appended to comes last.
    pub found: Vec<Found>,
    pub is_whole: bool,
}

impl Found {
    /// Whether it stays where it is.
    pub(in super::super) fn is_appended(&self) -> bool {
        self.name == APPENDED
    }

    /// What was renamed away from the name that is appended to goes before what
    /// has that name now.
    fn place(&self) -> (bool, &OsStr) {
        (self.is_appended(), &self.name)
    }

    pub(super) fn calm(&self) -> Option<Shape> {
        self.is_calm.then_some(self.shape)
    }
}

impl Folder {
    /// The first of the files that are to be read, by name. Those that are
    /// `held` and the one that is appended to take nobody's place.
    pub(in super::super) fn list(&self, held: &HashSet<Inode>) -> Result<Listing, FolderError> {
        self.is_ours()?;
        let failed = |source| io_error("list", &self.path, source);
        let mut besides = Vec::new();
        let mut first = BTreeMap::new();
        let mut is_whole = true;
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if !is_wanted(&name) {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let found = Found {
                name,
                inode: inode(&meta),
                shape: shape(&meta),
                is_calm: false,
            };
            if found.is_appended() || held.contains(&found.inode) {
                besides.push(found);
                continue;
            }
            first.insert(found.name.clone(), found);
            if first.len() > FILES_MAX {
                first.pop_last();
                is_whole = false;
            }
        }
        let mut found: Vec<Found> = first.into_values().chain(besides).collect();
        found.sort_by(|one, other| one.place().cmp(&other.place()));
        Ok(Listing { found, is_whole })
    }
}

pub(super) fn is_wanted(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.ends_with(b".jsonl") && !name.starts_with(b".")
}
