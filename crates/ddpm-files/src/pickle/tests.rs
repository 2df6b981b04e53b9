//! Hand-written pickles for a reader that knows one name.

use super::*;

/// `builtins.object`, which cannot be called.
#[derive(Debug)]
struct Known;

impl<'a> Object<'a> for Known {
    const NEWEST_PROTOCOL: u8 = 5;
    const PYTHON_2_STRINGS_ARE_TEXT: bool = false;

    fn named(module: &'a str, name: &'a str) -> Option<Self> {
        (module == "builtins" && name == "object").then_some(Self)
    }

    fn describe(&self) -> &'static str {
        "a class"
    }

    fn call(_: &mut Nodes<'a, Self>, _: NodeId, _: &[NodeId]) -> Result<NodeId> {
        Err("a call".into())
    }

    fn set_state(_: &mut Nodes<'a, Self>, _: NodeId, _: NodeId) -> Result<()> {
        Err("a state".into())
    }
}

fn read(bytes: &[u8]) -> Result<Pickle<'_, Known>> {
    read_pickle(&mut Cursor::new(bytes))
}

#[test]
fn nonsense_is_damaged() {
    for (pickle, words) in [
        (&b"\x80\x06N."[..], "protocol 6"),
        (b".", "operand is missing"),
        (b"N(.", "operand is missing"),
        (b"t.", "mark is missing"),
        (b"h\x07.", "memo slot 7"),
        (b"\xff", "opcode 0xff at offset 0"),
        (b"}(Nu.", "key without a value"),
        (b"N(NNu.", "keys are set in None"),
        (b"NNa.", "items are appended to None"),
        (b"NN\x85R.", "not a function"),
        (b"cbuiltins\nobject\nNR.", "no argument tuple"),
        (b"cbuiltins\nobject\n)R.", "a call"),
        (b"NQ.", "outside of the pickle"),
    ] {
        let Err(PickleError::Damaged(detail)) = read(pickle) else {
            panic!("{words}");
        };
        assert!(detail.contains(words), "{detail}");
    }
}

#[test]
fn unknown_names_are_told() {
    for pickle in [&b"cos\nsystem\n)R."[..], b"\x8c\x02os\x8c\x06system\x93."] {
        let expected = PickleError::UnknownName {
            module: "os".to_owned(),
            name: "system".to_owned(),
        };
        assert_eq!(read(pickle).unwrap_err(), expected);
    }
}

#[test]
fn a_failure_leaves_the_cursor_at_its_opcode() {
    let mut cursor = Cursor::new(b"NNN\x8c\xffshort");
    let result: Result<Pickle<'_, Known>> = read_pickle(&mut cursor);
    assert!(matches!(result, Err(PickleError::Truncated(_))));
    assert_eq!(cursor.position(), 3);
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

#[test]
fn strings_of_python_2_are_what_the_reader_says() {
    assert!(matches!(
        read(b"U\x01\xff.").unwrap().root(),
        Node::Bytes([0xff])
    ));
    assert!(matches!(
        read(b"\x8c\x01a.").unwrap().root(),
        Node::Text("a")
    ));
}

#[test]
fn what_python_understands_and_we_do_not_is_called_unsupported() {
    // Protocol 0 (`pickle.dumps(1, 0)`), INST, an extension code, a buffer outside of the stream.
    for pickle in [&b"I1\n."[..], b"(ios\nsystem\n.", b"\x82\x01.", b"\x97."] {
        let found = read(pickle).unwrap_err();
        assert!(matches!(found, PickleError::Unsupported(_)), "{found:?}");
    }
}

/// The 128-bit state of NumPy's generator, a path of another encoding: read, and of no use to anyone.
#[test]
fn integers_and_strings_that_are_too_odd_are_passed_over() {
    let pickle = read(b"\x8a\x11aaaaaaaaaaaaaaaaa.").unwrap();
    assert!(matches!(pickle.root(), Node::Float));
    let pickle = read(b"X\x01\0\0\0\xff.").unwrap();
    assert!(matches!(pickle.root(), Node::Bytes([0xff])));
}

#[test]
fn sets_are_read() {
    for pickle in [&b"\x8f(K\x01K\x02\x90."[..], b"(K\x01K\x02\x91."] {
        let pickle = read(pickle).unwrap();
        assert!(matches!(pickle.root(), Node::Set(items) if items.len() == 2));
    }
}

/// Twenty megabytes of one-byte opcodes once took two gigabytes.
#[test]
fn memory_is_bounded_by_what_objects_become() {
    let many =
        |opcode: &[u8]| [b"(", &opcode.repeat((20 << 20) / opcode.len())[..], b"l."].concat();
    for opcode in [&b"N"[..], b")", b"]", b"(", b"M\x00\x01", b"N\x94"] {
        let bytes = many(opcode);
        let found = read(&bytes).err();
        assert!(
            matches!(found, Some(PickleError::Unsupported(_))),
            "{opcode:?}: {found:?}"
        );
    }
    // Of a longer file: as many numbers as there are images are no reason to refuse its weights.
    let indices = many(b"J\x00\x00\x01\x00");
    assert!(read(&indices).is_err());
    let mut cursor = Cursor::new(&indices).of_file(1 << 30);
    let read_all: Result<Pickle<'_, Known>> = read_pickle(&mut cursor);
    assert!(read_all.is_ok());
    // A long list of numbers, as of losses, is no reason to refuse a file.
    let losses = many(b"G\0\0\0\0\0\0\0\0");
    assert!(matches!(read(&losses).unwrap().root(), Node::List(items) if items.len() > 2_000_000));
}
