//! `ddpm report`: one page of a folder of results.

use std::fs;
use std::path::Path;

use ddpm_schedule::results::Headline;
use roxmltree::{Document, ParsingOptions};

use crate::support::{Ddpm, repository, scratch};

fn copy_profile(split: &str, to: &Path) {
    let name = format!("datasets/cifar10-small.{split}.profile.safetensors");
    fs::copy(repository(&name), to).unwrap();
}

/// A picture of one pixel row in three colours.
fn png(path: &Path) {
    let file = fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, 2, 1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[255, 0, 0, 0, 0, 255]).unwrap();
}

#[test]
fn a_page_shows_all_that_a_folder_holds_and_needs_nothing_else() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    copy_profile("train", &at("a.safetensors"));
    copy_profile("test", &at("<b>&\"c\".safetensors"));
    let made = Ddpm::new("schedule")
        .arg(at("a.safetensors"))
        .words("--steps 4,16 --folds 0")
        .file("--out", &at("s.json"))
        .run();
    made.succeeds();
    fs::copy(at("s.json"), at("t.json")).unwrap();
    png(&at("grid.png"));
    fs::write(
        at("grid.png.run.json"),
        r#"{"format": "ddpm-samples", "version": 1, "seed": 3, "start_index": 0, "count": 2, "class": null, "image_shape": [3, 1, 1],
            "sampler": "ddim", "eta": 0.0, "variance": null, "log_variance": null, "clip_last_noise": null, "clip_denoised": true,
            "path": [0, 1, 2], "T": 2, "noise_schedule": "cosine", "checkpoint_sha256": "12ab", "rescale_timesteps": false,
            "precision": "<f32>", "network": {}}"#,
    )
    .unwrap();
    fs::write(
        at("table5.json"),
        r#"{"rows": [{"stride": "<dp>", "K": 8, "FID": {"value": 12.5, "stderr": 0.25}}]}"#,
    )
    .unwrap();
    fs::write(
        at("fid.json"),
        r#"{"metric": "FID", "a": {"source": "x", "kind": "images", "images": 4}, "b": {"source": "y", "kind": "images", "images": 5},
            "frechet": {"value": 3.25, "stderr": null}}"#,
    )
    .unwrap();
    fs::write(
        at("p.bpd.json"),
        r#"{"T": 4000, "noise_schedule": "cosine", "path": [0, 1, 4000], "variance": "learned", "decoder": "respaced",
            "scored_decoder": "respaced", "clip_denoised": true, "precision": "f32", "data_name": "x", "stand_in": false,
            "images": [0, 1], "terms": [], "prior_bpd": [0.0, 0.0], "total_bpd": [4.0, 5.0]}"#,
    )
    .unwrap();
    fs::write(
        at("stamp.json"),
        r#"{"stage": "x", "command": "ddpm table '<script>alert(1)</script>'", "inputs": {"f": "12ab"}}"#,
    )
    .unwrap();
    fs::write(at("notes.txt"), "not ours").unwrap();

    let found = Ddpm::new("report").arg(folder.path()).json();
    let sections: Vec<&str> = found["sections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s.as_str().unwrap())
        .collect();
    assert_eq!(
        sections,
        [
            "card",
            "bits-per-dim",
            "table",
            "timesteps",
            "terms",
            "errors",
            "samples",
            "distances",
            "evaluations",
            "schedules",
            "measured",
            "provenance"
        ]
    );
    assert!(found["missing"].as_array().unwrap().is_empty());
    assert_eq!(found["profiles"].as_array().unwrap().len(), 2);
    assert_eq!(found["schedules"].as_array().unwrap().len(), 1);
    let left_out = found["left_out"].to_string();
    assert!(left_out.contains("notes.txt") && left_out.contains("the same schedules as s.json"));

    let html = fs::read_to_string(at("report.html")).unwrap();
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let page = Document::parse_with_options(&html, options).unwrap();
    let ids: Vec<&str> = page
        .descendants()
        .filter_map(|node| node.attribute("id"))
        .collect();
    for section in sections {
        assert!(ids.contains(&section), "{section}");
    }
    // Links lead to places of the page or to files beside it, pictures and the icon lie in it.
    for node in page.descendants() {
        for name in ["src", "href"] {
            if let Some(link) = node.attribute(name) {
                assert!(
                    link.starts_with("data:")
                        || link.strip_prefix('#').is_some_and(|id| ids.contains(&id))
                        || (name == "href"
                            && link.starts_with("report.files/")
                            && at(link).is_file()),
                    "{link}"
                );
            }
        }
    }
    assert!(!html.contains("://") && !html.contains("url(") && !html.contains("@import"));
    // Names and texts of files are text.
    let text: String = page
        .descendants()
        .filter(|node| node.is_text())
        .filter_map(|node| node.text())
        .collect();
    for word in [
        "<b>&\"c\".safetensors",
        "sampler ddim, eta 0.0",
        "<f32>",
        "<dp>",
        "12.500 ± 0.250",
        "'<script>alert(1)</script>'",
        "4.500 ± 0.500",
        "32 optimal steps lose less than 0.1 bits/dim of all 4000 (ImageNet 64x64, arXiv 2106.03802)",
        "optimal, free end",
    ] {
        assert!(text.contains(word), "{word}");
    }
    let count = |name: &str| page.descendants().filter(|n| n.has_tag_name(name)).count();
    assert_eq!(count("script"), 1);
    // Bits/dim of seven variances, timesteps, m(t), terms.
    assert_eq!(count("svg"), 10);

    // Two pipelines of diffusers have no argument for a list.
    assert!(html.contains("ddpm export S.json --format diffusers"));
    assert!(!html.contains("timesteps=[...]"), "{html}");
    // The lists are those of the schedules file, counted in both ways.
    let file: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(at("s.json")).unwrap()).unwrap();
    let path: Vec<u64> = file["budgets"][0]["path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t.as_u64().unwrap())
        .collect();
    let nodes: Vec<String> = path.iter().map(u64::to_string).collect();
    let zero: Vec<String> = path[1..]
        .iter()
        .rev()
        .map(|t| (t - 1).to_string())
        .collect();
    assert!(html.contains(&format!("<code class=\"nodes\">{}</code>", nodes.join(","))));
    assert!(html.contains(&format!(
        "<code class=\"zero\">[{}]</code>",
        zero.join(", ")
    )));

    // The table is the one of `ddpm table`.
    let table = Ddpm::new("table")
        .arg(at("a.safetensors"))
        .arg(at("<b>&\"c\".safetensors"))
        .words("--variance learned --steps 8")
        .json();
    let dp = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["stride"] == "dp")
        .unwrap();
    let shown = format!(
        "{:.3} ± {:.3}",
        dp["bpd"].as_f64().unwrap(),
        dp["stderr"].as_f64().unwrap()
    );
    assert!(text.contains(&shown), "{shown}");

    // The lowest of its variance at K = 8 is the one that may end early.
    let bold: Vec<&str> = page
        .descendants()
        .filter(|node| node.has_tag_name("b"))
        .filter_map(|node| node.text())
        .collect();
    assert!(bold.iter().any(|cell| cell.contains('±')) && !bold.contains(&shown.as_str()));

    // The page and what lies beside it are no input of itself, and the same folder gives the same page.
    let again = Ddpm::new("report").arg(folder.path()).json();
    assert_eq!(again["images"], found["images"]);
    assert_eq!(fs::read_to_string(at("report.html")).unwrap(), html);

    // The card is data too.
    let card = fs::read_to_string(at("report.files/card.json")).unwrap();
    let card: Headline = serde_json::from_str(&card).unwrap();
    assert_eq!((card.steps, card.train_steps), (32, 4000));
    for line in &card.lines("report.html")[..4] {
        assert!(
            text.contains(line.split_once(' ').unwrap().1.trim_start()),
            "{line}"
        );
    }

    // A table is there for programs and papers, with the digits of the page.
    let csv = fs::read_to_string(at("report.files/bits-per-dim-table.csv")).unwrap();
    assert!(
        csv.starts_with("variance,decoder,stride,K=8,K=8 standard error,"),
        "{csv}"
    );
    assert!(csv.contains(&shown.replace(" ± ", ",")), "{csv}");
    let latex = fs::read_to_string(at("report.files/bits-per-dim-table.tex")).unwrap();
    assert!(latex.contains("\\textbf{") && latex.contains("fixed-small & respaced & optimal &"));
}

/// What somebody put among the files of a page stays, and what a page no longer has goes.
#[test]
fn files_beside_a_page_are_its_own() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    copy_profile("train", &at("a.safetensors"));
    fs::write(at("table5.json"), r#"{"rows": [{"stride": "dp", "K": 8}]}"#).unwrap();
    let report = || Ddpm::new("report").arg(folder.path());
    report().run().succeeds();
    let (figure, table) = (at("report.files/errors.svg"), at("report.files/table5.csv"));
    let (drawn, page) = (
        fs::read(&figure).unwrap(),
        fs::read(at("report.html")).unwrap(),
    );
    assert!(table.is_file());

    fs::remove_file(at("table5.json")).unwrap();
    fs::write(&figure, "mine").unwrap();
    fs::write(at("report.files/notes.txt"), "mine too").unwrap();
    report().fails(3, &["errors.svg", "--force"]);
    assert_eq!(fs::read(&figure).unwrap(), b"mine");
    assert_eq!(
        fs::read(at("report.html")).unwrap(),
        page,
        "the page came first"
    );

    fs::remove_file(&figure).unwrap();
    report().run().succeeds();
    assert_eq!(fs::read(&figure).unwrap(), drawn);
    assert!(!table.exists(), "of the earlier page");
    assert_eq!(fs::read(at("report.files/notes.txt")).unwrap(), b"mine too");

    // A folder of that name that no page made.
    let out = at("other.html");
    fs::create_dir(at("other.files")).unwrap();
    fs::write(at("other.files/errors.svg"), "mine").unwrap();
    report()
        .file("--out", &out)
        .fails(3, &["errors.svg", "--force"]);
    assert!(!out.exists());
    report()
        .words("--force")
        .file("--out", &out)
        .run()
        .succeeds();
    assert_eq!(fs::read(at("other.files/errors.svg")).unwrap(), drawn);
}

/// An evaluation has numbers of every image: of ten thousand it is long, and no other JSON is.
#[test]
fn evaluations_are_shown_however_many_images_they_have() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    png(&at("grid.png"));
    let numbers = serde_json::to_string(&vec![4.123_456_789; 100_000]).unwrap();
    let images: Vec<usize> = (0..100_000).collect();
    let document = format!(
        r#"{{"T": 4000, "noise_schedule": "cosine", "path": [0, 1, 4000], "variance": "learned", "decoder": "respaced",
            "scored_decoder": "respaced", "clip_denoised": true, "precision": "f32", "data_name": "x", "stand_in": false,
            "images": {images:?}, "terms": [], "prior_bpd": {numbers}, "total_bpd": {numbers}}}"#
    );
    assert!(document.len() > 2 << 20);
    fs::write(at("long.bpd.json"), document).unwrap();
    let numbers = format!("{{\"numbers\": {numbers}}}");
    fs::write(at("long.json"), numbers).unwrap();
    let found = Ddpm::new("report").arg(folder.path()).json();
    let sections = found["sections"].to_string();
    assert!(sections.contains("evaluations"), "{sections}");
    let left_out = found["left_out"].to_string();
    assert!(
        left_out.contains("long.json") && left_out.contains("more than 1 MB"),
        "{left_out}"
    );
}

#[test]
fn a_part_of_a_run_gives_a_part_of_a_page() {
    let folder = scratch();
    let out = folder.path().join("elsewhere.html");
    let results = folder.path().join("results");
    fs::create_dir(&results).unwrap();
    copy_profile("train", &results.join("train.safetensors"));
    let found = Ddpm::new("report").arg(&results).file("--out", &out).json();
    let missing = found["missing"].to_string();
    assert!(missing.contains("--split test") && missing.contains("ddpm sample"));
    // Schedules follow from the profile where no file holds them.
    let html = fs::read_to_string(&out).unwrap();
    assert!(html.contains("chosen for this page on train.safetensors"));
    assert!(html.contains("id=\"schedules\"") && !html.contains("id=\"table\""));
    assert!(!results.join("report.html").exists());
}

#[test]
fn folders_that_cannot_be_reported() {
    let folder = scratch();
    let report = |path: &Path| Ddpm::new("report").arg(path);
    let at = |name: &str| folder.path().join(name);
    report(&at("absent")).fails(3, &["absent", "no such file or folder"]);
    fs::write(at("notes.txt"), "not ours").unwrap();
    report(folder.path()).fails(
        3,
        &[
            "nothing to report",
            "ddpm profile",
            "ddpm schedule",
            "found 1 file",
        ],
    );
    report(&at("notes.txt")).fails(3, &["notes.txt", "expected the folder"]);
    report(folder.path())
        .file("--out", folder.path())
        .fails(2, &["is a folder"]);
    fs::write(
        at("s.json"),
        r#"{"format": "ddpm-schedules", "version": 2}"#,
    )
    .unwrap();
    report(folder.path()).fails(3, &["s.json"]);
    fs::remove_file(at("s.json")).unwrap();
    let mut damaged = fs::read(repository(
        "datasets/cifar10-small.train.profile.safetensors",
    ))
    .unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(at("p.safetensors"), damaged).unwrap();
    report(folder.path()).fails(3, &["p.safetensors"]);
    assert!(!at("report.html").exists());
}

/// A page holds whole pictures, of a size that can be sent and shown, under names that are theirs alone.
#[test]
fn pictures_that_no_page_can_hold() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    let report = || Ddpm::new("report").arg(folder.path());
    png(&at("whole.png"));
    let whole = fs::read(at("whole.png")).unwrap();
    fs::write(at("cut.png"), &whole[..whole.len() - 16]).unwrap();
    let found = report().json();
    assert_eq!(found["images"].as_array().unwrap().len(), 1, "{found}");
    let left_out = found["left_out"].to_string();
    assert!(left_out.contains("cut.png") && left_out.contains("a damaged PNG"));
    let with_chunk = |size: usize| {
        // What is no picture may stand behind the header.
        let mut chunk = b"zzZz".to_vec();
        chunk.resize(4 + size, 0);
        let length = u32::try_from(size).unwrap().to_be_bytes();
        let sum = crc32fast::hash(&chunk).to_be_bytes();
        [&whole[..33], &length, &chunk, &sum, &whole[33..]].concat()
    };
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
    let sum = crc32fast::hash(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    fs::write(at("cut.png"), huge).unwrap();
    fs::create_dir(at("many")).unwrap();
    for i in 0..9 {
        fs::write(at(&format!("many/{i}.png")), with_chunk(8_000_000)).unwrap();
    }
    // Elsewhere file systems refuse such names.
    #[cfg(target_os = "linux")]
    for last in [b"\xff", b"\xfe"] {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(last);
        fs::write(folder.path().join(name), &whole).unwrap();
    }
    let found = report().json();
    assert_eq!(found["images"].as_array().unwrap().len(), 9, "{found}");
    let left_out = found["left_out"].to_string();
    for why in ["64 million pixels", "64 MB together"] {
        assert!(left_out.contains(why), "{left_out}");
    }
    assert_eq!(
        left_out.matches("a name that is no text").count(),
        if cfg!(target_os = "linux") { 2 } else { 0 },
        "{left_out}"
    );
}

#[test]
fn pictures_of_the_same_noise_are_one_matrix() {
    let folder = scratch();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("grids")).unwrap();
    let record = |name: &str, seed: u64, path: &str| {
        png(&at(name));
        fs::write(
            at(&format!("{name}.run.json")),
            format!(
                r#"{{"format": "ddpm-samples", "version": 1, "seed": {seed}, "start_index": 0, "count": 2, "class": null, "image_shape": [3, 1, 1],
                "sampler": "ddim", "eta": 0.0, "variance": null, "log_variance": null, "clip_last_noise": null, "clip_denoised": true,
                "path": {path}, "T": 9, "noise_schedule": "cosine", "checkpoint_sha256": "12ab", "rescale_timesteps": false,
                "precision": "f32", "network": {{}}}}"#
            ),
        )
        .unwrap();
    };
    record("grids/even.2.png", 3, "[0, 4, 9]");
    record("grids/even.3.png", 3, "[0, 3, 6, 9]");
    record("grids/<b>&\"x.3.png", 3, "[0, 1, 5, 9]");
    // Other noise, another number than its name says, and one alone.
    record("grids/dp.2.png", 4, "[0, 1, 9]");
    record("grids/quadratic.5.png", 3, "[0, 1, 9]");
    let found = Ddpm::new("report").arg(folder.path()).json();
    assert_eq!(found["images"].as_array().unwrap().len(), 5);
    let html = fs::read_to_string(at("report.html")).unwrap();
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(&html, options).unwrap();
    let page = html.split("<figure class=\"matrix\">").collect::<Vec<_>>();
    let [_, matrix] = page[..] else {
        panic!("one matrix");
    };
    let (matrix, others) = matrix.split_once("</figure>").unwrap();
    let rows: Vec<&str> = matrix.split("<tr><th scope=\"rowgroup\"").collect();
    assert_eq!(rows.len(), 3, "{matrix}");
    let pictures = |text: &str| text.matches("<img").count();
    assert!(rows[0].contains("K = 2") && rows[0].contains("K = 3"));
    let escaped = ">&lt;b&gt;&amp;&quot;x <span>sampler ddim, eta 0.0";
    assert!(rows[1].contains(escaped) && pictures(rows[1]) == 1);
    assert!(rows[2].contains(">even <span>") && pictures(rows[2]) == 2);
    assert!(matrix.contains("2 samples, seed 3, from number 0 on"));
    assert_eq!(pictures(others), 2);
    assert!(matrix.contains("report.files/samples.png") && at("report.files/samples.png").exists());
}
