//! `ddpm plot`: figures of profiles and schedules.

use std::path::Path;

use serde_json::Value;

use crate::support::{Ddpm, golden, numbers, repository, scratch};

fn profile(split: &str) -> std::path::PathBuf {
    repository(&format!(
        "datasets/cifar10-small.{split}.profile.safetensors"
    ))
}

/// Squared errors that another program measured, as a profile.
fn imported(folder: &Path) -> std::path::PathBuf {
    let out = folder.join("p");
    Ddpm::new("profile")
        .file("--import", &golden("squared-errors.npz"))
        .writes(&out);
    out
}

/// Schedules of so many steps, and other flags, chosen on a profile.
fn schedules(folder: &Path, profile: &Path, steps: &str) -> std::path::PathBuf {
    let out = folder.join("s.json");
    Ddpm::new("schedule")
        .arg(profile)
        .words("--folds 0 --steps")
        .words(steps)
        .writes(&out);
    out
}

/// `ddpm plot terms` of schedules on a profile.
fn terms(schedules: &Path, profile: &Path, out: &Path) -> Ddpm {
    Ddpm::new("plot")
        .words("terms")
        .arg(schedules)
        .arg(profile)
        .over("--out", out)
}

/// One coordinate of every point of the first series.
fn coordinates(found: &Value, key: &str) -> Vec<f64> {
    let points = found["series"][0]["points"].as_array().unwrap();
    points.iter().map(|p| p[key].as_f64().unwrap()).collect()
}

#[test]
fn figures_show_the_numbers_that_the_commands_print() {
    let folder = scratch();
    let svg = folder.path().join("f.svg");
    let draw = |figure: &str, files: &[&Path], flags: &str| {
        let command = files
            .iter()
            .fold(Ddpm::new("plot").arg(figure), |c, f| c.arg(f));
        let found = command.words(flags).over("--out", &svg).json();
        let text = std::fs::read_to_string(&svg).unwrap();
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        for label in [&found["x"], &found["y"], &found["title"]] {
            assert!(text.contains(label.as_str().unwrap()), "{label}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{figure}");
        (found, text)
    };
    let (train, test) = (profile("train"), profile("test"));
    let file = schedules(folder.path(), &train, "4,16");

    let (found, text) = draw("bits-per-dim", &[&train, &test], "--steps 4,16");
    let table = Ddpm::new("table")
        .arg(&train)
        .arg(&test)
        .words("--steps 4,16 --variance learned")
        .json();
    for row in table["rows"].as_array().unwrap() {
        let name = match row["stride"].as_str().unwrap() {
            "dp" => "optimal",
            "all" => "all timesteps",
            stride => stride,
        };
        let drawn = found["series"]
            .as_array()
            .unwrap()
            .iter()
            .find(|s| s["name"] == name)
            .unwrap();
        let points = drawn["points"].as_array().unwrap();
        let point = points
            .iter()
            .find(|p| p["x"].as_f64() == row["steps"].as_f64())
            .unwrap();
        assert_eq!(point["y"], row["bpd"]);
        assert_eq!(point["stderr"], row["stderr"]);
        let label = match name {
            "all timesteps" => "all 4000 timesteps",
            name => name,
        };
        assert!(text.contains(&format!(">{label}</text>")), "{label}");
    }

    let (found, text) = draw("timesteps", &[&file], "");
    let chosen: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let paths: Vec<f64> = [0, 1]
        .iter()
        .flat_map(|&i| numbers(&chosen["budgets"][i]["path"])[1..].to_vec())
        .collect();
    assert_eq!(coordinates(&found, "x"), paths);
    assert_eq!(text.matches("v8\"").count(), 20);

    let (found, _) = draw("terms", &[&file, &train], "--steps 16");
    let terms: f64 = coordinates(&found, "y").iter().sum();
    let cost = chosen["budgets"][1]["cost"].as_f64().unwrap();
    assert!((terms - cost).abs() < 1e-9 * cost, "{terms} {cost}");

    let (found, text) = draw("errors", &[&train, &test], "");
    let series = found["series"].as_array().unwrap();
    assert_eq!(series.len(), 4);
    assert_eq!(series[0]["points"].as_array().unwrap().len(), 4000);
    assert_eq!(series[1]["name"], "train, measured");
    assert!(text.contains("marks: timesteps that were measured") && text.contains(">train</text>"));

    // The full chain of the network is what the variances are compared with.
    let (found, text) = draw("variances", &[&train, &test], "--steps 4,16");
    let series = found["series"].as_array().unwrap();
    assert_eq!(series.last().unwrap()["name"], "all timesteps");
    assert!(text.contains(">all 4000 timesteps, learned</text>") && !text.contains(">4000</text>"));
}

/// The attributes of all lines that a name stands for, but for their places.
fn looks(svg: &str, name: &str) -> Vec<String> {
    let key = svg
        .lines()
        .take_while(|line| !line.contains(&format!(">{name}</text>")));
    let last = key
        .filter(|line| line.starts_with("<polyline"))
        .last()
        .unwrap();
    let attribute = |name: &str| {
        let (_, rest) = last.split_once(&format!("{name}=\"")).unwrap_or(("", "\""));
        rest.split('"').next().unwrap().to_owned()
    };
    vec![attribute("stroke"), attribute("stroke-dasharray")]
}

/// A stride has one colour and dash, whatever else is drawn and wherever it stands.
#[test]
fn a_stride_looks_the_same_in_every_figure() {
    let folder = scratch();
    let draw = |flags: &str| {
        let out = folder.path().join("f.svg");
        Ddpm::new("plot")
            .words("bits-per-dim --steps 4,16")
            .arg(profile("train"))
            .arg(profile("test"))
            .words(flags)
            .over("--out", &out)
            .run()
            .succeeds();
        std::fs::read_to_string(&out).unwrap()
    };
    let (full, free) = (
        draw("--variance learned"),
        draw("--variance fixed-small --start free"),
    );
    for name in ["optimal", "quadratic", "even", "all 4000 timesteps"] {
        assert_eq!(looks(&full, name), looks(&free, name), "{name}");
    }
    // The optimal curve is the last that is drawn, and so on top.
    let curves: Vec<&str> = full
        .lines()
        .filter(|line| line.starts_with("<polyline"))
        .collect();
    assert!(
        curves[3].contains(&looks(&full, "optimal")[0]),
        "{}",
        curves[3]
    );
}

#[test]
fn a_figure_for_a_paper_is_as_wide_as_was_asked_for() {
    let folder = scratch();
    let file = schedules(folder.path(), &profile("train"), "4,16");
    let plot = |width: &str, out: &Path| {
        Ddpm::new("plot")
            .words("timesteps --width")
            .words(width)
            .arg(&file)
            .over("--out", out)
    };
    let (svg, png) = (folder.path().join("f.svg"), folder.path().join("f.png"));
    let printed = plot("3.25", &svg).run().succeeds().stdout();
    assert!(
        printed.contains("T=4000 cosine") && printed.contains("Rows differ"),
        "{printed}"
    );
    let text = std::fs::read_to_string(&svg).unwrap();
    assert!(text.contains("width=\"3.25in\"") && text.contains("viewBox=\"0 0 351 "));
    assert!(
        !text.contains("font-weight=\"bold\""),
        "the title is in the caption"
    );

    let found = plot("3.25", &png).json();
    assert_eq!(
        found["caption"].as_str().unwrap(),
        printed.trim().split_once(": ").unwrap().1
    );
    let bytes = std::fs::read(&png).unwrap();
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    // 300 pixels per inch, which the file says in its pHYs chunk: 11811 per metre.
    assert_eq!(number(16), 975);
    let chunk = bytes.windows(4).position(|word| word == b"pHYs").unwrap();
    assert_eq!([number(chunk + 4), number(chunk + 8)], [11811; 2]);
    assert_eq!(bytes[chunk + 12], 1, "the unit is the metre");

    for width in ["1", "nan", "1000"] {
        plot(width, &svg).fails(2, &["--width"]);
    }
}

#[test]
fn a_png_is_the_same_figure_in_pixels() {
    let folder = scratch();
    let file = schedules(folder.path(), &profile("train"), "4,16");
    let out = folder.path().join("f.png");
    Ddpm::new("plot")
        .arg("timesteps")
        .arg(&file)
        .file("--out", &out)
        .run()
        .succeeds();
    let bytes = std::fs::read(&out).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    // Twice the units of the figure.
    assert!(
        side(16) > 1000 && side(20) > 700,
        "{}x{}",
        side(16),
        side(20)
    );
}

#[test]
fn figures_that_cannot_be_drawn() {
    let folder = scratch();
    let out = folder.path().join("f.svg");
    let plot = |words: &str| Ddpm::new("plot").words(words);
    plot("pie x")
        .file("--out", &out)
        .fails(2, &["pie", "timesteps"]);
    plot("timesteps").file("--out", &out).fails(2, &["FILE"]);
    plot("bits-per-dim x")
        .file("--out", &out)
        .fails(2, &["P_train P_test", "2 files, found 1"]);
    plot("timesteps x")
        .file("--out", &folder.path().join("f.pdf"))
        .fails(2, &["f.pdf", ".svg or .png"]);
    plot("timesteps absent.json")
        .file("--out", &out)
        .fails(3, &["absent.json", "no such file"]);
    assert!(!out.exists());
}

/// The density of continuous data can be above 1: a term below 0 needs an axis that has a place for it.
#[test]
fn terms_below_zero_are_drawn() {
    let folder = scratch();
    let profile = imported(folder.path());
    let schedules = schedules(folder.path(), &profile, "8");
    let found = terms(&schedules, &profile, &folder.path().join("f.svg")).json();
    let costs = coordinates(&found, "y");
    assert_eq!(costs.len(), 8);
    assert!(costs.iter().any(|&cost| cost < 0.0), "{costs:?}");
    assert_eq!(found["y"], "cost of the step [bits/dim]");
}

/// A schedules file does not hold the width of a bin: it is told again, and then the terms add up to the cost.
#[test]
fn terms_take_the_parameters_of_the_gaussian_decoder() {
    let folder = scratch();
    let imported = imported(folder.path());
    let file = folder.path().join("s.json");
    let flags = "--decoder-bin-width 0.0078 --decoder-first-bits 2.5";
    let chosen = Ddpm::new("schedule")
        .arg(&imported)
        .words("--steps 8 --folds 0")
        .words(flags)
        .over("--out", &file)
        .json();
    let cost = chosen["budgets"][0]["cost"].as_f64().unwrap();
    let sum = |flags: &str| {
        let command = terms(&file, &imported, &folder.path().join("f.svg"));
        let found = command.words(flags).json();
        coordinates(&found, "y").iter().sum::<f64>()
    };
    assert!((sum(flags) - cost).abs() < 1e-9, "{} {cost}", sum(flags));
    assert!((sum("") - cost).abs() > 0.1, "{} {cost}", sum(""));
    let train = profile("train");
    let respaced = schedules(folder.path(), &train, "4");
    terms(&respaced, &train, &folder.path().join("g.svg"))
        .words(flags)
        .fails(2, &["--decoder-bin-width", "respaced"]);
}

/// What a figure does not look at is refused, and what nobody could tell apart.
#[test]
fn flags_go_with_their_figures_and_curves_can_be_told_apart() {
    let folder = scratch();
    let out = folder.path().join("f.svg");
    let train = profile("train");
    let steps: Vec<String> = (2..16).map(|k: u32| k.to_string()).collect();
    let file = schedules(folder.path(), &train, &steps.join(","));
    let plot = |words: &str, flags: &str| {
        Ddpm::new("plot")
            .words(words)
            .arg(&file)
            .words(flags)
            .over("--out", &out)
    };
    for (figure, flag) in [
        ("timesteps", "--variance learned"),
        ("timesteps", "--decoder respaced"),
        ("terms", "--start free"),
        ("errors", "--steps 8"),
        ("timesteps", "--decoder-bin-width 0.1"),
    ] {
        let name = flag.split(' ').next().unwrap();
        plot(figure, flag).fails(2, &[name, "goes with", figure]);
    }
    // 14 budgets in the file.
    let terms = |flags: &str| terms(&file, &train, &out).words(flags);
    terms("").fails(2, &["14 curves", "at most 12", "--steps"]);
    assert!(!out.exists());
    terms("--steps 2,3,4,5,6,7,8,9,10,11,12,13")
        .run()
        .succeeds();
    // The axis of K names the K that are there.
    plot("timesteps", "--steps 5,10,13").run().succeeds();
    let svg = std::fs::read_to_string(&out).unwrap();
    for k in ["5", "10", "13"] {
        assert!(
            svg.contains(&format!("text-anchor=\"end\">{k}</text>")),
            "K={k}"
        );
    }
}
