//! Percent-encoding of what a user's text adds to a request's path or query.
//!
//! Everything but RFC 3986's unreserved characters is encoded, so no text can add a segment, a parameter or a header.

/// One segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().map(encoded).collect()
}

/// A path whose slashes stay what they are.
pub(crate) fn path(text: &str) -> String {
    text.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_in_a_url_stays_as_it_is() {
        assert_eq!(segment("a b/c?d=é%"), "a%20b%2Fc%3Fd%3D%C3%A9%25");
        assert_eq!(path("out/a b#1.txt"), "out/a%20b%231.txt");
    }
}
