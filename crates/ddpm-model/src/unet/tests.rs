//! The architecture that is inferred from the weights of a network is that of the network.

use std::collections::BTreeMap;

use super::network::Network;
use super::packed::Packed;
use super::weights::Weights;
use crate::Error;
use crate::checkpoint::Tensor;
use crate::config::{ModelConfig, ModelOptions, OpenAi, Resampling, infer};
use crate::kernels::{Arithmetic, Isa};

/// Zeros for every tensor that the network asks for.
fn weights_of(config: &ModelConfig) -> BTreeMap<String, Tensor> {
    let mut tensors = BTreeMap::new();
    loop {
        let weights = Weights::new(&tensors);
        let engine = Packed::new(Isa::detect().unwrap(), Arithmetic::F32);
        match Network::load(engine, &weights, config) {
            Ok(_) => {
                weights.finish().unwrap();
                break;
            }
            Err(Error::MissingKey { key, expected }) => {
                let shape: Vec<usize> = serde_json::from_str(&expected).unwrap();
                tensors.insert(key, Tensor::zeros(&shape));
            }
            Err(error) => panic!("{error}"),
        }
    }
    tensors
}

#[test]
fn architectures_are_inferred_from_their_own_weights() {
    let plain = OpenAi {
        in_channels: 3,
        out_channels: 6,
        model_channels: 32,
        first_channels: 32,
        num_res_blocks: 1,
        levels: vec![(32, false), (64, true)],
        resampling: Resampling::Convolution,
        num_classes: None,
        use_scale_shift_norm: true,
    };
    // As guided-diffusion's 512x512 model: the first level is half as wide as `model_channels`.
    let halved = OpenAi {
        model_channels: 64,
        levels: vec![(32, false), (64, true), (96, false)],
        resampling: Resampling::Residual,
        num_classes: Some(7),
        ..plain.clone()
    };
    let cases = [
        plain.clone(),
        OpenAi {
            resampling: Resampling::Plain,
            use_scale_shift_norm: false,
            ..plain.clone()
        },
        OpenAi {
            resampling: Resampling::Residual,
            ..plain.clone()
        },
        OpenAi {
            levels: vec![(32, true)],
            out_channels: 3,
            ..plain
        },
        OpenAi {
            num_res_blocks: 2,
            use_scale_shift_norm: false,
            levels: vec![(32, true), (32, true), (32, true)],
            ..halved.clone()
        },
        halved,
    ];
    for case in cases {
        let options = ModelOptions {
            num_heads: Some(1),
            ..ModelOptions::default()
        };
        let config = ModelConfig::of(case.clone().into(), &options).unwrap();
        let inferred = infer(&weights_of(&config)).unwrap();
        assert_eq!(inferred, config.architecture, "{case:?}");
    }
}
