//! Writes the weights of a checkpoint as safetensors, in 16 bits, and refuses where a weight would change.
//!
//! ```text
//! cargo run --release -p ddpm-model --example convert_checkpoint -- model.pt model.safetensors
//! ```

use std::path::Path;

use ddpm_model::{Checkpoint, Precision, save_safetensors};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        return Err("expected two arguments: the checkpoint to read and the file to write".into());
    };
    let checkpoint = Checkpoint::open(Path::new(from))?;
    let bytes = save_safetensors(&checkpoint, Precision::F16)?;
    let part = format!("{to}.part");
    std::fs::write(&part, bytes)?;
    std::fs::rename(part, to)?;
    Ok(())
}
