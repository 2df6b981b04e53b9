//! `ddpm fid`: distances between two sets of images.

use std::path::Path;

use ddpm_data::{ImageSet, Split};
use ddpm_eval::distance::{
    FeatureStatistics, FrechetReference, KernelDistance, Neighbours, disjoint_subsets,
    frechet_difference, frechet_jackknife, is_statistics, kernel_distance, neighbours,
    read_statistics, write_statistics,
};
use ddpm_eval::extract_features;
use ddpm_model::NetworkKind;
use ddpm_profile::Estimate;
use ndarray::{Array2, Axis};
use serde_json::{Value, json};

use crate::args::Fid;
use crate::error::{Error, Located, Result};
use crate::input::{Features, INCEPTION_FILE, INCEPTION_SHA256, check_writable};
use crate::output::{self, Voice};
use crate::render::{Align, ProgressLine, TextTable, plural, with_error};

/// The name of a distance on pytorch-fid's Inception.
const FID: &str = "FID";
/// Below this a FID is mostly bias (and its covariance is singular).
const FEWEST: usize = 2048;
/// Most subsets of KID.
const SUBSETS: usize = 100;
/// Images in a subset of KID where there are enough.
const SUBSET_SIZE: usize = 1000;
/// Blocks of the jackknife, where it takes no time.
const BLOCKS: usize = 32;

/// Runs the command.
pub(crate) fn run(args: &Fid, voice: Voice) -> Result<()> {
    if let Some(out) = &args.save_statistics {
        check_writable(out)?;
    }
    let a = Source::open(&args.a, args.split_a, "--split-a")?;
    let b = match &args.b {
        Some(b) => Some(Source::open(b, args.split_b, "--split-b")?),
        None => None,
    };
    let versus = match &args.versus {
        Some(c) => Some(Source::open(c, args.split_a, "--split-a")?),
        None => None,
    };
    let needs_network = [Some(&a), b.as_ref()]
        .iter()
        .flatten()
        .any(|s| s.images().is_some());
    if let Some(versus) = &versus {
        check_pairs(args, &a, versus)?;
    }
    let features = match needs_network {
        true => Some(Features::open(
            args.features.as_deref(),
            args.download,
            voice,
        )?),
        false => None,
    };
    check_flags(args, &a, b.as_ref())?;
    // All that can be refused is refused before the first image is looked at.
    for source in [Some(&a), b.as_ref(), versus.as_ref()]
        .into_iter()
        .flatten()
    {
        source.check(args)?;
    }
    let measure = |source: Source| Side::measure(source, args, features.as_ref(), voice);
    let a = measure(a)?;
    if let Some(out) = &args.save_statistics {
        write_statistics(out, &a.statistics)?;
    }
    let report = match b {
        None => Report {
            args,
            features: features.as_ref(),
            a,
            against: None,
        },
        Some(b) => {
            let b = measure(b)?;
            let versus = versus.map(measure).transpose()?;
            let against = Comparison::of(&a, &b, versus, args)?;
            Report {
                args,
                features: features.as_ref(),
                a,
                against: Some((b, against)),
            }
        }
    };
    match args.json {
        true => output::print_json(&report.json()),
        false => output::print_text(&report.text()),
    }
}

/// Refuses flags that choose among images or work on them, where a file of statistics holds none.
fn check_flags(args: &Fid, a: &Source, b: Option<&Source>) -> Result<()> {
    let of_a = a.images().is_none().then_some(a);
    let of_b = b.filter(|b| b.images().is_none());
    let either = of_a.or(of_b);
    let both = of_a.filter(|_| b.is_none_or(|b| b.images().is_none()));
    for (flag, given, statistics) in [
        ("--split-a", args.split_a.is_some(), of_a),
        ("--split-b", args.split_b.is_some(), of_b),
        ("--limit", args.limit.is_some(), either),
        ("--jackknife", args.jackknife.is_some_and(|n| n > 0), of_a),
        ("--kid-subset-size", args.kid_subset_size.is_some(), either),
        ("--features", args.features.is_some(), both),
        ("--download", args.download, both),
        ("--batch", args.batch.is_some(), both),
    ] {
        if let (true, Some(source)) = (given, statistics) {
            return Err(Error::usage(format!(
                "{flag}: {} holds statistics, in which the images are no longer there one by one; expected images, or no {flag}",
                source.name
            )));
        }
    }
    Ok(())
}

/// Refuses what cannot be compared image by image.
fn check_pairs(args: &Fid, a: &Source, versus: &Source) -> Result<()> {
    if args.jackknife == Some(0) {
        return Err(Error::usage(
            "--versus is about an error bar: expected no --jackknife 0",
        ));
    }
    let images = |source: &Source| {
        let images = source.images().map(ImageSet::len);
        images.ok_or_else(|| {
            Error::usage(format!(
                "--versus: {} holds statistics; expected images, to be compared one by one",
                source.name
            ))
        })
    };
    let (first, second) = (images(a)?, images(versus)?);
    if first != second {
        return Err(Error::flag(
            "--versus",
            format!(
                "expected as many images as {} has, {first}, found {second} in {}",
                a.name, versus.name
            ),
        ));
    }
    Ok(())
}

/// An argument, opened.
struct Source {
    /// As it was typed, with the split.
    name: String,
    split: Option<Split>,
    content: Content,
}

enum Content {
    Statistics(Box<FeatureStatistics>),
    Images(ImageSet),
}

impl Source {
    fn open(path: &Path, asked: Option<Split>, flag: &str) -> Result<Self> {
        if is_statistics(path)? {
            return Ok(Self {
                name: path.display().to_string(),
                split: None,
                content: Content::Statistics(Box::new(read_statistics(path)?)),
            });
        }
        let set = match (
            ddpm_data::open(path, asked.unwrap_or(Split::Test), None),
            asked,
        ) {
            (Ok(set), None) if set.split_is_named() => None,
            (Err(ddpm_data::Error::MissingSplit { .. }), None) => None,
            (set, _) => Some(set?),
        };
        let set = set.ok_or_else(|| {
            Error::usage(format!(
                "{}: it has train and test apart, and distances differ: expected {flag} train or {flag} test",
                path.display()
            ))
        })?;
        let split = asked.filter(|_| set.split_is_named());
        Ok(Self {
            name: match split {
                Some(split) => format!("{} ({split})", path.display()),
                None => path.display().to_string(),
            },
            split,
            content: Content::Images(set),
        })
    }

    fn images(&self) -> Option<&ImageSet> {
        match &self.content {
            Content::Images(set) => Some(set),
            Content::Statistics(_) => None,
        }
    }

    /// Images that will count.
    fn count(&self, args: &Fid) -> Option<usize> {
        match &self.content {
            Content::Images(set) => Some(args.limit.unwrap_or(set.len())),
            Content::Statistics(statistics) => statistics.images(),
        }
    }

    fn check(&self, args: &Fid) -> Result<()> {
        if let (Some(limit), Some(set)) = (args.limit, self.images())
            && !(2..=set.len()).contains(&limit)
        {
            return Err(Error::flag(
                "--limit",
                format!(
                    "expected 2..={}, the images of {}, found {limit}",
                    set.len(),
                    self.name
                ),
            ));
        }
        match self.count(args) {
            Some(count) if count < FEWEST && !args.allow_few => Err(Error::Input(format!(
                "{}: {count} images; expected at least {FEWEST}, since the distance is biased upwards by small numbers \
                 (--allow-few computes it all the same)",
                self.name
            ))
            .advised("draw more samples (`ddpm sample --count`), or add --allow-few")),
            _ => Ok(()),
        }
    }
}

/// A set whose statistics are known.
struct Side {
    name: String,
    split: Option<Split>,
    /// The images that were used.
    features: Option<Array2<f32>>,
    statistics: FeatureStatistics,
    kind: &'static str,
}

impl Side {
    fn measure(
        source: Source,
        args: &Fid,
        features: Option<&Features>,
        voice: Voice,
    ) -> Result<Self> {
        let Source {
            name,
            split,
            content,
        } = source;
        let set = match content {
            Content::Images(set) => set,
            Content::Statistics(statistics) => {
                return Ok(Self {
                    name,
                    split,
                    features: None,
                    statistics: *statistics,
                    kind: "statistics",
                });
            }
        };
        let Features { network, .. } = features
            .ok_or_else(|| Error::Internal("images without a feature network".to_owned()))?;
        let mut chosen =
            ddpm_data::selection(args.seed, set.len(), args.limit.unwrap_or(set.len()));
        // Blocks of the jackknife are runs of neighbours in this order.
        chosen.sort_unstable();
        let batch = match (args.batch, network.kind()) {
            (Some(batch), _) => usize::from(batch),
            (None, NetworkKind::Inception) => 16,
            (None, _) => 64,
        };
        let progress = ProgressLine::new(voice);
        let features = extract_features(network, &set, &chosen, batch, &progress).map_err(
            |error| match error {
                ddpm_eval::Error::Features(error) => Error::Input(format!("{name}: {error}")),
                other => other.into(),
            },
        )?;
        let statistics = FeatureStatistics::from_features(features.view())?
            .with_network(network.kind().name())
            .with_weights(network.sha256());
        Ok(Self {
            name,
            split,
            features: Some(features),
            statistics,
            kind: "images",
        })
    }

    fn describe(&self) -> String {
        let count = match self.statistics.images() {
            Some(count) => plural(count as u64, "image"),
            None => "an unknown number of images".to_owned(),
        };
        format!("{} ({count})", self.name)
    }

    fn json(&self) -> Value {
        json!({
            "source": self.name,
            "kind": self.kind,
            "split": self.split.map(Split::name),
            "images": self.statistics.images(),
        })
    }
}

/// What was found.
struct Comparison {
    label: String,
    /// Whether no file told which network the features are of.
    assumed: bool,
    /// For a FID: whether the features of both sets are known to be of the very file of weights that it is defined on.
    reference_weights: Option<bool>,
    frechet: f64,
    standard_error: Option<f64>,
    blocks: usize,
    kid: Option<(KernelDistance, usize)>,
    neighbours: Option<(Neighbours, [usize; 2])>,
    /// What the first set is compared with, its distance, and how much farther the first one is.
    versus: Option<(Side, Estimate, Estimate)>,
}

impl Comparison {
    fn of(a: &Side, b: &Side, versus: Option<Side>, args: &Fid) -> Result<Self> {
        let dims = [a.statistics.dims(), b.statistics.dims()];
        let networks = [a.statistics.network(), b.statistics.network()];
        let differ = matches!(networks, [Some(a), Some(b)] if a != b);
        if dims[0] != dims[1] || differ {
            let show = |i: usize| {
                format!(
                    "{} features of {}",
                    dims[i],
                    networks[i].unwrap_or("an unnamed network")
                )
            };
            return Err(Error::Input(format!(
                "{} has {}, {} has {}; expected features of one network",
                a.name,
                show(0),
                b.name,
                show(1)
            )));
        }
        let known = networks.into_iter().flatten().next();
        let label = label(known, dims[0]);
        let reference = FrechetReference::new(&b.statistics)?;
        let many = dims[0] > 256 && versus.is_none();
        let blocks = args.jackknife.unwrap_or(if many { 0 } else { BLOCKS });
        // The default gives way to few images; what was asked for does not.
        let blocks_of = |features: &Array2<f32>| match args.jackknife {
            Some(blocks) => blocks,
            None => blocks.min(features.nrows() / 2),
        };
        let (mut estimate, mut pair) = (None, None);
        match (&a.features, versus) {
            (Some(x), Some(other)) => {
                let y = other
                    .features
                    .as_ref()
                    .ok_or_else(|| Error::Internal("a pair without features".to_owned()))?;
                let found = frechet_difference(x.view(), y.view(), &reference, blocks_of(x))
                    .in_flag("--jackknife")?;
                estimate = Some(found.a);
                pair = Some((other, found.b, found.difference));
            }
            (Some(x), None) if blocks > 0 => {
                let found = frechet_jackknife(x.view(), &reference, blocks_of(x));
                estimate = Some(found.in_flag("--jackknife")?);
            }
            _ => {}
        }
        let frechet = match &estimate {
            Some(estimate) => estimate.value,
            None => reference.distance(&a.statistics)?,
        };
        let (mut kid, mut near) = (None, None);
        if let (Some(x), Some(y)) = (&a.features, &b.features) {
            let least = x.nrows().min(y.nrows());
            let size = args
                .kid_subset_size
                .unwrap_or(SUBSET_SIZE.min(least / 8).max(2));
            let counts = [x.nrows(), y.nrows()];
            let count = (least / size.max(1)).clamp(1, SUBSETS);
            let subsets =
                disjoint_subsets(args.seed, counts, size, count).in_flag("--kid-subset-size")?;
            kid = Some((kernel_distance(x.view(), y.view(), &subsets)?, size));
            if args.nearest_images > 0 {
                let some = |x: &Array2<f32>| match x.nrows() > args.nearest_images {
                    true => {
                        let chosen =
                            ddpm_data::selection(args.seed, x.nrows(), args.nearest_images);
                        x.select(Axis(0), &chosen)
                    }
                    false => x.clone(),
                };
                let (x, y) = (some(x), some(y));
                let found = neighbours(y.view(), x.view(), args.nearest).in_flag("--nearest")?;
                near = Some((found, [x.nrows(), y.nrows()]));
            }
        }
        Ok(Self {
            assumed: known.is_none(),
            reference_weights: (label == FID).then(|| {
                [a, b]
                    .iter()
                    .all(|side| side.statistics.weights() == Some(INCEPTION_SHA256))
            }),
            frechet,
            standard_error: estimate.map(|e| e.standard_error),
            blocks: estimate.map_or(0, |e| e.blocks),
            kid,
            neighbours: near,
            versus: pair,
            label,
        })
    }
}

/// FID is the name of a distance on one network's features.
fn label(network: Option<&str>, dims: usize) -> String {
    let inception = NetworkKind::Inception;
    match network {
        Some(name) if name == inception.name() => FID.to_owned(),
        Some(name) => format!("FD({name})"),
        None if dims == inception.dims() => FID.to_owned(),
        None => format!("FD({dims} features)"),
    }
}

/// What is printed.
struct Report<'a> {
    args: &'a Fid,
    features: Option<&'a Features>,
    a: Side,
    against: Option<(Side, Comparison)>,
}

impl Report<'_> {
    fn json(&self) -> Value {
        let mut out = json!({ "a": self.a.json() });
        if let Some(Features { network, path }) = self.features {
            out["features"] = json!({
                "network": network.kind().name(),
                "dims": network.kind().dims(),
                "weights": path.display().to_string(),
                "sha256": network.sha256(),
            });
        }
        if let Some(path) = &self.args.save_statistics {
            out["statistics"] = json!(path.display().to_string());
        }
        let Some((b, found)) = &self.against else {
            return out;
        };
        out["b"] = b.json();
        out["metric"] = json!(found.label);
        if let Some(reference) = found.reference_weights {
            out["weights"] = json!(if reference { "reference" } else { "assumed" });
        }
        out["frechet"] = json!({
            "value": found.frechet,
            "stderr": found.standard_error,
            "blocks": found.blocks,
        });
        if let Some((side, distance, farther)) = &found.versus {
            out["versus"] = side.json();
            out["versus"]["frechet"] = estimate_json(distance);
            out["versus"]["difference"] = estimate_json(farther);
        }
        out["kid"] = json!(found.kid.map(|(kid, size)| json!({
            "value": kid.value,
            "stderr": finite(kid.standard_error),
            "deviation": kid.deviation,
            "subsets": kid.subsets,
            "subset_size": size,
        })));
        out["neighbours"] = json!(found.neighbours.map(|(near, [a, b])| json!({
            "precision": near.precision,
            "recall": near.recall,
            "density": near.density,
            "coverage": near.coverage,
            "nearest": self.args.nearest,
            "images_a": a,
            "images_b": b,
        })));
        out["seed"] = json!(self.args.seed);
        out
    }

    fn text(&self) -> String {
        let network = self.features.map(|Features { network, path }| {
            format!(
                "features: {} from {}, SHA-256 {}",
                network.kind().name(),
                path.display(),
                network.sha256()
            )
        });
        let Some((b, found)) = &self.against else {
            let path = self
                .args
                .save_statistics
                .as_deref()
                .unwrap_or(Path::new(""));
            let mut text = format!("{}: statistics of {}\n", path.display(), self.a.describe());
            text.extend(network.map(|line| format!("{line}\n")));
            return text;
        };
        let mut table = TextTable::new([("measure", Align::Left), ("value", Align::Right)])
            .title(format!("{} against {}", self.a.describe(), b.describe()));
        if let Some(line) = network {
            table = table.title(line);
        }
        table.row([
            found.label.clone(),
            with_error(found.frechet, found.standard_error),
        ]);
        if let Some((side, distance, farther)) = &found.versus {
            let shown = |e: &Estimate| with_error(e.value, Some(e.standard_error));
            table.row([format!("{} of {}", found.label, side.name), shown(distance)]);
            table.row(["first minus that".to_owned(), shown(farther)]);
        }
        if let Some((kid, _)) = found.kid {
            let error = finite(kid.standard_error).map(|e| 1e3 * e);
            table.row(["KID x 1000".to_owned(), with_error(1e3 * kid.value, error)]);
        }
        if let Some((near, _)) = found.neighbours {
            for (name, value) in [
                ("precision", near.precision),
                ("recall", near.recall),
                ("density", near.density),
                ("coverage", near.coverage),
            ] {
                table.row([name.to_owned(), with_error(value, None)]);
            }
        }
        if found.standard_error.is_some() {
            table.note(format!(
                "± one standard error of {}: jackknife over {} blocks of the first set, the reference as it is",
                found.label, found.blocks
            ));
        }
        if found.versus.is_some() {
            table.note("the difference is of pairs: image by image, which is fair if both began with the same noise");
        }
        if let Some((kid, size)) = found.kid {
            table.note(format!(
                "KID: {} disjoint subsets of {size} images, unbiased",
                kid.subsets
            ));
        }
        if let Some((_, [a, b])) = found.neighbours {
            table.note(format!(
                "precision, recall, density, coverage: {} nearest neighbours, {a} and {b} images",
                self.args.nearest
            ));
        }
        if found.reference_weights == Some(false) {
            table.note(format!(
                "not the reference weights, or not known to be: a FID is defined on those of {INCEPTION_FILE} (SHA-256 {INCEPTION_SHA256})"
            ));
        }
        if found.assumed {
            table.note(match found.label.as_str() {
                FID => {
                    "no file names its network: 2048 features are taken for pytorch-fid's Inception"
                        .to_owned()
                }
                _ => "no file names its network".to_owned(),
            });
        }
        table.note(format!(
            "{} is biased upwards by the number of images: compare equal numbers against one reference only",
            found.label
        ));
        table.to_string()
    }
}

fn estimate_json(estimate: &Estimate) -> Value {
    json!({
        "value": estimate.value,
        "stderr": estimate.standard_error,
        "blocks": estimate.blocks,
    })
}

fn finite(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite())
}
