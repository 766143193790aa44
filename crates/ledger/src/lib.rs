//! The one path by which state changes.
