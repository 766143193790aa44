//! Real servers for tests, started on loopback and ended by their ids: Redis in all its arrangements, and a proxy that misbehaves.
