//! Log frames: which stream wrote which bytes, when.
//!
//! A framed log is a row of frames: one byte of stream, eight bytes of time (milliseconds, big endian), four bytes of
//! length (big endian), then the bytes. Offsets in the protocol count bytes of the framed log. A reader may see any
//! prefix; [`Decoder`] keeps the unfinished rest until more arrives.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Bytes before a frame's data.
pub const HEADER_BYTES: usize = 13;
/// Most data bytes of one frame; a writer splits what is longer.
pub const FRAME_DATA_BYTES_MAX: usize = 64 << 10;

/// What wrote the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// The agent itself: notes such as "log limit reached".
    Agent,
}

impl Stream {
    const fn byte(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Agent => 3,
        }
    }

    const fn of_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::Agent),
            _ => None,
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What wrote it.
    pub stream: Stream,
    /// When the agent read it.
    pub at: Timestamp,
    /// The bytes.
    pub data: Bytes,
}

/// Appends `data` as one or more frames.
pub fn encode(out: &mut BytesMut, stream: Stream, at: Timestamp, data: &[u8]) {
    for part in data.chunks(FRAME_DATA_BYTES_MAX) {
        out.reserve(HEADER_BYTES + part.len());
        out.put_u8(stream.byte());
        out.put_u64(at.as_millis());
        out.put_u32(u32::try_from(part.len()).expect("a part is at most 64 KiB"));
        out.put_slice(part);
    }
}

/// A framed log that no agent of ours wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log is damaged at byte {offset}")]
pub struct Damaged {
    /// Where the bad frame begins.
    pub offset: u64,
}

/// Reads frames out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Decoder {
    rest: BytesMut,
    offset: u64,
}

impl Decoder {
    /// A decoder that starts at a frame's beginning, `offset` bytes into the framed log.
    pub fn at(offset: u64) -> Self {
        Self {
            rest: BytesMut::new(),
            offset,
        }
    }

    /// The offset of the next frame that [`Self::next_frame`] returns.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    ///
    /// # Errors
    /// The bytes are no frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Damaged> {
        let Some(mut header) = self.rest.get(..HEADER_BYTES) else {
            return Ok(None);
        };
        let damaged = Damaged { offset: self.offset };
        let stream = Stream::of_byte(header.get_u8()).ok_or(damaged)?;
        let at = Timestamp(header.get_u64());
        let length = header.get_u32() as usize;
        if length > FRAME_DATA_BYTES_MAX {
            return Err(damaged);
        }
        if self.rest.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.rest.advance(HEADER_BYTES);
        self.offset += (HEADER_BYTES + length) as u64;
        Ok(Some(Frame {
            stream,
            at,
            data: self.rest.split_to(length).freeze(),
        }))
    }
}

/// Serde for bytes as base64 text.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes base64.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64.
    ///
    /// # Errors
    /// The text is no base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(serde::de::Error::custom)
    }
}

/// Serde for optional bytes as base64 text.
pub mod base64_option {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "super::base64_bytes")] Bytes);

    /// Writes base64 or null.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.clone().map(Text).serialize(serializer)
    }

    /// Reads base64 or null.
    ///
    /// # Errors
    /// The text is no base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_survive_any_cutting(parts in prop::collection::vec((0..3u8, prop::collection::vec(any::<u8>(), 1..200)), 0..8), cut in 1usize..50) {
            let mut log = BytesMut::new();
            let mut expected = Vec::new();
            for (stream, data) in &parts {
                let stream = Stream::of_byte(stream + 1).unwrap();
                encode(&mut log, stream, Timestamp(7), data);
                expected.push(Frame { stream, at: Timestamp(7), data: Bytes::copy_from_slice(data) });
            }
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            for chunk in log.chunks(cut) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, expected);
            prop_assert_eq!(decoder.offset(), log.len() as u64);
        }
    }

    #[test]
    fn a_long_write_is_split_into_frames() {
        let mut log = BytesMut::new();
        encode(
            &mut log,
            Stream::Stderr,
            Timestamp(1),
            &vec![0; FRAME_DATA_BYTES_MAX + 1],
        );
        assert_eq!(log.len(), FRAME_DATA_BYTES_MAX + 1 + 2 * HEADER_BYTES);
    }

    #[test]
    fn what_is_no_frame_is_named_with_its_offset() {
        let mut decoder = Decoder::at(40);
        decoder.push(&[9; HEADER_BYTES]);
        assert_eq!(decoder.next_frame(), Err(Damaged { offset: 40 }));
    }
}
