//! The python layout of CIFAR-10: what is read, and what is refused.

use std::fs;
use std::path::Path;

use ddpm_data::{Split, open};
use proptest::prelude::*;

use crate::support::cifar;

fn message(folder: &Path) -> String {
    open(folder, Split::Test, None).unwrap_err().to_string()
}

fn with_test_batch(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test_batch"), bytes).unwrap();
    folder
}

#[test]
fn equals_the_binary_layout() {
    let (binary, python) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    cifar::write_binary_folder(binary.path(), 2);
    cifar::write_python_folder(python.path(), 2);
    for split in [Split::Train, Split::Test] {
        let a = open(binary.path(), split, Some(&[3, 32, 32])).unwrap();
        let b = open(python.path(), split, Some(&[3, 32, 32])).unwrap();
        assert_eq!(a.sha256().unwrap(), b.sha256().unwrap());
        assert_eq!(a.labels().unwrap(), b.labels().unwrap());
        assert_eq!(a.name(), b.name());
    }
}

/// Written by Python 3 with NumPy 2 as `pickle.dump({b"data": ..., b"labels": ...}, protocol=p)`, 1 image whose
/// pixel i is 13 i mod 256; the long run of pixels is cut out of the fixture and put back here.
#[test]
fn reads_what_python_3_writes() {
    let pixels: Vec<u8> = (0..3072).map(|i| (i * 13) as u8).collect();
    let latin1: Vec<u8> = pixels
        .iter()
        .map(|&b| char::from(b))
        .collect::<String>()
        .into_bytes();
    let with_length = |opcode: u8, body: &[u8]| {
        let mut out = vec![opcode];
        out.extend((body.len() as u32).to_le_bytes());
        out.extend(body);
        out
    };
    let protocol_2 = [
        &b"\x80\x02}q\x00(c_codecs\nencode\nq\x01X\x04\x00\x00\x00dataq\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05"[..],
        b"cnumpy._core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85q\x08h\x01X\x01\x00\x00\x00bq\x09",
        b"h\x03\x86q\nRq\x0b\x87q\x0cRq\r(K\x01K\x01M\x00\x0c\x86q\x0ecnumpy\ndtype\nq\x0fX\x02\x00\x00\x00u1q\x10",
        b"\x89\x88\x87q\x11Rq\x12(K\x03X\x01\x00\x00\x00|q\x13NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x14b\x89h\x01",
        &with_length(b'X', &latin1),
        b"q\x15h\x03\x86q\x16Rq\x17tq\x18bh\x01X\x06\x00\x00\x00labelsq\x19h\x03\x86q\x1aRq\x1b]q\x1cK\x04au.",
    ]
    .concat();
    let protocol_4 = [
        &b"\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00}\x94(C\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94"[..],
        b"\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x01M\x00\x0c\x86\x94h\x05",
        b"\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89",
        &with_length(b'B', &pixels),
        b"\x94t\x94bC\x06labels\x94]\x94K\x04au.",
    ]
    .concat();
    for bytes in [protocol_2, protocol_4] {
        let folder = with_test_batch(&bytes);
        let set = open(folder.path(), Split::Test, None).unwrap();
        assert_eq!(set.labels().unwrap(), Some(&[4][..]));
        assert!(set.bytes(0).unwrap().unwrap().iter().eq(&pixels));
    }
}

#[test]
fn names_what_is_wrong() {
    let good = cifar::python2_pickle(&cifar::rows(6, 2), (2, 3072), &[1, 2]);
    let cases: &[(&str, Vec<u8>, &[&str])] = &[
        (
            "truncated",
            good[..good.len() - 3000].to_vec(),
            &["test_batch", "pickle", "ends too early"],
        ),
        ("empty", Vec::new(), &["pickle", "ends too early"]),
        ("text", b"hello".to_vec(), &["pickle", "memo slot"]),
        (
            "another name",
            b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(),
            &["os.system", "does not use"],
        ),
        (
            "labels short",
            cifar::python2_pickle(&cifar::rows(6, 2), (2, 3072), &[1]),
            &["labels", "2 integers", "1 entries"],
        ),
        (
            "label beyond",
            cifar::python2_pickle(&cifar::rows(6, 2), (2, 3072), &[1, 10]),
            &["label of image 1", "below 10", "found 10"],
        ),
        (
            "width",
            cifar::python2_pickle(&[0; 2 * 3071], (2, 3071), &[1, 2]),
            &["data", "[images, 3072]", "[2, 3071]"],
        ),
        (
            "bytes",
            cifar::python2_pickle(&[0; 3072], (2, 3072), &[1, 2]),
            &["shape [2, 3072]", "3072 bytes"],
        ),
        (
            "no data",
            b"\x80\x02}q\x01.".to_vec(),
            &["data", "no such key"],
        ),
        ("protocol", b"\x80\x05.".to_vec(), &["protocol 5"]),
        (
            "deep",
            [&b"\x80\x02N"[..], &[0x85; 100_000], b"."].concat(),
            &["data", "no such key"],
        ),
    ];
    for (name, bytes, wanted) in cases {
        let text = message(with_test_batch(bytes).path());
        for part in *wanted {
            assert!(text.contains(part), "{name}: {text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged file is an error or a batch, never a panic.
    #[test]
    fn survives_damage(at in 0usize..420, value: u8, cut in 0usize..400) {
        let mut bytes = cifar::python2_pickle(&[7; 12], (2, 6), &[1, 2]);
        let n = bytes.len();
        bytes[at % n] = value;
        bytes.truncate(n - cut % n);
        let folder = with_test_batch(&bytes);
        prop_assert!(open(folder.path(), Split::Test, None).is_err());
    }
}
