//! The agent's actors around an executor.
