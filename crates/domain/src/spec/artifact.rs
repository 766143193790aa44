//! Which files are kept after a run.
//!
//! A rule is a glob beneath the work directory. Written as a plain text it is required: a run that leaves no match has
//! failed. `{ glob = "..", optional = true }` keeps what is there.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// One artifact rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArtifactRule {
    /// Glob beneath the work directory; `**` crosses directories.
    pub glob: String,
    /// No match is no failure.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

impl<'de> Deserialize<'de> for ArtifactRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Reads either form, so that an error is the form's own and not "matched no variant".
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = ArtifactRule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a glob, or { glob = \"..\", optional = true }")
    }

    fn visit_str<E: de::Error>(self, glob: &str) -> Result<ArtifactRule, E> {
        Ok(ArtifactRule {
            glob: glob.to_owned(),
            optional: false,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ArtifactRule, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Long {
            glob: String,
            #[serde(default)]
            optional: bool,
        }
        let long = Long::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(ArtifactRule {
            glob: long.glob,
            optional: long.optional,
        })
    }
}
