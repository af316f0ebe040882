//! The messages of `/dev/vmbus/hv_kvp`: `struct hv_kvp_msg` of `linux/hyperv.h`, in the machine's byte order.

/// The size of every message, in bytes.
pub(super) const SIZE: usize = 7432;
/// One message, as read from and written to the device.
pub(super) type KvpMessage = [u8; SIZE];

const OPERATION: usize = 0;
const POOL: usize = 1;
/// The start of the body. Its first four bytes are the value type of a SET and the key size of a DELETE.
const BODY: usize = 4;
const SET_KEY_SIZE: usize = 8;
const SET_VALUE_SIZE: usize = 12;
const SET_KEY: usize = 16;
const SET_VALUE: usize = SET_KEY + KEY_ROOM;
const DELETE_KEY: usize = 8;
/// The space for a key and for a value, including the NUL that ends each.
const KEY_ROOM: usize = 512;
const VALUE_ROOM: usize = 2048;

const OP_SET: u8 = 1;
const OP_DELETE: u8 = 2;
const OP_REGISTER1: u8 = 100;
/// The pool that the host writes and the guest reads.
const POOL_EXTERNAL: u8 = 0;

/// The status of an answer: the request was carried out.
pub(super) const DONE: u32 = 0;
/// The status of an answer: there is no such key, or no further key.
pub(super) const NO_MORE: u32 = 0x8007_0103;

/// A request of the host, or the kernel's part of the handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KvpRequest<'a> {
    /// The kernel's part of the handshake. It must not be answered.
    Registered,
    /// The host sets a key of its own pool.
    Set { key: &'a [u8], value: &'a [u8] },
    /// The host deletes a key of its own pool.
    Delete { key: &'a [u8] },
    /// The host sets a key of another pool, which never holds a config.
    SetElsewhere,
    /// Any other request of the host.
    Other,
}

/// Returns the message that begins the conversation.
pub(super) fn register() -> KvpMessage {
    let mut message = [0; SIZE];
    if let Some(operation) = message.get_mut(OPERATION) {
        *operation = OP_REGISTER1;
    }
    message
}

/// Parses a message; `None` if a size in it is larger than the space for the text.
pub(super) fn parse(message: &KvpMessage) -> Option<KvpRequest<'_>> {
    let is_external = byte(message, POOL) == POOL_EXTERNAL;
    match byte(message, OPERATION) {
        OP_REGISTER1 => Some(KvpRequest::Registered),
        OP_SET if is_external => Some(KvpRequest::Set {
            key: text(message, SET_KEY_SIZE, SET_KEY, KEY_ROOM)?,
            value: text(message, SET_VALUE_SIZE, SET_VALUE, VALUE_ROOM)?,
        }),
        OP_SET => Some(KvpRequest::SetElsewhere),
        OP_DELETE if is_external => {
            Some(KvpRequest::Delete { key: text(message, BODY, DELETE_KEY, KEY_ROOM)? })
        }
        _ => Some(KvpRequest::Other),
    }
}

/// Turns a request into its answer. The status is written over the operation.
pub(super) fn answer(message: &mut KvpMessage, status: u32) {
    if let Some(head) = message.first_chunk_mut() {
        *head = status.to_ne_bytes();
    }
}

fn byte(message: &KvpMessage, at: usize) -> u8 {
    message.get(at).copied().unwrap_or(0)
}

/// Returns the text at `at`. The size at `size_at` includes the NUL at the text's end.
fn text(message: &KvpMessage, size_at: usize, at: usize, room: usize) -> Option<&[u8]> {
    let size = u32::from_ne_bytes(*message.get(size_at..)?.first_chunk()?);
    let size = usize::try_from(size).ok().filter(|size| *size <= room)?;
    let text = message.get(at..)?.get(..size)?;
    // The kernel ends each text with a NUL. The NUL, and bytes after it, are not part of the text.
    text.split(|byte| *byte == 0).next()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a SET as the kernel sends it.
    pub(in super::super) fn set(pool: u8, key: &[u8], value: &[u8]) -> KvpMessage {
        let mut message = [0; SIZE];
        message[0] = 1;
        message[1] = pool;
        message[4..8].copy_from_slice(&1u32.to_ne_bytes());
        message[8..12].copy_from_slice(&u32::try_from(key.len() + 1).unwrap().to_ne_bytes());
        message[12..16].copy_from_slice(&u32::try_from(value.len() + 1).unwrap().to_ne_bytes());
        message[16..16 + key.len()].copy_from_slice(key);
        message[528..528 + value.len()].copy_from_slice(value);
        message
    }

    /// Returns a DELETE in the host's pool as the kernel sends it.
    pub(in super::super) fn delete(key: &[u8]) -> KvpMessage {
        let mut message = [0; SIZE];
        message[0] = 2;
        message[4..8].copy_from_slice(&u32::try_from(key.len() + 1).unwrap().to_ne_bytes());
        message[8..8 + key.len()].copy_from_slice(key);
        message
    }

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(parse(&register()), Some(KvpRequest::Registered));
        assert_eq!(parse(&set(0, b"k", b"v")), Some(KvpRequest::Set { key: b"k", value: b"v" }));
        assert_eq!(parse(&set(0, b"k", b"")), Some(KvpRequest::Set { key: b"k", value: b"" }));
        assert_eq!(parse(&set(3, b"k", b"v")), Some(KvpRequest::SetElsewhere));
        assert_eq!(parse(&delete(b"key")), Some(KvpRequest::Delete { key: b"key" }));
        for operation in [0, 3, 4, 5] {
            let mut message = [0; SIZE];
            message[0] = operation;
            assert_eq!(parse(&message), Some(KvpRequest::Other));
        }
    }

    #[test]
    fn texts_may_fill_their_room_and_no_more() {
        let (key, value) = ([b'k'; 511], [b'v'; 2047]);
        assert_eq!(parse(&set(0, &key, &value)), Some(KvpRequest::Set { key: &key, value: &value }));
        let mut message = set(0, b"k", b"v");
        message[12..16].copy_from_slice(&2049u32.to_ne_bytes());
        assert_eq!(parse(&message), None);
        message = set(0, b"k", b"v");
        message[8..12].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(parse(&message), None);
        message = delete(b"k");
        message[4..8].copy_from_slice(&513u32.to_ne_bytes());
        assert_eq!(parse(&message), None);
    }

    #[test]
    fn an_answer_keeps_all_but_the_head() {
        let request = set(0, b"k", b"v");
        let mut message = request;
        answer(&mut message, NO_MORE);
        assert_eq!(message[..4], 0x8007_0103_u32.to_ne_bytes());
        assert_eq!(message[4..], request[4..]);
    }
}
