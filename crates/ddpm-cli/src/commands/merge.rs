//! `ddpm merge`: profiles of disjoint blocks of images into one.

use std::path::Path;

use ddpm_profile::ElboProfile;
use ddpm_schedule::results;

use crate::args::Merge;
use crate::error::{Error, Result};
use crate::input::{OutputLock, in_the_way, read_profile, write_file};
use crate::output::{self, Voice};
use crate::render::{images_of, plural};

/// Runs the command.
pub(crate) fn run(args: &Merge, voice: Voice) -> Result<()> {
    // Before the parts are read, and what is there: others may add to it at the same time.
    let _lock = OutputLock::take(&args.out, voice)?;
    let mut parts = Vec::new();
    for path in &args.parts {
        voice.note(format_args!("reading {}", path.display()));
        if !path.exists() {
            return Err(Error::file(path, "no such file; expected a profile").advised(
                "measure that shard by `ddpm profile --shard`, or leave it out: it can be merged into the result later",
            ));
        }
        parts.push(read_profile(path)?);
    }
    let merged = ElboProfile::merge(parts).map_err(|error| {
        let names: Vec<String> = args.parts.iter().map(|p| p.display().to_string()).collect();
        Error::Input(format!("{}: {error}", names.join(" + "))).advised(
            "merge shards of one run, each once: same checkpoint, images, seed and conventions",
        )
    })?;
    if !args.existing.force && ddpm_files::replaces(&args.out) {
        refuse_to_lose_blocks(&args.out, &merged)?;
    }
    write_file(&args.out, &merged.to_bytes())?;
    let total = merged.provenance().total_blocks;
    if args.json {
        return output::print_json(&results::Merge {
            out: args.out.display().to_string(),
            images: merged.images(),
            blocks: merged.blocks().len(),
            total_blocks: total,
            missing_blocks: merged.missing_blocks(),
        });
    }
    let missing = match merged.missing_blocks().len() as u64 {
        0 => "complete".to_owned(),
        n => format!("{} of {total} still missing", plural(n, "block")),
    };
    output::print_text(&format!(
        "{}: {} from {}, {missing}\n",
        args.out.display(),
        images_of(&merged),
        plural(args.parts.len() as u64, "profile"),
    ))
}

/// A profile that is there is replaced by one with all of its blocks, and by nothing else.
fn refuse_to_lose_blocks(out: &Path, merged: &ElboProfile) -> Result<()> {
    let earlier = read_profile(out).map_err(|error| in_the_way(out, error))?;
    merged.check_same_run(&earlier).map_err(|error| {
        in_the_way(
            out,
            format_args!("holds the profile of another run: {error}"),
        )
    })?;
    let is_kept = |block| merged.blocks().contains(block);
    if earlier.blocks().iter().all(is_kept) {
        return Ok(());
    }
    Err(Error::file(
        out,
        "holds blocks that the result has not; expected a profile of some of its parts, or no file",
    )
    .advised("merge it too, into another place, or replace it by --force"))
}
