//! Small CIFAR-10 folders of both layouts, from a formula.

use std::fs;
use std::path::Path;

/// Pixel `i` (of 3072) of image `n` of file `batch`.
pub(crate) fn pixel(batch: usize, n: usize, i: usize) -> u8 {
    (batch * 31 + n * 7 + i * 13 + i / 1024) as u8
}

pub(crate) fn label(batch: usize, n: usize) -> u8 {
    ((batch + 3 * n) % 10) as u8
}

/// One file of the binary layout.
pub(crate) fn binary(batch: usize, images: usize) -> Vec<u8> {
    (0..images)
        .flat_map(|n| {
            std::iter::once(label(batch, n)).chain((0..3072).map(move |i| pixel(batch, n, i)))
        })
        .collect()
}

/// The rows of `data` of one file of the python layout.
pub(crate) fn rows(batch: usize, images: usize) -> Vec<u8> {
    (0..images)
        .flat_map(|n| (0..3072).map(move |i| pixel(batch, n, i)))
        .collect()
}

/// The bytes that Python 2's cPickle wrote for `{'batch_label':, 'labels':, 'data':, 'filenames':}` (protocol 2).
pub(crate) fn python2_pickle(data: &[u8], shape: (u16, u16), labels: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |bytes: &[u8]| out.extend_from_slice(bytes);
    put(b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(");
    for l in labels {
        put(&[b'K', *l]);
    }
    put(b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\x09");
    put(b"U\x01bq\x0a\x87q\x0bRq\x0c(K\x01M");
    put(&shape.0.to_le_bytes());
    put(b"M");
    put(&shape.1.to_le_bytes());
    put(b"\x86q\x0dcnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11(K\x03U\x01|q\x12NNN");
    put(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x13b\x89T");
    put(&(data.len() as u32).to_le_bytes());
    put(data);
    put(b"q\x14tq\x15bU\x09filenamesq\x16]q\x17(U\x05a.pngq\x18U\x05b.pngq\x19eu.");
    out
}

/// A folder of the binary layout with `images` images per file.
pub(crate) fn write_binary_folder(folder: &Path, images: usize) {
    for batch in 1..=5 {
        fs::write(
            folder.join(format!("data_batch_{batch}.bin")),
            binary(batch, images),
        )
        .unwrap();
    }
    fs::write(folder.join("test_batch.bin"), binary(6, images)).unwrap();
}

/// The same images in the python layout.
pub(crate) fn write_python_folder(folder: &Path, images: usize) {
    let pickle = |batch| {
        let labels: Vec<u8> = (0..images).map(|n| label(batch, n)).collect();
        python2_pickle(&rows(batch, images), (images as u16, 3072), &labels)
    };
    for batch in 1..=5 {
        fs::write(folder.join(format!("data_batch_{batch}")), pickle(batch)).unwrap();
    }
    fs::write(folder.join("test_batch"), pickle(6)).unwrap();
}
