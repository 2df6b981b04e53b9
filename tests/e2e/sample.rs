//! `ddpm sample`: samplers, formats, noise that is the same, and runs that go on.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Ddpm, golden, scratch, small};

/// Samples of the small network into `folder/out`.
fn sample(folder: &Path, out: &str, flags: &str) -> PathBuf {
    let out = folder.join(out);
    small("sample").words(flags).writes(&out);
    out
}

fn record(out: &Path) -> Value {
    let mut file = out.as_os_str().to_owned();
    file.push(".run.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The images of a folder, by name.
fn pngs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "png"))
        .collect();
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files
        .iter()
        .map(|path| (name(path), fs::read(path).unwrap()))
        .collect()
}

/// The array `name` of an archive whose arrays are stored as they are: its header and its bytes.
fn array(npz: &Path, name: &str) -> (String, Vec<u8>) {
    let bytes = fs::read(npz).unwrap();
    let magic = b"\x93NUMPY";
    let entry = format!("{name}.npy");
    let at = (0..bytes.len())
        .find(|&i| bytes[i..].starts_with(entry.as_bytes()))
        .unwrap_or_else(|| panic!("{name} is not in {}", npz.display()));
    let start = (at..bytes.len())
        .find(|&i| bytes[i..].starts_with(magic))
        .unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[start + 8], bytes[start + 9]]));
    let header = String::from_utf8(bytes[start + 10..][..length].to_vec()).unwrap();
    (header, bytes[start + 10 + length..].to_vec())
}

const SAMPLERS: [&str; 10] = [
    "--sampler ddpm --variance learned",
    "--sampler ddpm --variance fixed-small",
    "--sampler ddpm --variance fixed-large",
    "--sampler ddim",
    "--sampler ddim --eta 0.5",
    "--sampler dpm-solver++",
    "--sampler dpm-solver++3m",
    "--sampler ipndm",
    "--sampler unipc",
    "--sampler unipc3",
];

#[test]
fn an_image_is_the_same_in_any_company() {
    let folder = scratch();
    let mut seen = Vec::new();
    for (i, sampler) in SAMPLERS.iter().enumerate() {
        let flags = format!("--path 1,4,13,29,40 {sampler}");
        let all = sample(
            folder.path(),
            &format!("{i}"),
            &format!("{flags} --count 5"),
        );
        let all = pngs(&all);
        assert_eq!(all.len(), 5);
        let part = format!("{flags} --start-index 2 --count 3 --batch 2 --threads 1");
        let part = sample(folder.path(), &format!("{i}-part"), &part);
        assert!(pngs(&part) == all[2..], "{sampler}");
        seen.push(all);
    }
    for i in 0..seen.len() {
        for j in 0..i {
            assert!(seen[i] != seen[j], "{} is {}", SAMPLERS[i], SAMPLERS[j]);
        }
    }
    // Full noise is ancestral.
    let full = sample(
        folder.path(),
        "full",
        "--path 1,4,13,29,40 --sampler ddim --eta 1 --count 5",
    );
    assert_eq!(pngs(&full).len(), 5);
    let differ = pngs(&full)
        .iter()
        .zip(&seen[1])
        .filter(|(a, b)| a != b)
        .count();
    // The same formula in another order of operations: a pixel may round to the other side.
    assert!(differ <= 1, "{differ} images differ");
}

#[test]
fn a_grid_an_archive_and_a_folder_hold_the_same_pixels() {
    let folder = scratch();
    let flags = "--path even:4 --sampler ddim --count 3 --start-index 7";
    let images = sample(folder.path(), "folder/", flags);
    let names: Vec<String> = pngs(&images).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["000007.png", "000008.png", "000009.png"]);
    let npz = sample(folder.path(), "a.npz", flags);
    let (header, pixels) = array(&npz, "arr_0");
    assert!(
        header.contains("'|u1'") && header.contains("(3, 16, 16, 3)"),
        "{header}"
    );
    assert!(header.contains("'fortran_order': False"), "{header}");
    let grid = sample(folder.path(), "a.png", flags);
    for (i, (_, file)) in pngs(&images).iter().enumerate() {
        let image = decode(file);
        assert_eq!((image.0, image.1), (16, 16));
        assert!(image.2 == pixels[i * 768..][..768]);
        let (width, _, grid) = decode(&fs::read(&grid).unwrap());
        let (top, left) = (i / 2 * 18, i % 2 * 18);
        for y in 0..16 {
            let row = &grid[3 * ((top + y) * width + left)..][..48];
            assert!(row == &image.2[48 * y..][..48]);
        }
    }
    let record = record(&npz);
    for (key, value) in [("start_index", 7), ("count", 3), ("seed", 0), ("T", 40)] {
        assert_eq!(record[key], value, "{key}");
    }
    assert_eq!(record["sampler"], "ddim");
    assert_eq!(record["path"], serde_json::json!([0, 10, 20, 30, 40]));
    // Nothing else is left.
    let mut left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let expected = [
        "a.npz",
        "a.npz.run.json",
        "a.png",
        "a.png.run.json",
        "folder",
        "folder.run.json",
    ];
    assert_eq!(left, expected);
}

/// Width, height and RGB.
fn decode(file: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    (info.width as usize, info.height as usize, pixels)
}

#[test]
fn the_noise_of_an_earlier_run() {
    let folder = scratch();
    let first = sample(
        folder.path(),
        "first.npz",
        "--path even:4 --sampler ddim --count 3 --start-index 5 --seed 9",
    );
    let from = |out: &str, flags: &str| {
        let out = folder.path().join(out);
        small("sample")
            .words(flags)
            .file("--noise-from", &first)
            .writes(&out);
        out
    };
    let other = from("other.npz", "--path 2,9,40 --sampler ddim");
    let [seed, start, count] =
        ["seed", "start_index", "count"].map(|key| record(&other)[key].clone());
    assert_eq!([seed, start, count], [9, 5, 3].map(Value::from));
    // It is the noise that the flags name.
    let flags = "--path 2,9,40 --sampler ddim --count 3 --start-index 5 --seed 9";
    let named = sample(folder.path(), "named.npz", flags);
    assert!(fs::read(&other).unwrap() == fs::read(&named).unwrap());
    let fewer = from("fewer", "--path even:4 --sampler ddim --count 2");
    assert_eq!(pngs(&fewer).len(), 2);
    small("sample")
        .words("--path even:4 --seed 3")
        .file("--noise-from", &first)
        .file("--out", &folder.path().join("x"))
        .fails(2, &["--noise-from", "--seed"]);
    small("sample")
        .words("--path even:4")
        .file("--noise-from", &folder.path().join("absent.png"))
        .file("--out", &folder.path().join("x"))
        .fails(3, &["absent.png.run.json"]);
    fs::write(folder.path().join("no.run.json"), "{}").unwrap();
    small("sample")
        .words("--path even:4")
        .file("--noise-from", &folder.path().join("no"))
        .file("--out", &folder.path().join("x"))
        .fails(3, &["no.run.json", "ddpm-samples"]);
    Ddpm::new("sample")
        .arg(golden("unet-gray-heads.pt"))
        .words("--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true --image-size 16 --path even:2")
        .file("--noise-from", &first)
        .file("--out", &folder.path().join("x"))
        .fails(3, &["image_shape", "[3, 16, 16]"]);
}

#[test]
fn a_folder_goes_on_where_it_stopped() {
    let folder = scratch();
    let flags = "--path even:4 --sampler ddim --eta 0.5";
    let whole = pngs(&sample(
        folder.path(),
        "whole",
        &format!("{flags} --count 6"),
    ));
    let out = sample(folder.path(), "part", &format!("{flags} --count 4"));
    fs::remove_file(out.join("000001.png")).unwrap();
    let kept = fs::metadata(out.join("000002.png"))
        .unwrap()
        .modified()
        .unwrap();
    let more = |flags: &str| small("sample").words(flags).file("--out", &out);
    let found = more(&format!("{flags} --count 6 --resume")).json();
    assert_eq!(found["resumed"], 3);
    assert!(pngs(&out) == whole);
    let now = fs::metadata(out.join("000002.png"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(kept, now);
    assert_eq!(
        more(&format!("{flags} --count 6 --resume")).json()["resumed"],
        6
    );
    // Another run's images stay apart.
    more(&format!("{flags} --count 6")).fails(3, &["part", "6 PNG files", "--resume"]);
    more(&format!("{flags} --count 6 --seed 1 --resume"))
        .fails(3, &["seed", "expected 1", "found 0"]);
    more("--path even:5 --sampler ddim --eta 0.5 --count 6 --resume").fails(3, &["path"]);
    more(&format!("{flags} --count 5 --resume")).fails(3, &["000005.png", "0 to 4"]);
    fs::write(out.join("cat.png"), "").unwrap();
    more(&format!("{flags} --count 6 --resume")).fails(3, &["cat.png"]);
    fs::remove_file(out.join("cat.png")).unwrap();
    fs::remove_file(folder.path().join("part.run.json")).unwrap();
    more(&format!("{flags} --count 6 --resume")).fails(3, &["part.run.json"]);
    assert!(pngs(&out) == whole);
}

/// A run that is killed in the middle of an archive, and its continuation. What stood there before stays what it was, its record
/// with it, until the new archive is complete.
#[test]
fn an_archive_goes_on_where_it_was_stopped() {
    let folder = scratch();
    let flags = "--path all --batch 1 --threads 1 --count 12";
    let whole = sample(folder.path(), "whole.npz", flags);
    let out = sample(folder.path(), "a.npz", "--path even:2 --count 1");
    let both = || (fs::read(&out).unwrap(), record(&out));
    let old = both();
    let run = || small("sample").words(flags).over("--out", &out);
    let mut child = run()
        .into_inner()
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let partial = folder.path().join("a.npz.partial");
    let start = Instant::now();
    while !partial.join("000000.png").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no image yet");
        assert!(child.try_wait().unwrap().is_none(), "finished too early");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status()
        .unwrap();
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4), "{stderr}");
    assert!(
        stderr.contains("a.npz.partial") && stderr.contains("--resume"),
        "{stderr}"
    );
    assert!(both() == old);
    let left = pngs(&partial).len();
    assert!((1..12).contains(&left), "{left}");
    run().fails(3, &["a.npz.partial", "--resume"]);
    small("sample")
        .words("--path even:2 --count 12 --resume")
        .over("--out", &out)
        .fails(3, &["a.npz.partial", "run.json", "path differs"]);
    let resumed = run().words("--resume").json();
    assert_eq!(resumed["resumed"], left);
    assert_eq!(record(&out), record(&whole));
    assert!(fs::read(&out).unwrap() == fs::read(&whole).unwrap());
    assert!(!partial.exists());
    // What is complete is left alone.
    let before = fs::metadata(&out).unwrap().modified().unwrap();
    assert_eq!(run().words("--resume").json()["resumed"], 12);
    assert_eq!(fs::metadata(&out).unwrap().modified().unwrap(), before);
}

/// With the noise of the second-to-last step gone, eta decides nothing on a path of two steps; clipping spares larger noise.
#[test]
fn the_last_noise_is_clipped() {
    let folder = scratch();
    let read = |out: &str, flags: &str| {
        let flags = format!("--count 2 --path 9,40 --clip-denoised false {flags}");
        array(&sample(folder.path(), out, &flags), "arr_0").1
    };
    let small = "--sampler ddpm --variance fixed-small";
    let large = "--sampler ddpm --variance fixed-large";
    let free = read("a.npz", small);
    assert!(free != read("b.npz", large));
    let none = read("c.npz", &format!("{small} --clip-last-noise 0"));
    assert!(none == read("d.npz", &format!("{large} --clip-last-noise 0")));
    assert!(none == read("e.npz", "--sampler ddim --eta 1 --clip-last-noise 0"));
    assert!(free == read("f.npz", &format!("{small} --clip-last-noise 1000")));
    let some = read("g.npz", &format!("{small} --clip-last-noise 2"));
    assert!(some != none && some != free);
}

#[test]
fn classes_go_in_turn_by_index_or_are_one() {
    let folder = scratch();
    let conditional = |out: &str, flags: &str| {
        let out = folder.path().join(out);
        Ddpm::new("sample")
            .arg(golden("unet-classcond-noscale.pt"))
            .words("--num-heads 2 --train-steps 40 --noise-schedule cosine --rescale-timesteps true --path even:2")
            .words(flags)
            .writes(&out);
        array(&out, "arr_1").1
    };
    let classes =
        |labels: &[i64]| -> Vec<u8> { labels.iter().flat_map(|l| l.to_le_bytes()).collect() };
    let found = conditional("a.npz", "--count 3 --start-index 2");
    assert!(found.starts_with(&classes(&[2, 3, 4])), "{found:?}");
    let found = conditional("b.npz", "--count 2 --class 1");
    assert!(found.starts_with(&classes(&[1, 1])), "{found:?}");
}

#[test]
fn flags_that_do_not_go_together() {
    let folder = scratch();
    let out = folder.path().join("x.png");
    let try_out = |flags: &str| small("sample").words(flags).file("--out", &out);
    for (flags, code, named) in [
        ("--count 1", 2, "--path"),
        ("--path even:4", 2, "--count"),
        ("--path even:4 --count 1 --steps 4", 2, "--schedule"),
        ("--path even:4 --count 1 --sampler euler", 2, "dpm-solver++"),
        ("--path even:4 --count 1 --eta 0.5", 2, "--sampler ddim"),
        (
            "--path even:4 --count 1 --sampler ddim --eta 1.5",
            3,
            "[0, 1]",
        ),
        (
            "--path even:4 --count 1 --sampler ddim --eta nan",
            3,
            "--eta",
        ),
        (
            "--path even:4 --count 1 --sampler ddim --variance fixed-small",
            2,
            "--variance",
        ),
        (
            "--path even:4 --count 1 --sampler dpm-solver++ --clip-last-noise 1",
            2,
            "--clip-last-noise",
        ),
        (
            "--path even:4 --count 1 --sampler unipc --clip-last-noise 1",
            2,
            "unipc adds no noise",
        ),
        (
            "--path even:4 --count 1 --sampler ipndm --variance fixed-small",
            2,
            "--variance",
        ),
        (
            "--path even:4 --count 1 --clip-last-noise=-1",
            3,
            "--clip-last-noise",
        ),
        (
            "--path even:4 --count 1 --clip-last-noise inf",
            3,
            "--clip-last-noise",
        ),
        (
            "--path even:4 --count 1 --variance analytic",
            2,
            "--profile",
        ),
        (
            "--path even:4 --count 1 --variance fixed-small --profile no-such-profile",
            2,
            "--profile: nothing of the fixed-small variance is measured",
        ),
        (
            "--path even:4 --count 1 --sampler ddim --profile no-such-profile",
            2,
            "go with --sampler ddpm",
        ),
        (
            "--path even:4 --count 1 --variance learned --mean calibrated --profile no-such-profile",
            2,
            "mean calibrated with variance learned",
        ),
        ("--path 3,50 --count 1", 3, "--path"),
        ("--path even:4 --count 1 --class 2", 3, "--class"),
        (
            "--path even:4 --count 1 --start-index 99999999999999999999",
            2,
            "--start-index",
        ),
    ] {
        try_out(flags).fails(code, &[named]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
