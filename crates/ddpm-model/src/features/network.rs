//! The feature network that a checkpoint holds.

use std::collections::BTreeMap;

use ndarray::{Array2, Array4, ArrayView4, s};

use super::cifar_resnet::{self, CifarResNet};
use super::inception::{self, Inception};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::kernels::Isa;
use crate::unet::Weights;
use crate::{Error, Result, room};

/// Which network, as its weights tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkKind {
    /// The TensorFlow Inception-v3 of 2015-12-05 in pytorch-fid's port: a Frechet distance on it is the FID.
    Inception,
    /// The CIFAR ResNet of this many layers, with option-A shortcuts.
    CifarResNet {
        /// Convolutions and the dense layer, `6 n + 2`.
        layers: usize,
    },
}

impl NetworkKind {
    /// `inception-2015-12-05`, or `resnet56`.
    pub fn name(self) -> String {
        match self {
            Self::Inception => "inception-2015-12-05".to_owned(),
            Self::CifarResNet { layers } => format!("resnet{layers}"),
        }
    }

    /// Features of one image.
    pub fn dims(self) -> usize {
        match self {
            Self::Inception => inception::FEATURES,
            Self::CifarResNet { .. } => cifar_resnet::FEATURES,
        }
    }
}

/// Height and width of a digit of MNIST.
const DIGIT: usize = 28;

/// A network whose features distances between sets of images are measured on, in f32 on the processor.
///
/// An image's features are the same to the bit whatever shares its batch and however many threads run (on one instruction
/// set).
pub struct FeatureNetwork {
    kind: NetworkKind,
    sha256: String,
    layers: Layers,
}

enum Layers {
    Inception(Box<Inception>),
    CifarResNet(Box<CifarResNet>),
}

impl FeatureNetwork {
    /// Recognises the network by the names and shapes of its weights and builds it; every weight has to be used.
    ///
    /// # Errors
    /// [`Error::UnknownNetwork`] for other weights; [`Error::MissingKey`], [`Error::ExtraKeys`], [`Error::WrongShape`],
    /// [`Error::WrongType`], [`Error::NotFinite`] where they differ from the network's; [`Error::Isa`].
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        let kind = recognise(checkpoint.tensors()).map_err(|detail| Error::UnknownNetwork {
            path: checkpoint.path().to_owned(),
            detail,
        })?;
        let isa = Isa::detect()?;
        let weights = Weights::new(checkpoint.tensors());
        let layers = match kind {
            NetworkKind::Inception => Layers::Inception(Box::new(Inception::load(isa, &weights)?)),
            NetworkKind::CifarResNet { layers } => {
                let blocks = (layers - 2) / 6;
                Layers::CifarResNet(Box::new(CifarResNet::load(isa, &weights, blocks)?))
            }
        };
        weights.finish()?;
        Ok(Self {
            kind,
            sha256: checkpoint.sha256().to_owned(),
            layers,
        })
    }

    /// Which network it is.
    pub fn kind(&self) -> NetworkKind {
        self.kind
    }

    /// SHA-256 of the file of its weights.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// One row of [`NetworkKind::dims`] features for each of the images `[B, C, H, W]` in [-1, 1] (a byte `p` is
    /// `p / 127.5 - 1`). Grey images (C = 1) are seen as three equal channels; Inception resizes any H x W to 299 x 299, the
    /// CIFAR ResNet takes 32 x 32, and grey images of 28 x 28 in a black frame of 2 pixels (digits, for a network that was trained on them so).
    ///
    /// # Errors
    /// [`Error::Input`] for images of another shape.
    pub fn features(&self, images: ArrayView4<'_, f32>) -> Result<Array2<f32>> {
        let (batch, channels, height, width) = images.dim();
        if !matches!(channels, 1 | 3) || height * width == 0 {
            return Err(Error::Input(format!(
                "images of {channels}x{height}x{width}, expected one or three channels and at least one pixel"
            )));
        }
        let framed;
        let (images, height, width) = match self.layers {
            Layers::CifarResNet(_) if (channels, height, width) == (1, DIGIT, DIGIT) => {
                let side = cifar_resnet::SIDE;
                let edge = (side - DIGIT) / 2;
                let mut black = room::floats(batch * side * side)?;
                black.resize(batch * side * side, -1.0);
                let mut canvas = Array4::from_shape_vec((batch, 1, side, side), black)
                    .map_err(|error| Error::Input(error.to_string()))?;
                let middle = s![.., .., edge..edge + DIGIT, edge..edge + DIGIT];
                canvas.slice_mut(middle).assign(&images);
                framed = canvas;
                (framed.view(), side, side)
            }
            _ => (images, height, width),
        };
        let mut planes = room::floats(batch * 3 * height * width)?;
        for image in images.outer_iter() {
            for _ in 0..3 / channels {
                planes.extend(image.iter());
            }
        }
        let features = match &self.layers {
            Layers::Inception(network) => network.features(&planes, [height, width])?,
            Layers::CifarResNet(network) => {
                let side = cifar_resnet::SIDE;
                if [height, width] != [side; 2] {
                    return Err(Error::Input(format!(
                        "images of {height}x{width} pixels, expected {side}x{side}, which {} was trained on",
                        self.kind.name()
                    )));
                }
                network.features(planes)?
            }
        };
        Array2::from_shape_vec((batch, self.kind.dims()), features)
            .map_err(|error| Error::Input(error.to_string()))
    }

    /// Scores `[B, classes]` of the classes from features `[B, dims]`, to check a port by its accuracy; `None` where the
    /// network's classes are of no use here (Inception's).
    ///
    /// # Errors
    /// [`Error::Input`] for features of another length.
    pub fn logits(&self, features: &Array2<f32>) -> Result<Option<Array2<f32>>> {
        let Layers::CifarResNet(network) = &self.layers else {
            return Ok(None);
        };
        let scores = network.logits(features.iter().copied().collect())?;
        let classes = scores.len() / features.nrows().max(1);
        Array2::from_shape_vec((features.nrows(), classes), scores)
            .map(Some)
            .map_err(|error| Error::Input(error.to_string()))
    }
}

/// By keys that no other network has.
fn recognise(tensors: &BTreeMap<String, Tensor>) -> std::result::Result<NetworkKind, String> {
    let has = |key: &str| tensors.contains_key(key);
    if has("Mixed_5b.branch1x1.conv.weight") {
        let classes = tensors.get("fc.weight").and_then(|fc| fc.shape().first());
        return match classes {
            Some(1000) => Err(
                "an Inception-v3 of 1000 classes is torchvision's, whose features give other distances; expected \
                 the TensorFlow port pt_inception-2015-12-05-6726825d.pth, which has 1008"
                    .to_owned(),
            ),
            _ => Ok(NetworkKind::Inception),
        };
    }
    if has("layer1.0.conv1.weight") && has("linear.weight") {
        let blocks = (0..).take_while(|i| has(&format!("layer1.{i}.conv1.weight")));
        return Ok(NetworkKind::CifarResNet {
            layers: 6 * blocks.count() + 2,
        });
    }
    let first = tensors.keys().next().map_or("no weights", String::as_str);
    Err(format!(
        "its first key is {first}; expected pytorch-fid's Inception (pt_inception-2015-12-05-6726825d.pth) or a CIFAR \
         ResNet (conv1, bn1, layer1.0.conv1 .. linear)"
    ))
}
