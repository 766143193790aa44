//! The control plane's actors and HTTP API.
