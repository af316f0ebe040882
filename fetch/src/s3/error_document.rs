//! The XML document that S3 sends instead of an object.

/// The most bytes of a document that are read. S3 writes less than 1 KiB.
pub(super) const MOST: usize = 8 << 10;
/// The longest code. S3's longest has 39 letters.
const LONGEST: usize = 64;

/// Returns the code of an error document, as `NoSuchKey`. Nothing else of the document is told, because it names the
/// object and may name keys. `None` for anything that is not an error document.
pub(super) fn code(document: &[u8]) -> Option<&str> {
    let (_, inside) = split(document, b"<Error>")?;
    let (_, from_code) = split(inside, b"<Code>")?;
    let (code, _) = split(from_code.get(..from_code.len().min(LONGEST))?, b"<")?;
    let is_code = !code.is_empty() && code.iter().all(u8::is_ascii_alphanumeric);
    std::str::from_utf8(code).ok().filter(|_| is_code)
}

/// Returns what stands before and after the first `mark`.
fn split<'d>(document: &'d [u8], mark: &[u8]) -> Option<(&'d [u8], &'d [u8])> {
    let at = document.windows(mark.len()).position(|window| window == mark)?;
    let (before, from) = document.split_at_checked(at)?;
    Some((before, from.get(mark.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn only_the_code_is_told() {
        let document = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key \
                         does not exist.</Message><Key>secret</Key></Error>";
        assert_eq!(code(document), Some("NoSuchKey"));
        assert_eq!(
            code(b"<Error>\n  <Message>x</Message>\n <Code>AccessDenied</Code>"),
            Some("AccessDenied")
        );
        let long = "x".repeat(64);
        for document in [
            "",
            "<Error>",
            "<Code>NoSuchKey</Code>",
            "<Error><Code></Code></Error>",
            "<Error><Code>No such</Code></Error>",
            "<Error><Code>a\u{1b}[0m</Code></Error>",
            "<Error><Code>NoEnd",
            "<html>not found</html>",
            &format!("<Error><Code>{long}</Code>"),
        ] {
            assert_eq!(code(document.as_bytes()), None, "{document}");
        }
    }
}
