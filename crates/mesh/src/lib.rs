//! The mesh: the advisory link between coordinators. What it carries is small, may be lost, and nobody waits for it.
