//! Hand-written pickles.

use super::*;
use crate::checkpoint::read_error::ReadError;

fn read(bytes: &[u8]) -> Result<Pickle, ReadError> {
    read_pickle(&mut Cursor::new(bytes))
}

/// `{'w': _rebuild_tensor_v2(('storage', FloatStorage, '0', 'cpu', 6), 1, (2, 2), (3, 1), False, OrderedDict())}` in
/// protocol 4: framed, short strings, memoised, globals from the stack.
fn protocol_4() -> Vec<u8> {
    let mut bytes = vec![0x80, 4, 0x95];
    bytes.extend(0u64.to_le_bytes());
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend([0x8c, text.len() as u8]);
        bytes.extend(text.as_bytes());
        bytes.push(0x94);
    };
    bytes.extend(b"}\x94");
    text(&mut bytes, "w");
    text(&mut bytes, "torch._utils");
    text(&mut bytes, "_rebuild_tensor_v2");
    bytes.extend(b"\x93\x94((");
    text(&mut bytes, "storage");
    text(&mut bytes, "torch");
    text(&mut bytes, "FloatStorage");
    bytes.extend(b"\x93\x94");
    text(&mut bytes, "0");
    text(&mut bytes, "cpu");
    bytes.extend(b"K\x06t\x94QK\x01K\x02K\x02\x86K\x03K\x01\x86\x89");
    text(&mut bytes, "collections");
    text(&mut bytes, "OrderedDict");
    bytes.extend(b"\x93)Rt\x94R\x94s.");
    bytes
}

#[test]
fn protocol_4_is_read() {
    let bytes = protocol_4();
    let pickle = read(&bytes).unwrap();
    let Node::Dict(items) = pickle.root() else {
        panic!("{:?}", pickle.root());
    };
    let [(key, value)] = items[..] else {
        panic!("{items:?}");
    };
    assert!(matches!(pickle.node(key), Node::Text(key) if key == "w"));
    let Node::Tensor(tensor) = pickle.node(value) else {
        panic!("{:?}", pickle.node(value));
    };
    assert_eq!(tensor.storage.len, 6);
    assert_eq!(tensor.offset, 1);
    assert_eq!(tensor.shape, [2, 2]);
    assert_eq!(tensor.strides, [3, 1]);
}

#[test]
fn every_prefix_is_truncated() {
    let bytes = protocol_4();
    for len in 0..bytes.len() {
        assert!(
            matches!(read(&bytes[..len]), Err(ReadError::Truncated(_))),
            "{len}"
        );
    }
}

#[test]
fn nothing_is_called_that_is_not_listed() {
    for pickle in [
        &b"cos\nsystem\n(X\x02\0\0\0lst\x85R."[..],
        b"\x80\x02cbuiltins\neval\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02ctorch\nload\n.",
        b"\x80\x02ccollections\nCounter\n.",
    ] {
        assert!(matches!(read(pickle), Err(ReadError::Forbidden(_))));
    }
}

#[test]
fn nonsense_is_damaged() {
    for (pickle, words) in [
        (&b"\x80\x06N."[..], "protocol 6"),
        (b".", "operand is missing"),
        (b"N(.", "operand is missing"),
        (b"t.", "mark is missing"),
        (b"h\x07.", "memo 7"),
        (b"i", "opcode 0x69 at offset 0"),
        (b"}(Nu.", "key without a value"),
        (b"N(NNu.", "keys are set in None"),
        (b"NNa.", "items are appended to None"),
        (b"NN\x85R.", "not a function"),
        (b"ccollections\nOrderedDict\nNR.", "no argument tuple"),
        (
            b"ccollections\nOrderedDict\n(NNtR.",
            "OrderedDict is called with 2",
        ),
        (b"NQ.", "persistent id is None"),
        (b"NNb.", "None is given attributes"),
        (b"\x8a\x11aaaaaaaaaaaaaaaaa.", "integer of 17 bytes"),
        (b"X\x01\0\0\0\xff.", "not UTF-8"),
    ] {
        let Err(ReadError::Damaged(detail)) = read(pickle) else {
            panic!("{words}");
        };
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn integers_of_every_length_are_read() {
    for (pickle, expected) in [
        (&b"K\xff."[..], 255i128),
        (b"M\x01\x02.", 513),
        (b"J\xff\xff\xff\xff.", -1),
        (b"\x8a\x00.", 0),
        (b"\x8a\x01\x80.", -128),
        (
            b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
            0x1950_a86a_20f9_469c_fc6c,
        ),
    ] {
        let pickle = read(pickle).unwrap();
        assert!(
            matches!(pickle.root(), Node::Int(value) if *value == expected),
            "{expected}"
        );
    }
}

/// A list that is named again and again must not be copied again and again.
#[test]
fn copies_of_shared_objects_are_limited() {
    let mut bytes = b"ccollections\nOrderedDict\nq\x00](".to_vec();
    for _ in 0..1000 {
        bytes.extend(b"NN\x86");
    }
    bytes.extend(b"e\x85q\x01");
    for _ in 0..1000 {
        bytes.extend(b"h\x00h\x01R");
    }
    bytes.push(b'.');
    let Err(ReadError::Damaged(detail)) = read(&bytes) else {
        panic!("a million copies");
    };
    assert!(detail.contains("too often"), "{detail}");
}
