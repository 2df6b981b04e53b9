//! `ddpm inspect`: what a checkpoint is.

use ddpm_model::{Checkpoint, ModelOptions, UNet};
use serde_json::{Map, Value, json};

use crate::args::Inspect;
use crate::error::{Error, Result};
use crate::input::{model_options, open_checkpoint};
use crate::output;
use crate::render::{Align, TextTable};

/// Runs the command.
pub(crate) fn run(args: &Inspect) -> Result<()> {
    let options = model_options(&args.checkpoint)?;
    let checkpoint = open_checkpoint(&args.checkpoint)?;
    let mut description = Map::new();
    description.insert("sha256".into(), checkpoint.sha256().into());
    description.insert("state_dict".into(), checkpoint.place().to_string().into());
    let (parameters, config) = describe(&checkpoint, &options)
        .map_err(|error| Error::checkpoint(&args.checkpoint.checkpoint, error))?;
    description.insert("parameters".into(), parameters.into());
    if let Value::Object(config) = config {
        description.extend(config);
    }
    if args.json {
        return output::print_json(&description);
    }
    output::print_text(&table(
        &args.checkpoint.checkpoint.display().to_string(),
        &description,
    ))
}

/// The network's description. A number of heads that nobody gave is left open: this is the command
/// with which one finds out what to give.
fn describe(
    checkpoint: &Checkpoint,
    options: &ModelOptions,
) -> std::result::Result<(usize, Value), ddpm_model::Error> {
    match UNet::load(checkpoint, options) {
        Err(ddpm_model::Error::MissingOption {
            key: "num_heads", ..
        }) => {
            // One head divides any number of channels, so that everything else is still checked.
            let options = ModelOptions {
                num_heads: Some(1),
                ..options.clone()
            };
            let unet = UNet::load(checkpoint, &options)?;
            let mut config = unet.config().describe();
            for key in ["num_heads", "num_heads_upsample"] {
                config["architecture"][key] = Value::Null;
                if let Some(sources) = config["sources"].as_object_mut() {
                    sources.remove(key);
                }
            }
            Ok((unet.parameters(), config))
        }
        Err(error) => Err(error),
        Ok(unet) => Ok((unet.parameters(), unet.config().describe())),
    }
}

fn table(file: &str, description: &Map<String, Value>) -> String {
    let mut text = TextTable::new([
        ("what", Align::Left),
        ("value", Align::Left),
        ("known from", Align::Left),
    ])
    .title(format!(
        "{file}: {}",
        description["family"].as_str().unwrap_or_default()
    ));
    let null = Value::Null;
    let sources = description.get("sources").unwrap_or(&null);
    let mut row = |key: &str, value: &Value| {
        let (value, source) = match value {
            Value::Null => ("-".to_owned(), "not known".to_owned()),
            value => (
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned),
                sources[key].as_str().unwrap_or_default().to_owned(),
            ),
        };
        text.row([key.to_owned(), value, source]);
    };
    for (key, value) in description {
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
                    row("num_heads", &json!(null));
                }
            }
            ("sources" | "family", _) | ("preset" | "clip_denoised", Value::Null) => {}
            (key, value) => row(key, value),
        }
    }
    let missing: Vec<&str> = [
        ("T", "--train-steps"),
        ("noise_schedule", "--noise-schedule"),
        ("rescale_timesteps", "--rescale-timesteps"),
    ]
    .into_iter()
    .filter(|(key, _)| description.get(*key).is_none_or(Value::is_null))
    .map(|(_, flag)| flag)
    .collect();
    if !missing.is_empty() {
        text.note(format!(
            "Weights cannot tell the values that are not known: give {} or a model.json beside the checkpoint.",
            missing.join(", ")
        ));
    }
    text.to_string()
}
