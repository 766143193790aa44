//! The agent's tree.
