//! `model.json`: the options of a checkpoint, kept beside it.

use std::path::Path;

use ddpm_files::read_small;
use serde_json::Value;

use super::options::ModelOptions;
use crate::{Error, Result, python_json};

const KEYS: &str = "num_heads, num_head_channels, num_heads_upsample, attention_order, image_size, train_steps, \
                    noise_schedule, rescale_timesteps, parameterization, variance";

/// The options stored for a checkpoint: from `explicit` if given, else from `NAME.model.json` or `model.json` beside
/// the checkpoint (inside it, if it is a folder), `NAME` being its file name with or without the extension.
///
/// # Errors
/// [`Error::ModelFile`] if the file cannot be read, is not a JSON object, has an unknown key or a value of the wrong
/// kind. Not finding a file is no error unless it was asked for.
pub(super) fn find(checkpoint: &Path, explicit: Option<&Path>) -> Result<Option<ModelOptions>> {
    if let Some(path) = explicit {
        return read(path).map(Some);
    }
    let names = [checkpoint.file_name(), checkpoint.file_stem()];
    let named = names.into_iter().flatten().map(|name| {
        let mut name = name.to_os_string();
        name.push(".model.json");
        checkpoint.with_file_name(name)
    });
    // A folder keeps the file inside.
    let common = if checkpoint.is_dir() {
        checkpoint.join("model.json")
    } else {
        checkpoint.with_file_name("model.json")
    };
    let found = named.chain([common]).find(|path| path.is_file());
    found.map(|path| read(&path)).transpose()
}

fn read(path: &Path) -> Result<ModelOptions> {
    let bytes = read_small(path, python_json::LONGEST)?;
    parse(&bytes).map_err(|detail| Error::ModelFile {
        path: path.to_path_buf(),
        detail,
    })
}

fn parse(bytes: &[u8]) -> std::result::Result<ModelOptions, String> {
    let value = python_json::parse(bytes)?;
    let Value::Object(entries) = value else {
        return Err("expected a JSON object".into());
    };
    let mut options = ModelOptions::default();
    for (key, value) in &entries {
        match key.as_str() {
            "num_heads" => options.num_heads = Some(count(key, value)?),
            "num_head_channels" => options.num_head_channels = Some(count(key, value)?),
            "num_heads_upsample" => options.num_heads_upsample = Some(count(key, value)?),
            "attention_order" => options.attention_order = Some(word(key, value)?),
            "image_size" => options.image_size = Some(count(key, value)?),
            "train_steps" => options.train_steps = Some(count(key, value)?),
            "noise_schedule" => options.noise_schedule = Some(word(key, value)?),
            "rescale_timesteps" => options.rescale_timesteps = Some(switch(key, value)?),
            "parameterization" => options.parameterization = Some(word(key, value)?),
            "variance" => options.variance = Some(word(key, value)?),
            _ => return Err(format!("unknown key \"{key}\", expected some of {KEYS}")),
        }
    }
    Ok(options)
}

fn count(key: &str, value: &Value) -> std::result::Result<usize, String> {
    value
        .as_u64()
        .and_then(|count| usize::try_from(count).ok())
        .filter(|&count| count > 0)
        .ok_or_else(|| format!("key \"{key}\" is {value}, expected a positive integer"))
}

fn switch(key: &str, value: &Value) -> std::result::Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| format!("key \"{key}\" is {value}, expected true or false"))
}

fn word<T>(key: &str, value: &Value) -> std::result::Result<T, String>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    value
        .as_str()
        .ok_or_else(|| format!("key \"{key}\" is {value}, expected a string"))?
        .parse()
        .map_err(|error| format!("key \"{key}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_files::FileError;

    #[test]
    fn every_key_is_read() {
        let options = parse(
            br#"{"num_heads": 4, "num_heads_upsample": 2, "attention_order": "new", "image_size": 32,
                "train_steps": 4000, "noise_schedule": "cosine", "rescale_timesteps": true,
                "parameterization": "epsilon", "variance": "learned"}"#,
        )
        .unwrap();
        assert_eq!(options.num_heads, Some(4));
        assert_eq!(options.image_size, Some(32));
        assert_eq!(options.noise_schedule.as_deref(), Some("cosine"));
        assert_eq!(options.rescale_timesteps, Some(true));
        assert_eq!(
            parse(br#"{"num_head_channels": 64}"#)
                .unwrap()
                .num_head_channels,
            Some(64)
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, words) in [
            ("[]", "expected a JSON object"),
            ("{", "not JSON"),
            (r#"{"num_head": 4}"#, "unknown key \"num_head\""),
            (r#"{"num_heads": 0}"#, "expected a positive integer"),
            (r#"{"num_heads": "4"}"#, "expected a positive integer"),
            (r#"{"rescale_timesteps": 1}"#, "expected true or false"),
            (r#"{"attention_order": "old"}"#, "expected legacy or new"),
            (r#"{"variance": "big"}"#, "key \"variance\""),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_named_file_wins_over_model_json() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("net.pt");
        assert_eq!(find(&checkpoint, None).unwrap(), None);
        std::fs::write(folder.path().join("model.json"), r#"{"num_heads": 1}"#).unwrap();
        assert_eq!(find(&checkpoint, None).unwrap().unwrap().num_heads, Some(1));
        std::fs::write(folder.path().join("net.model.json"), r#"{"num_heads": 2}"#).unwrap();
        assert_eq!(find(&checkpoint, None).unwrap().unwrap().num_heads, Some(2));
        let other = folder.path().join("other.json");
        assert!(matches!(
            find(&checkpoint, Some(&other)),
            Err(Error::File(FileError::Read { .. }))
        ));
        std::fs::write(&other, r#"{"num_heads": 3}"#).unwrap();
        assert_eq!(
            find(&checkpoint, Some(&other)).unwrap().unwrap().num_heads,
            Some(3)
        );
    }
}
