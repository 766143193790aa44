//! Server-sent events out of a stream of bytes that is cut anywhere.
//!
//! As in the HTML standard, with two differences: lines end in LF or CRLF only, and an event without its empty line at
//! the end of the stream is dropped by the standard and here alike, which is what makes resuming by id exact.

/// Longest event. A frame of 64 KiB is 88 KiB of base64; the rest is room.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Event {
    /// Its kind; `message` when the sender names none.
    pub(super) kind: String,
    /// Its id, if it has one of its own.
    pub(super) id: Option<String>,
    /// Its data, lines joined by LF.
    pub(super) data: String,
}

/// An event that is longer than any that our coordinators send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Reads events.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    event: Event,
    has_data: bool,
}

impl Reader {
    /// Adds bytes and returns the events that they complete.
    ///
    /// # Errors
    /// An event grows too long.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
                return Err(TooLong);
            }
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                events.extend(self.end_line(line.strip_suffix(b"\r").unwrap_or(line)));
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &[u8]) -> Option<Event> {
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            let complete = std::mem::take(&mut self.has_data) || !event.kind.is_empty();
            if event.kind.is_empty() {
                "message".clone_into(&mut event.kind);
            }
            return complete.then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            // A comment, or a field that a newer sender knows.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: &str, id: Option<&str>, data: &str) -> Event {
        Event {
            kind: kind.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    #[test]
    fn fields_comments_and_line_ends_are_read_as_the_standard_says() {
        let text = b": hello\n\nevent: frame\r\nid: 17\r\ndata: {\"a\":1}\r\n\r\ndata:x\ndata: y\nretry: 5\n\nevent: end\n\ndata: cut";
        let events = Reader::default().push(text).unwrap();
        assert_eq!(
            events,
            [
                event("frame", Some("17"), "{\"a\":1}"),
                event("message", None, "x\ny"),
                event("end", None, "")
            ]
        );
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = Reader::default();
        assert_eq!(reader.push(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn events_survive_any_cutting(data in prop::collection::vec("[a-z:é ]{0,12}", 1..6), cut in 1usize..9) {
            let text: String = data.iter().enumerate().map(|(n, data)| format!("id: {n}\ndata: {data}\n\n")).collect();
            let mut reader = Reader::default();
            let mut read = Vec::new();
            for part in text.as_bytes().chunks(cut) {
                read.extend(reader.push(part).unwrap());
            }
            let expected: Vec<Event> =
                data.iter().enumerate().map(|(n, data)| event("message", Some(&n.to_string()), data)).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
