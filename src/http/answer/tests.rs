//! Answers as bytes, read without a connection: what is not exact is refused.

use std::io::{self, Read as _};

use super::*;
use crate::error::Reason;

/// Reads one answer whose connection then closes, without retries.
fn read(answer: &[u8]) -> std::result::Result<Vec<u8>, Failure> {
    struct Bytes<'b>(std::cell::RefCell<&'b [u8]>);
    impl Input for Bytes<'_> {
        fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.borrow_mut().read(buffer)
        }
    }
    AnswerReader::new(&Bytes(answer.into())).body(1 << 20)
}

/// Asserts that each of these answers is refused at once.
fn assert_refused(head: &str, answers: &[&str]) {
    for rest in answers {
        let answer = format!("{head}{rest}");
        match read(answer.as_bytes()) {
            Err(Failure::Final(error)) => assert_eq!(error.reason(), Reason::BadAnswer, "{rest:?}"),
            other => panic!("{answer:?} gave {other:?}"),
        }
    }
}

#[test]
fn what_is_not_http_is_refused() {
    assert_refused(
        "",
        &[
            "\x00\x01garbage\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "\r\n\r\n",
            // An empty line before the status line, which httparse skips.
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
}

#[test]
fn status_lines_other_than_http_1_are_refused() {
    for line in [
        "HTTP/2.0 200 OK",
        "HTTP/2 200 OK",
        "HTTP/0.9 200 OK",
        "HTTP/1.2 200 OK",
        "HTTP/1.11 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 +200 OK",
        "HTTP/1.1 -200 OK",
        "HTTP/1.1 0200 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 200.0 OK",
        "HTTP/1.1 OK",
        "HTTP/1.1",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
    ] {
        assert_refused(line, &["\r\nContent-Length: 1\r\n\r\nx"]);
    }
    // The reason phrase may be missing, and may be any text.
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 \u{e4}\tx"] {
        let answer = format!("{line}\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(read(answer.as_bytes()).unwrap(), b"x", "{line}");
    }
}

/// A status that no server may send is refused at once. It is not tried again as a server error is.
#[test]
fn an_impossible_status_is_refused_at_once() {
    for status in ["000", "099", "600", "999"] {
        assert_refused(&format!("HTTP/1.1 {status} X"), &["\r\nContent-Length: 0\r\n\r\n"]);
    }
    for status in ["500", "503", "599"] {
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(read(answer.as_bytes()), Err(Failure::Passing(_))), "{status}");
    }
}

#[test]
fn interim_answers_are_skipped_up_to_a_bound() {
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102 Processing\r\nX: y\r\n\r\n",
        // An interim answer has no body, whatever its head says.
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 199 Other\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert_eq!(read(format!("{interim}{good}").as_bytes()).unwrap(), b"hello", "{interim}");
        assert_eq!(read(format!("{}{good}", interim.repeat(8)).as_bytes()).unwrap(), b"hello", "{interim}");
        assert_refused(&interim.repeat(9), &[good]);
        assert!(matches!(read(interim.as_bytes()), Err(Failure::Passing(_))), "{interim}");
    }
    // Status 101 switches to another protocol, which the client does not ask for.
    assert_refused("HTTP/1.1 101 Switching Protocols\r\n\r\n", &[good]);
    assert_refused("HTTP/1.1 100 Continue\r\n\r\n", &["hello\r\n\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\nx"]);
}

#[test]
fn heads_that_are_not_exact_are_refused() {
    assert_refused(
        "HTTP/1.1 200 OK",
        &[
            // A bare LF in each place.
            "\nContent-Length: 1\n\nx",
            "\r\nContent-Length: 1\n\r\nx",
            "\r\nContent-Length: 1\r\n\nx",
            "\nContent-Length: 1\r\n\r\nx",
            // A bare CR, and NUL.
            "\r\nA: b\rc\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA: b\0c\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA\0: b\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA: \u{7f}\r\nContent-Length: 1\r\n\r\nx",
            // Folded lines, blanks around names, and lines that are not fields.
            "\r\nA: b\r\n c\r\nContent-Length: 1\r\n\r\nx",
            "\r\nA: b\r\n\tc\r\nContent-Length: 1\r\n\r\nx",
            "\r\n A: b\r\nContent-Length: 1\r\n\r\nx",
            "\r\nContent-Length : 1\r\n\r\nx",
            "\r\nContent Length: 1\r\n\r\nx",
            "\r\n: b\r\nContent-Length: 1\r\n\r\nx",
            "\r\nhello\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
    let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\nx", "A: b\r\n".repeat(count));
    assert_eq!(read(fields(64).as_bytes()).unwrap(), b"x");
    assert_refused(&fields(65), &[""]);
}

#[test]
fn lengths_that_are_not_exact_are_refused() {
    assert_refused(
        "HTTP/1.1 200 OK\r\n",
        &[
            "Content-Length: -1\r\n\r\nx",
            "Content-Length: +1\r\n\r\nx",
            "Content-Length:\r\n\r\nx",
            "Content-Length: 1 1\r\n\r\nx",
            "Content-Length: 1,1\r\n\r\nx",
            "Content-Length: 1, 1\r\n\r\nx",
            "Content-Length: 1;\r\n\r\nx",
            "Content-Length: 0x1\r\n\r\nx",
            "Content-Length: 1.0\r\n\r\nx",
            "Content-Length: \u{a0}1\r\n\r\nx",
            "Content-Length: 18446744073709551616\r\n\r\nx",
            "Content-Length: 18446744073709551617\r\n\r\nx",
            "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: chunked, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: identity\r\n\r\nx",
            "Transfer-Encoding:\r\n\r\nx",
            "Transfer-Encoding: chunked;q=1\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Transfer-Encoding: \u{b}chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
        ],
    );
    // HTTP/1.0 has no transfer encodings.
    assert_refused("HTTP/1.0 200 OK\r\n", &["Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"]);
    for head in ["content-length:1", "CONTENT-LENGTH:\t 01 ", "Transfer-encoding: Chunked"] {
        let body = if head.contains("unked") { "1\r\nx\r\n0\r\n\r\n" } else { "x" };
        let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        assert_eq!(read(answer.as_bytes()).unwrap(), b"x", "{head}");
    }
}

#[test]
fn chunks_that_are_not_exact_are_refused() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(300));
    assert_refused(
        head,
        &[
            // A line without digits is not a size. It must not count as size 0.
            "\r\n",
            "\r\n\r\n",
            "\r\n{\"ignition\":{}}\r\n0\r\n\r\n",
            ";\r\n\r\n",
            ";x=y\r\n\r\n",
            " \r\n\r\n",
            "\t;x\r\n\r\n",
            "1\r\nx\r\n\r\n",
            "zz\r\n",
            "-1\r\nx\r\n0\r\n\r\n",
            "+1\r\nx\r\n0\r\n\r\n",
            "0x1\r\nx\r\n0\r\n\r\n",
            " 1\r\nx\r\n0\r\n\r\n",
            "1 1\r\nx\r\n0\r\n\r\n",
            "1 x\r\nx\r\n0\r\n\r\n",
            "1,\r\nx\r\n0\r\n\r\n",
            "1\0\r\nx\r\n0\r\n\r\n",
            "1;\0\r\nx\r\n0\r\n\r\n",
            "1;a\rb\r\nx\r\n0\r\n\r\n",
            // A bare LF, and a bare CR.
            "1\nx\r\n0\r\n\r\n",
            "1;x\nx\r\n0\r\n\r\n",
            "1\rx\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx\r\n0\n\r\n",
            "1\r\nx\r\n0\r\n\n",
            // The chunk does not have the size that its line says.
            "1\r\nxyz\r\n0\r\n\r\n",
            "0\r\nhello\r\n0\r\n\r\n",
            "0\r\n{\"ignition\":{}}\r\n0\r\n\r\n",
            "0\r\n5\r\nhello\r\n0\r\n\r\n",
            // Sizes beyond 64 bits, also with leading zeros.
            "11111111111111111\r\n",
            "00000000000000001\r\nx\r\n0\r\n\r\n",
            "10000000000000000\r\n\r\n",
            &long,
            // Trailers that are not fields.
            "1\r\nx\r\n0\r\nA b\r\n\r\n",
            "1\r\nx\r\n0\r\nA : b\r\n\r\n",
            "1\r\nx\r\n0\r\nA: b\r\n c: d\r\n\r\n",
            "1\r\nx\r\n0\r\nA: b\0\r\n\r\n",
        ],
    );
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "0000000000000005\r\nhello\r\n000\r\n\r\n",
        "5 \t\r\nhello\r\n0;x\r\n\r\n",
        "5 ; x=\"y\tz\"\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n",
        "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ] {
        assert_eq!(read(format!("{head}{body}").as_bytes()).unwrap(), b"hello", "{body}");
    }
    let large = format!("{head}A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n");
    assert_eq!(read(large.as_bytes()).unwrap().len(), 21);
    // The end of the connection is neither a last chunk nor the end of the trailers.
    for body in [
        "",
        "5",
        "5\r\nhello",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0",
        "5\r\nhello\r\n0\r\n",
        "0\r\n",
        "0\r\nA: b\r\n",
    ] {
        let read = read(format!("{head}{body}").as_bytes());
        assert!(matches!(read, Err(Failure::Passing(_))), "{body:?}: {read:?}");
    }
}
