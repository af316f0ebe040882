//! Calls methods of a D-Bus server directly, without a message bus (D-Bus Specification 0.43, "Message Protocol").
//! The managers of systemd offer this on their private sockets. A call there needs no `Hello`, and the sockets exist
//! before the bus does.
//!
//! Only the types that [`super::systemd`] needs are implemented: strings, numbers, arrays of structures, and variants
//! of these.

mod marshal;

use rustix::io::Errno;

use super::deadline::TimedStream;
pub use marshal::{Values, Writer};

const LONGEST_FIELDS: usize = 64 << 10;
/// The longest line of the authentication, in bytes.
const LONGEST_LINE: usize = 256;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// An authenticated connection.
pub struct Connection {
    stream: TimedStream,
    serial: u32,
    longest: usize,
}

/// A method to call.
pub struct Method<'a> {
    /// The object's path.
    pub object: &'a str,
    /// The interface.
    pub interface: &'a str,
    /// The method's name.
    pub name: &'a str,
    /// The D-Bus signature of the method's arguments.
    pub signature: &'a str,
}

impl Connection {
    /// Authenticates as root to the server at the other end of `stream`. A message from the server may have at most
    /// `longest` bytes.
    ///
    /// # Errors
    /// The errno of the socket; `EACCES` if the server rejects the authentication, `EPROTO` if it does not follow the
    /// protocol.
    pub fn open(mut stream: TimedStream, longest: usize) -> Result<Self, Errno> {
        // EXTERNAL authentication as user id 0: its decimal digits are sent in hexadecimal, so "0" becomes "30".
        stream.write_all(b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n")?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            line.extend(byte);
            if line.len() > LONGEST_LINE {
                return Err(Errno::PROTO);
            }
        }
        if !line.starts_with(b"OK ") {
            return Err(Errno::ACCESS);
        }
        Ok(Self { stream, serial: 0, longest })
    }

    /// Calls a method whose `arguments` are already marshalled, and returns the reply.
    ///
    /// # Errors
    /// The errno of the socket; `ENOMSG` if the server replies with an error, `EPROTO` for a malformed message,
    /// `EMSGSIZE` for a message that is too long.
    pub fn call(&mut self, method: &Method<'_>, arguments: &Writer) -> Result<Reply, Errno> {
        self.serial = self.serial.wrapping_add(1);
        self.stream.write_all(&request(self.serial, method, arguments)?)?;
        loop {
            let reply = self.receive()?;
            match reply.kind {
                METHOD_RETURN if reply.answers == self.serial => return Ok(reply),
                ERROR if reply.answers == self.serial => return Err(Errno::NOMSG),
                // Signals, and replies to other calls, are skipped.
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> Result<Reply, Errno> {
        let mut fixed = [0; 16];
        self.stream.read_exact(&mut fixed)?;
        let mut values = Values::new(&fixed);
        let [endian, kind, _flags, version] =
            [values.byte()?, values.byte()?, values.byte()?, values.byte()?];
        let (body, _serial, fields) = (values.length()?, values.u32()?, values.length()?);
        if endian != b'l' || version != 1 {
            return Err(Errno::PROTO);
        }
        if body > self.longest || fields > LONGEST_FIELDS {
            return Err(Errno::MSGSIZE);
        }
        let mut header = vec![0; fields.next_multiple_of(8)];
        self.stream.read_exact(&mut header)?;
        let answers = reply_serial(header.get(..fields).unwrap_or_default())?;
        let mut bytes = vec![0; body];
        self.stream.read_exact(&mut bytes)?;
        Ok(Reply { kind, answers, bytes })
    }
}

/// A message from the server.
pub struct Reply {
    kind: u8,
    answers: u32,
    bytes: Vec<u8>,
}

impl Reply {
    /// Returns a reader that starts at the first value of the body.
    pub fn values(&self) -> Values<'_> {
        Values::new(&self.bytes)
    }
}

/// Returns the whole message that calls `method`.
fn request(serial: u32, method: &Method<'_>, arguments: &Writer) -> Result<Vec<u8>, Errno> {
    let mut fields = Writer::default();
    for (code, kind, text) in [
        (1, "o", method.object),
        (2, "s", method.interface),
        (3, "s", method.name),
        (6, "s", "org.freedesktop.systemd1"),
        (8, "g", method.signature),
    ] {
        if text.is_empty() {
            continue;
        }
        fields.align(8);
        fields.0.push(code);
        fields.signature(kind)?;
        if kind == "g" { fields.signature(text)? } else { fields.string(text)? }
    }
    let mut message = Writer(vec![b'l', METHOD_CALL, 0, 1]);
    message.length(arguments.0.len())?;
    message.u32(serial);
    message.length(fields.0.len())?;
    message.0.extend(fields.0);
    message.align(8);
    message.0.extend(&arguments.0);
    Ok(message.0)
}

/// Returns the serial number of the call that a message replies to, by its header fields; 0 if it replies to none.
fn reply_serial(fields: &[u8]) -> Result<u32, Errno> {
    let mut values = Values::new(fields);
    let mut answers = 0;
    while !values.is_over() {
        values.align(8)?;
        let code = values.byte()?;
        match values.signature()? {
            "u" => {
                let value = values.u32()?;
                if code == 5 {
                    answers = value;
                }
            }
            "s" | "o" => drop(values.string()?),
            "g" => drop(values.signature()?),
            _ => return Err(Errno::PROTO),
        }
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;
    use crate::agent::deadline::Deadline;
    use crate::testing::TempDir;

    /// A message written by hand. Each header field starts at a multiple of eight bytes. The length of the fields
    /// does not count the padding before the body.
    const CALL: &[u8] = b"l\x01\x00\x01\x0d\x00\x00\x00\x01\x00\x00\x00\x77\x00\x00\x00\
        \x01\x01o\x00\x19\x00\x00\x00/org/freedesktop/systemd1\x00\x00\x00\x00\x00\x00\x00\
        \x02\x01s\x00\x04\x00\x00\x00a.bc\x00\x00\x00\x00\
        \x03\x01s\x00\x03\x00\x00\x00Get\x00\x00\x00\x00\x00\
        \x06\x01s\x00\x18\x00\x00\x00org.freedesktop.systemd1\x00\x00\x00\x00\x00\x00\x00\x00\
        \x08\x01g\x00\x01s\x00\x00\
        \x08\x00\x00\x00argument\x00";

    #[test]
    fn a_call_is_marshalled_as_the_specification_says() {
        let method =
            Method { object: "/org/freedesktop/systemd1", interface: "a.bc", name: "Get", signature: "s" };
        let mut arguments = Writer::default();
        arguments.string("argument").unwrap();
        let message = request(1, &method, &arguments).unwrap();
        assert_eq!(message, CALL);
    }

    fn answering(script: impl FnOnce(UnixStream) + Send + 'static) -> Result<Reply, Errno> {
        let temp = TempDir::new("dbus");
        let path = temp.join("private");
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || script(listener.accept().unwrap().0));
        let deadline = Deadline::after(Duration::from_secs(5));
        let method = Method { object: "/", interface: "i", name: "M", signature: "" };
        let reply = TimedStream::connect(&path, deadline)
            .and_then(|stream| Connection::open(stream, 100))
            .and_then(|mut connection| connection.call(&method, &Writer::default()));
        server.join().unwrap();
        reply
    }

    fn message(kind: u8, answers: u8, body: &[u8]) -> Vec<u8> {
        let length = u8::try_from(body.len()).unwrap();
        let mut bytes = vec![b'l', kind, 1, 1, length, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0];
        bytes.extend([5, 1, b'u', 0, answers, 0, 0, 0]);
        bytes.extend(body);
        bytes
    }

    fn read_head(stream: &mut UnixStream) {
        let mut head = [0; 26];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n");
    }

    #[test]
    fn a_server_answers_among_other_messages() {
        let reply = answering(|mut stream| {
            read_head(&mut stream);
            stream.write_all(b"OK 0123\r\n").unwrap();
            for bytes in
                [message(4, 0, b""), message(METHOD_RETURN, 9, b""), message(2, 1, b"\x02\0\0\0hi\0")]
            {
                stream.write_all(&bytes).unwrap();
            }
            let _ = stream.read(&mut [0; 256]);
        });
        assert_eq!(reply.unwrap().values().string(), Ok("hi"));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let refused = answering(|mut stream| {
            read_head(&mut stream);
            stream.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        });
        assert_eq!(refused.err(), Some(Errno::ACCESS));
        let cut = answering(|mut stream| {
            read_head(&mut stream);
            stream.write_all(b"OK 0\r\nl\x02\0\x01").unwrap();
        });
        assert!(matches!(cut.err(), Some(Errno::CONNRESET | Errno::PIPE)));
        let huge = answering(|mut stream| {
            read_head(&mut stream);
            // This header announces a body of 101 bytes.
            stream.write_all(b"OK 0\r\nl\x02\0\x01\x65\0\0\0\x01\0\0\0\0\0\0\0").unwrap();
            let _ = stream.read(&mut [0; 256]);
        });
        assert_eq!(huge.err(), Some(Errno::MSGSIZE));
        let error = answering(|mut stream| {
            read_head(&mut stream);
            stream.write_all(b"OK 0\r\n").unwrap();
            stream.write_all(&message(ERROR, 1, b"")).unwrap();
            let _ = stream.read(&mut [0; 256]);
        });
        assert_eq!(error.err(), Some(Errno::NOMSG));
    }
}
