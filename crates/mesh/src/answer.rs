//! The answer to a question of a peer: bytes, or why there are none. One byte on the wire says which.

/// Longest answer, in bytes. With what is around it, it stays below [`FRAME_BYTES_MAX`].
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024 - 4096;
/// Longest question or set of hints, in bytes.
pub const QUESTION_BYTES_MAX: usize = 64 * 1024;
/// Longest message that is taken from a peer, in bytes. A longer one ends the connection.
pub(crate) const FRAME_BYTES_MAX: u64 = 1024 * 1024;

const OK: u8 = 0;
const REFUSED: u8 = 1;

/// What a peer says: its answer, or why it refuses.
pub(crate) type Answer = Result<Vec<u8>, String>;

/// An answer that is too long becomes a refusal: sent as it is, it would end the connection.
pub(crate) fn encode(answer: Answer) -> Vec<u8> {
    let (kind, bytes) = match answer {
        Ok(bytes) if bytes.len() <= ANSWER_BYTES_MAX => (OK, bytes),
        Ok(bytes) => {
            let text = format!("its answer has {} bytes, {ANSWER_BYTES_MAX} at most", bytes.len());
            (REFUSED, text.into_bytes())
        }
        Err(mut why) => {
            let end = (0..=why.len().min(QUESTION_BYTES_MAX)).rfind(|&at| why.is_char_boundary(at));
            why.truncate(end.unwrap_or(0));
            (REFUSED, why.into_bytes())
        }
    };
    let mut encoded = Vec::with_capacity(bytes.len() + 1);
    encoded.push(kind);
    encoded.extend(bytes);
    encoded
}

pub(crate) fn decode(mut encoded: Vec<u8>) -> Answer {
    match encoded.first() {
        Some(&OK) => {
            encoded.remove(0);
            Ok(encoded)
        }
        Some(&REFUSED) => Err(String::from_utf8_lossy(encoded.get(1..).unwrap_or_default()).into_owned()),
        Some(_) | None => Err("its answer is of another version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_as_it_was_and_one_that_is_too_long_as_a_refusal() {
        for answer in [Ok(Vec::new()), Ok(vec![0, 1, 255]), Err("no".to_owned())] {
            assert_eq!(decode(encode(answer.clone())), answer);
        }
        let full = vec![7; ANSWER_BYTES_MAX];
        assert!(encode(Ok(full.clone())).len() < usize::try_from(FRAME_BYTES_MAX).unwrap());
        assert_eq!(decode(encode(Ok(full))).unwrap().len(), ANSWER_BYTES_MAX);
        let refused = decode(encode(Ok(vec![7; ANSWER_BYTES_MAX + 1]))).unwrap_err();
        assert!(refused.contains("at most"), "{refused}");
        let long = "ä".repeat(QUESTION_BYTES_MAX);
        assert_eq!(decode(encode(Err(long))).unwrap_err().len(), QUESTION_BYTES_MAX);
    }

    #[test]
    fn what_no_version_of_ours_would_say_is_a_refusal() {
        assert!(decode(Vec::new()).is_err() && decode(vec![9, 9]).is_err());
    }
}
