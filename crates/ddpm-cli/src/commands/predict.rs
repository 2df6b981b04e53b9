//! `ddpm predict`: the raw output of the network, to verify a port.

use ddpm_files::{FileError, TensorFile};
use ddpm_model::UNet;
use ddpm_schedule::results;
use ndarray::{Array4, s};
use safetensors::tensor::{Dtype, TensorView};

use crate::args::Predict;
use crate::error::{Error, Located, Result};
use crate::input::{open_network, write_unless_in_the_way};
use crate::output::{self, Voice};

/// Images per network call where `--batch` is not given.
const BATCH: usize = 8;

/// Runs the command.
pub(crate) fn run(args: &Predict, voice: Voice) -> Result<()> {
    let unet = open_network(&args.checkpoint)?;
    let request = Request::read(args, &unet)?;
    voice.note(format_args!(
        "{} images through the network",
        request.x.shape()[0]
    ));
    let batch = args.checkpoint.batch.map_or(BATCH, |n| n as usize);
    let output = request.evaluate(&unet, batch).map_err(|e| match e {
        ddpm_model::Error::Input(_) => Error::file(&args.input, e),
        e => Error::checkpoint(&args.checkpoint.checkpoint, e),
    })?;
    if let Some(image) = output
        .outer_iter()
        .position(|image| image.iter().any(|x| !x.is_finite()))
    {
        return Err(Error::file(
            &args.checkpoint.checkpoint,
            format!(
                "the network's output for image {image} of {} is not finite",
                args.input.display()
            ),
        ));
    }
    let bytes = encode(&output)?;
    write_unless_in_the_way(&args.output, &bytes, args.existing.force)?;
    let rms =
        (output.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / output.len() as f64).sqrt();
    if args.json {
        output::print_json(&results::Predict {
            output: args.output.display().to_string(),
            shape: output.shape().to_vec(),
            rms,
        })
    } else {
        output::print_text(&format!(
            "{}: output {:?}, root mean square {rms:.6}\n",
            args.output.display(),
            output.shape()
        ))
    }
}

/// What the network is fed.
struct Request {
    x: Array4<f32>,
    timesteps: Vec<f32>,
    y: Option<Vec<usize>>,
}

impl Request {
    fn read(args: &Predict, unet: &UNet) -> Result<Self> {
        let file = TensorFile::open(&args.input)?;
        let images = "images [B,C,H,W] of f32";
        let info = file.info("x", images)?;
        let &[b, c, h, w] = info.shape.as_slice() else {
            return Err(file.other_shape("x", images, info).into());
        };
        let finite = |name: &str, values: &[f32]| match values.iter().find(|x| !x.is_finite()) {
            None => Ok(()),
            Some(x) => Err(FileError::field(
                file.path(),
                name,
                "finite numbers",
                x.to_string(),
            )),
        };
        let values = file.floats("x", images)?;
        finite("x", &values)?;
        if values.is_empty() {
            return Err(file.other_shape("x", images, info).into());
        }
        let x = Array4::from_shape_vec((b, c, h, w), values).or_internal()?;
        let one_per_image = |name: &str, expected: &str| -> Result<()> {
            let info = file.info(name, expected)?;
            if info.shape == [b] {
                Ok(())
            } else {
                Err(file.other_shape(name, expected, info).into())
            }
        };
        let expected = format!("[{b}], one number per image, as the network is fed");
        one_per_image("timesteps", &expected)?;
        let timesteps = file.floats("timesteps", &expected)?;
        finite("timesteps", &timesteps)?;
        let y = match unet.config().architecture.num_classes {
            None => None,
            Some(classes) => {
                let expected = format!("[{b}], one class below {classes} per image");
                one_per_image("y", &expected)?;
                let y = file.integers("y")?;
                if let Some(label) = y.iter().find(|&&label| label >= classes) {
                    let found = label.to_string();
                    return Err(FileError::field(file.path(), "y", expected, found).into());
                }
                Some(y)
            }
        };
        Ok(Self { x, timesteps, y })
    }

    fn evaluate(&self, unet: &UNet, batch: usize) -> ddpm_model::Result<Array4<f32>> {
        let (b, _, h, w) = self.x.dim();
        let channels = unet.config().architecture.out_channels;
        let mut values = Vec::new();
        let room = [channels, h, w]
            .iter()
            .try_fold(b, |all, &n| all.checked_mul(n));
        let room = room.filter(|&all| values.try_reserve_exact(all).is_ok());
        let Some(room) = room else {
            let problem =
                format!("the output, {b} images of {channels}x{h}x{w}, does not fit into memory");
            return Err(ddpm_model::Error::Input(problem));
        };
        values.resize(room, 0f32);
        let mut output = Array4::from_shape_vec((b, channels, h, w), values)
            .map_err(|error| ddpm_model::Error::Input(error.to_string()))?;
        for from in (0..b).step_by(batch) {
            let to = (from + batch).min(b);
            let part = unet.forward(
                self.x.slice(s![from..to, .., .., ..]),
                &self.timesteps[from..to],
                self.y.as_ref().map(|y| &y[from..to]),
            )?;
            output.slice_mut(s![from..to, .., .., ..]).assign(&part);
        }
        Ok(output)
    }
}

fn encode(output: &Array4<f32>) -> Result<Vec<u8>> {
    let data: Vec<u8> = output.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, output.shape().to_vec(), &data).or_internal()?;
    safetensors::serialize([("output", view)], None).or_internal()
}
