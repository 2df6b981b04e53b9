//! `ddpm fid`: distances between two sets of images.

use std::path::{Path, PathBuf};

use ddpm_data::{ImageSet, Split};
use ddpm_eval::distance::{
    EnergyReference, FeatureStatistics, FrechetReference, disjoint_subsets, frechet_difference,
    frechet_jackknife, is_statistics, kernel_distance, neighbours, read_statistics,
    write_statistics,
};
use ddpm_model::NetworkKind;
use ddpm_profile::Estimate;
use ddpm_schedule::results::{
    self, Distance, FeatureNetwork, FidStatistics, Kid, SetKind, Versus, Weights,
};
use ndarray::{Array2, Axis};

use super::sample::noise_of;
use crate::args::Fid;
use crate::error::{Error, Located, Result};
use crate::input::{
    Features, INCEPTION_FILE, INCEPTION_SHA256, RAW, check_writable, open_test_bed,
    refuse_to_replace, warn_of_left_out,
};
use crate::output::{self, Voice};
use crate::render::{ProgressLine, TextTable, kid_times_1000, plural, with_error};

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
        // Nothing in the file will say what it is of.
        refuse_to_replace(out, args.existing.force)?;
        check_writable(out)?;
    }
    let a = Source::open(&args.a, args.split_a, "--split-a", voice)?;
    let open = |path: &Option<PathBuf>, split, flag| {
        let path = path.as_ref();
        path.map(|path| Source::open(path, split, flag, voice))
            .transpose()
    };
    let b = open(&args.b, args.split_b, "--split-b")?;
    let versus = open(&args.versus, args.split_a, "--split-a")?;
    if let Some(versus) = &versus {
        check_pairs(args, &a, versus)?;
    }
    warn_of_other_noise(args, voice);
    let sources = || {
        [Some(&a), b.as_ref(), versus.as_ref()]
            .into_iter()
            .flatten()
    };
    let features = if sources().any(|source| source.images().is_some()) {
        let named = args.features.as_deref();
        Some(Features::open(named, args.download, voice)?)
    } else {
        None
    };
    check_flags(args, &a, b.as_ref())?;
    if matches!(features, Some(Features::Raw)) {
        check_shapes(&a, b.as_ref(), versus.as_ref())?;
    }
    // All that can be refused is refused before the first image is looked at.
    for source in sources() {
        source.check(args)?;
    }
    let measure = |source: Source| Side::measure(source, args, features.as_ref(), voice);
    let a = measure(a)?;
    if let Some(out) = &args.save_statistics {
        write_statistics(out, &a.statistics)?;
    }
    let first = FidStatistics {
        a: a.set.clone(),
        features: features.as_ref().and_then(Features::described),
        statistics: args
            .save_statistics
            .as_ref()
            .map(|path| path.display().to_string()),
    };
    let Some(b) = b else {
        if args.json {
            return output::print_json(&first);
        }
        return output::print_text(&statistics_text(&first));
    };
    let b = measure(b)?;
    let versus = versus.map(measure).transpose()?;
    let (found, assumed) = compare(first, &a, &b, versus.as_ref(), args, voice)?;
    if args.json {
        output::print_json(&found)
    } else {
        output::print_text(&text(&found, assumed))
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

/// Data themselves are compared with data of their own shape.
fn check_shapes(a: &Source, b: Option<&Source>, versus: Option<&Source>) -> Result<()> {
    let Some(expected) = a.images().map(ImageSet::shape) else {
        return Ok(());
    };
    for other in [b, versus].into_iter().flatten() {
        if let Some(found) = other
            .images()
            .map(ImageSet::shape)
            .filter(|s| *s != expected)
        {
            return Err(Error::Input(format!(
                "{}: expected data of the shape of {}, {expected:?}, found {found:?}",
                other.name, a.name
            )));
        }
    }
    Ok(())
}

/// Says so where two samples that are compared in pairs are known not to have begun with the same noise.
fn warn_of_other_noise(args: &Fid, voice: Voice) {
    let noise = |path: &PathBuf| noise_of(path);
    if let (Some(a), Some(versus)) = (noise(&args.a), args.versus.as_ref().and_then(noise))
        && a != versus
    {
        voice.warn(format_args!(
            "--versus: the samples did not begin with the same noise (seed {}, first index {}, and seed {}, first index {}): the error of their difference is not that of pairs",
            a.0, a.1, versus.0, versus.1
        ));
    }
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
pub(super) struct Source {
    /// As it was typed, with the split.
    pub(super) name: String,
    split: Option<Split>,
    pub(super) content: Content,
}

pub(super) enum Content {
    Statistics(Box<FeatureStatistics>),
    Images(ImageSet),
}

impl Source {
    pub(super) fn open(
        path: &Path,
        asked: Option<Split>,
        flag: &str,
        voice: Voice,
    ) -> Result<Self> {
        if is_statistics(path)? {
            return Ok(Self {
                name: path.display().to_string(),
                split: None,
                content: Content::Statistics(Box::new(read_statistics(path)?)),
            });
        }
        let split = asked.unwrap_or(Split::Test);
        let opened = match open_test_bed(path)? {
            Some(bed) => Ok(bed.draws(split)?),
            None => ddpm_data::open(path, split, None),
        };
        let set = match (opened, asked) {
            (Ok(set), None) if set.split_is_named() => None,
            (Err(ddpm_data::Error::MissingSplit { .. }), None) => None,
            (set, _) => Some(set?),
        }
        .ok_or_else(|| {
            Error::usage(format!(
                "{}: it has train and test apart, and distances differ: expected {flag} train or {flag} test",
                path.display()
            ))
        })?;
        warn_of_left_out(path, &set, voice);
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
        let count = match &self.content {
            Content::Images(set) => Some(args.limit.unwrap_or(set.len())),
            Content::Statistics(statistics) => statistics.images(),
        };
        match count {
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
    set: results::ImageSet,
    /// Those of the images that were used.
    features: Option<Array2<f32>>,
    statistics: FeatureStatistics,
}

impl Side {
    fn measure(
        source: Source,
        args: &Fid,
        features: Option<&Features>,
        voice: Voice,
    ) -> Result<Self> {
        let (kind, features, statistics) = match source.content {
            Content::Images(ref set) => {
                let features = features.ok_or_else(|| {
                    Error::Internal("images without a feature network".to_owned())
                })?;
                let (features, statistics) = measure(&source.name, set, args, features, voice)?;
                (SetKind::Images, Some(features), statistics)
            }
            Content::Statistics(statistics) => (SetKind::Statistics, None, *statistics),
        };
        let set = results::ImageSet {
            source: source.name,
            kind,
            split: source.split.map(|split| split.name().to_owned()),
            images: statistics.images(),
        };
        Ok(Self {
            set,
            features,
            statistics,
        })
    }
}

/// The features of the images that count, and their statistics.
fn measure(
    name: &str,
    set: &ImageSet,
    args: &Fid,
    network: &Features,
    voice: Voice,
) -> Result<(Array2<f32>, FeatureStatistics)> {
    let mut chosen = ddpm_data::selection(args.seed, set.len(), args.limit.unwrap_or(set.len()));
    // Blocks of the jackknife are runs of neighbours in this order.
    chosen.sort_unstable();
    let progress = ProgressLine::new(voice);
    let batch = args.batch.map(usize::from);
    let features = network.of(name, set, &chosen, batch, &progress)?;
    let statistics = FeatureStatistics::from_features(features.view())?
        .with_network(network.name())
        .with_weights(network.sha256());
    Ok((features, statistics))
}

/// Compares two sets. Says too whether no file told which network the features are of.
fn compare(
    first: FidStatistics,
    a: &Side,
    b: &Side,
    versus: Option<&Side>,
    args: &Fid,
    voice: Voice,
) -> Result<(results::Fid, bool)> {
    let dims = [a.statistics.dims(), b.statistics.dims()];
    let networks = [a.statistics.network(), b.statistics.network()];
    let differ = matches!(networks, [Some(a), Some(b)] if a != b);
    if dims[0] != dims[1] || differ {
        let [of_a, of_b] = [0, 1].map(|i| {
            let network = networks[i].unwrap_or("an unnamed network");
            format!("{} features of {network}", dims[i])
        });
        return Err(Error::Input(format!(
            "{} has {of_a}, {} has {of_b}; expected features of one network",
            a.set.source, b.set.source
        )));
    }
    let known = networks.into_iter().flatten().next();
    let label = label(known, dims[0]);
    let reference = FrechetReference::new(&b.statistics)
        .map_err(|error| Error::Input(format!("{}: {error}", b.set.source)))?;
    let many = dims[0] > 256 && versus.is_none();
    let blocks = args.jackknife.unwrap_or(if many { 0 } else { BLOCKS });
    // The default gives way to few images; what was asked for does not.
    let blocks_of = |features: &Array2<f32>| match args.jackknife {
        Some(blocks) => blocks,
        None => blocks.min(features.nrows() / 2),
    };
    let (frechet, pair) = match (&a.features, versus) {
        (Some(x), Some(other)) => {
            let y = other
                .features
                .as_ref()
                .ok_or_else(|| Error::Internal("a pair without features".to_owned()))?;
            let found = frechet_difference(x.view(), y.view(), &reference, blocks_of(x))
                .in_flag("--jackknife")?;
            let pair = Versus {
                set: other.set.clone(),
                frechet: distance(&found.b),
                difference: distance(&found.difference),
            };
            (distance(&found.a), Some(pair))
        }
        (Some(x), None) if blocks > 0 => {
            let found = frechet_jackknife(x.view(), &reference, blocks_of(x));
            (distance(&found.in_flag("--jackknife")?), None)
        }
        _ => {
            let value = reference.distance(&a.statistics).map_err(|error| {
                Error::Input(format!("{}, {}: {error}", a.set.source, b.set.source))
            })?;
            let (standard_error, blocks) = (None, 0);
            (
                Distance {
                    value,
                    standard_error,
                    blocks,
                },
                None,
            )
        }
    };
    let (mut kid, mut near, mut energy) = (None, None, None);
    if let (Some(x), Some(y)) = (&a.features, &b.features) {
        let enough = x.nrows() >= 4;
        let affordable = EnergyReference::is_affordable(x.nrows(), y.nrows(), x.ncols());
        if known == Some(RAW) && !affordable {
            voice.note(format_args!(
                "the energy distance of {} and {} data of {} numbers each takes too long; --limit N takes some of them",
                x.nrows(),
                y.nrows(),
                x.ncols()
            ));
        } else if known == Some(RAW) && enough {
            energy = Some(energy_distance(
                args,
                x,
                y,
                versus.and_then(|side| side.features.as_ref()),
            )?);
        }
        let least = x.nrows().min(y.nrows());
        let usual = SUBSET_SIZE.min(least / 8).max(2);
        let size = args.kid_subset_size.unwrap_or(usual);
        let counts = [x.nrows(), y.nrows()];
        let count = (least / size.max(1)).clamp(1, SUBSETS);
        let subsets =
            disjoint_subsets(args.seed, counts, size, count).in_flag("--kid-subset-size")?;
        let found = kernel_distance(x.view(), y.view(), &subsets)?;
        kid = Some(Kid {
            value: found.value,
            standard_error: Some(found.standard_error).filter(|e| e.is_finite()),
            deviation: found.deviation,
            subsets: found.subsets,
            subset_size: size,
        });
        if args.nearest_images > 0 {
            let some = |x: &Array2<f32>| {
                if x.nrows() > args.nearest_images {
                    let chosen = ddpm_data::selection(args.seed, x.nrows(), args.nearest_images);
                    x.select(Axis(0), &chosen)
                } else {
                    x.clone()
                }
            };
            let (x, y) = (some(x), some(y));
            let found = neighbours(y.view(), x.view(), args.nearest).in_flag("--nearest")?;
            near = Some(results::Neighbours {
                precision: found.precision,
                recall: found.recall,
                density: found.density,
                coverage: found.coverage,
                nearest: args.nearest,
                images_a: x.nrows(),
                images_b: y.nrows(),
            });
        }
    }
    let is_reference = |side: &&Side| side.statistics.weights() == Some(INCEPTION_SHA256);
    let weights = if [a, b].iter().all(is_reference) {
        Weights::Reference
    } else {
        Weights::Assumed
    };
    let found = results::Fid {
        first,
        b: b.set.clone(),
        weights: (label == FID).then_some(weights),
        metric: label,
        frechet,
        versus: pair,
        kid,
        neighbours: near,
        energy,
        seed: args.seed,
    };
    Ok((found, known.is_none()))
}

/// The energy distance of data, which takes no time to leave blocks out of: with an error bar unless none is asked for.
fn energy_distance(
    args: &Fid,
    x: &Array2<f32>,
    y: &Array2<f32>,
    versus: Option<&Array2<f32>>,
) -> Result<results::Energy> {
    let blocks = match args.jackknife {
        Some(blocks) if blocks > 0 => blocks,
        _ => BLOCKS.min(x.nrows() / 2),
    };
    let shown = |found: &Estimate| match args.jackknife {
        Some(0) => Distance {
            value: found.value,
            standard_error: None,
            blocks: 0,
        },
        _ => distance(found),
    };
    let reference = EnergyReference::new(y.view())?;
    let Some(other) = versus else {
        let found = reference
            .distance(x.view(), blocks)
            .in_flag("--jackknife")?;
        return Ok(results::Energy {
            distance: shown(&found),
            difference: None,
        });
    };
    let found = reference.difference(x.view(), other.view(), blocks);
    let found = found.in_flag("--jackknife")?;
    Ok(results::Energy {
        distance: shown(&found.a),
        difference: Some(shown(&found.difference)),
    })
}

/// FID is the name of a distance on one network's features.
pub(super) fn label(network: Option<&str>, dims: usize) -> String {
    let inception = NetworkKind::Inception;
    match network {
        Some(name) if name == inception.name() => FID.to_owned(),
        Some(name) => format!("FD({name})"),
        None if dims == inception.dims() => FID.to_owned(),
        None => format!("FD({dims} features)"),
    }
}

fn distance(estimate: &Estimate) -> Distance {
    Distance {
        value: estimate.value,
        standard_error: Some(estimate.standard_error),
        blocks: estimate.blocks,
    }
}

fn describe(set: &results::ImageSet) -> String {
    let unknown = || "an unknown number of images".to_owned();
    let count = set
        .images
        .map_or_else(unknown, |n| plural(n as u64, "image"));
    format!("{} ({count})", set.source)
}

fn describe_features(features: &FeatureNetwork) -> String {
    format!(
        "features: {} from {}, SHA-256 {}",
        features.network, features.weights, features.weights_sha256
    )
}

fn statistics_text(found: &FidStatistics) -> String {
    let file = found.statistics.as_deref().unwrap_or_default();
    let mut text = format!("{file}: statistics of {}\n", describe(&found.a));
    if let Some(features) = &found.features {
        text.push_str(&(describe_features(features) + "\n"));
    }
    text
}

fn text(found: &results::Fid, assumed: bool) -> String {
    let metric = &found.metric;
    let mut table = TextTable::new("measure | value:").title(format!(
        "{} against {}",
        describe(&found.first.a),
        describe(&found.b)
    ));
    if let Some(features) = &found.first.features {
        table = table.title(describe_features(features));
    }
    let shown = |d: &Distance| with_error(d.value, d.standard_error);
    table.row([metric.clone(), shown(&found.frechet)]);
    if let Some(versus) = &found.versus {
        let name = format!("{metric} of {}", versus.set.source);
        table.row([name, shown(&versus.frechet)]);
        table.row(["first minus that".to_owned(), shown(&versus.difference)]);
    }
    if let Some(energy) = &found.energy {
        table.row(["energy distance".to_owned(), shown(&energy.distance)]);
        if let Some(difference) = &energy.difference {
            table.row(["first minus that".to_owned(), shown(difference)]);
        }
    }
    if let Some(kid) = &found.kid {
        table.row(["KID x 1000".to_owned(), kid_times_1000(kid)]);
    }
    if let Some(near) = &found.neighbours {
        for (name, value) in [
            ("precision", near.precision),
            ("recall", near.recall),
            ("density", near.density),
            ("coverage", near.coverage),
        ] {
            table.row([name.to_owned(), with_error(value, None)]);
        }
    }
    if found.frechet.standard_error.is_some() {
        table.note(format!(
            "± one standard error of {metric}: jackknife over {} blocks of the first set, the reference as it is",
            found.frechet.blocks
        ));
    }
    if found.versus.is_some() {
        table.note("the difference is of pairs: image by image, which is fair if both began with the same noise");
    }
    if let Some(kid) = &found.kid {
        table.note(format!(
            "KID: {} disjoint subsets of {} images, unbiased",
            kid.subsets, kid.subset_size
        ));
    }
    if let Some(near) = &found.neighbours {
        table.note(format!(
            "precision, recall, density, coverage: {} nearest neighbours, {} and {} images",
            near.nearest, near.images_a, near.images_b
        ));
    }
    if found.energy.is_some() {
        table.note("energy distance: unbiased, so that it may be negative where the sets are alike; ± counts both sets");
    }
    if found.weights == Some(Weights::Assumed) {
        table.note(format!(
            "not the reference weights, or not known to be: a FID is defined on those of {INCEPTION_FILE} (SHA-256 {INCEPTION_SHA256})"
        ));
    }
    if assumed {
        table.note(if metric == FID {
            "no file names its network: 2048 features are taken for pytorch-fid's Inception"
        } else {
            "no file names its network"
        });
    }
    table.note(format!(
        "{metric} is biased upwards by the number of images: compare equal numbers against one reference only"
    ));
    table.to_string()
}
