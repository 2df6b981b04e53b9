//! `ddpm inspect`: what a checkpoint is.

use std::path::{Path, PathBuf};

use ddpm_model::{Checkpoint, MissingOption, ModelOptions, UNet};
use ddpm_schedule::results;
use serde_json::Value;

use crate::args::Inspect;
use crate::error::{Error, Located, Result};
use crate::input::{model_options, open_checkpoint, write_unless_in_the_way};
use crate::output::{self, Voice};
use crate::render::TextTable;

/// Runs the command.
pub(crate) fn run(args: &Inspect, voice: Voice) -> Result<()> {
    let options = model_options(&args.checkpoint)?;
    let checkpoint = open_checkpoint(&args.checkpoint)?;
    let (unet, config, missing) = describe(&checkpoint, &options)
        .map_err(|error| Error::checkpoint(&args.checkpoint.checkpoint, error))?;
    if let Some(unread) = unet.config().unread_process() {
        voice.warn(format_args!(
            "{unread}; commands that need the process take it from --train-steps, --noise-schedule and --parameterization"
        ));
    }
    if let Some(out) = &args.write_model {
        write_model(args, out.as_deref(), &unet, &missing, voice)?;
    }
    let found = results::Inspect {
        checkpoint_sha256: checkpoint.sha256().to_owned(),
        state_dict: checkpoint.place().to_string(),
        parameters: unet.parameters(),
        config: serde_json::from_value(config).or_internal()?,
    };
    if args.json {
        return output::print_json(&found);
    }
    let file = args.checkpoint.checkpoint.display().to_string();
    output::print_text(&table(&file, &found, &missing)?)
}

/// Keeps the options of a checkpoint beside it.
fn write_model(
    args: &Inspect,
    out: Option<&Path>,
    unet: &UNet,
    missing: &[MissingOption],
    voice: Voice,
) -> Result<()> {
    let checkpoint = &args.checkpoint.checkpoint;
    if !missing.is_empty() {
        let error = ddpm_model::Error::MissingOptions(missing.to_vec());
        return Err(Error::checkpoint(checkpoint, error));
    }
    let text = unet
        .config()
        .model_json()
        .map_err(|error| Error::checkpoint(checkpoint, error))?;
    let usual = || match checkpoint.is_dir() {
        true => checkpoint.join("model.json"),
        false => checkpoint.with_extension("model.json"),
    };
    let out: PathBuf = out.map_or_else(usual, Path::to_owned);
    write_unless_in_the_way(&out, text.as_bytes(), args.existing.force)?;
    voice.note(format_args!("wrote {}", out.display()));
    Ok(())
}

/// The network, its description, and what nobody has told of it. A number of heads that nobody gave is left open: this is the command with which one finds
/// out what to give.
fn describe(
    checkpoint: &Checkpoint,
    options: &ModelOptions,
) -> std::result::Result<(UNet, Value, Vec<MissingOption>), ddpm_model::Error> {
    let unet = match UNet::load(checkpoint, options) {
        Err(ddpm_model::Error::MissingOptions(mut missing)) => {
            // Everything else is still checked.
            let unet = UNet::load(checkpoint, &options.with_any_heads())?;
            let mut config = unet.config().describe();
            for key in ["num_heads", "num_heads_upsample"] {
                config["architecture"][key] = Value::Null;
                if let Some(sources) = config["sources"].as_object_mut() {
                    sources.remove(key);
                }
            }
            missing.extend(unet.config().missing());
            return Ok((unet, config, missing));
        }
        loaded => loaded?,
    };
    let (config, missing) = (unet.config().describe(), unet.config().missing());
    Ok((unet, config, missing))
}

fn table(file: &str, found: &results::Inspect, missing: &[MissingOption]) -> Result<String> {
    let mut text = TextTable::new("what | value | known from")
        .title(format!("{file}: {}", found.config.family));
    // Every field is a row.
    let Value::Object(description) = serde_json::to_value(found).or_internal()? else {
        return Err(Error::Internal("a description without fields".to_owned()));
    };
    let sources = &found.config.sources;
    let mut row = |key: &str, value: &Value| {
        let source = sources.get(key).and_then(Value::as_str).unwrap_or_default();
        let (value, source) = match value {
            Value::Null => ("-".to_owned(), "not known"),
            Value::String(text) => (text.clone(), source),
            value => (value.to_string(), source),
        };
        text.row([key.to_owned(), value, source.to_owned()]);
    };
    for (key, value) in &description {
        match (key.as_str(), value) {
            ("architecture", Value::Object(architecture)) => {
                for (key, value) in architecture {
                    // Heads are given by number or by size; the other one is not missing.
                    let absent = key == "num_classes" || key.starts_with("num_head");
                    if !(absent && value.is_null()) {
                        row(key, value);
                    }
                }
                if architecture["num_heads"].is_null()
                    && architecture["num_head_channels"].is_null()
                {
                    row("num_heads", &Value::Null);
                }
            }
            ("sources" | "family", _) | ("preset" | "clip_denoised", Value::Null) => {}
            (key, value) => row(key, value),
        }
    }
    let flags: Vec<&str> = missing.iter().map(MissingOption::name).collect();
    if !flags.is_empty() {
        text.note(format!(
            "Weights cannot tell the values that are not known: give {}, and keep them beside the checkpoint by --write-model.",
            flags.join(", ")
        ));
    }
    Ok(text.to_string())
}
