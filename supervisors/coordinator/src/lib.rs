//! The coordinator's tree.
