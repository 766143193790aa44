//! MessagePack, as much of it as the scripts are told: lists, whole numbers, truth values, texts.

/// A growing message.
#[derive(Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Begins a list; the next `n` values are its items.
    pub(super) fn list(&mut self, n: usize) -> &mut Self {
        match n {
            0..=15 => self.bytes.push(0x90 | n as u8),
            _ => self.sized(0xdd, n),
        }
        self
    }

    pub(super) fn number(&mut self, n: i64) -> &mut Self {
        match n {
            0..=127 => self.bytes.push(n as u8),
            _ => {
                self.bytes.push(0xd3);
                self.bytes.extend_from_slice(&n.to_be_bytes());
            }
        }
        self
    }

    pub(super) fn index(&mut self, n: usize) -> &mut Self {
        self.number(n as i64)
    }

    pub(super) fn flag(&mut self, is_set: bool) -> &mut Self {
        self.bytes.push(if is_set { 0xc3 } else { 0xc2 });
        self
    }

    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) -> &mut Self {
        let text = text.as_ref();
        match text.len() {
            n @ 0..=31 => self.bytes.push(0xa0 | n as u8),
            n => self.sized(0xdb, n),
        }
        self.bytes.extend_from_slice(text);
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn sized(&mut self, kind: u8, n: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&(n as u32).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_format_says() {
        let mut message = Message::default();
        message
            .list(2)
            .number(5)
            .number(-1)
            .flag(true)
            .text("ab")
            .text("");
        let expected = [
            0x92, 5, 0xd3, 255, 255, 255, 255, 255, 255, 255, 255, 0xc3, 0xa2, b'a', b'b', 0xa0,
        ];
        assert_eq!(message.into_bytes(), expected);
        let mut message = Message::default();
        message.list(16);
        assert_eq!(message.into_bytes(), [0xdd, 0, 0, 0, 16]);
        let mut message = Message::default();
        message.text("x".repeat(32));
        assert_eq!(message.into_bytes()[..5], [0xdb, 0, 0, 0, 32]);
    }
}
