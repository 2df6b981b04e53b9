//! The denoiser's options, its time and its input checks.

mod common;

use common::{entries, golden, io, safetensors_bytes, two_heads};
use ddpm_core::Denoiser;
use ddpm_model::{Backend, Checkpoint, Error, ModelOptions, Source, UNet, UNetDenoiser};
use ndarray::{Array4, ArrayD, s};

fn unet() -> UNet {
    let checkpoint = Checkpoint::open(&golden("unet-hybrid-16px.pt")).unwrap();
    UNet::load(&checkpoint, &two_heads()).unwrap()
}

fn process() -> ModelOptions {
    ModelOptions {
        train_steps: Some(4000),
        noise_schedule: Some("cosine".into()),
        rescale_timesteps: Some(true),
        ..ModelOptions::default()
    }
}

#[test]
fn timesteps_become_the_networks_time() {
    let denoiser = UNetDenoiser::new(unet(), &process()).unwrap();
    assert_eq!(denoiser.shape(), [3, 16, 16]);
    assert_eq!(denoiser.train_steps(), 4000);
    assert!(denoiser.learns_variance());
    assert_eq!(denoiser.network_time(1), 0.0);
    assert_eq!(denoiser.network_time(4000), 999.75);
    let io = io("hybrid-16px");
    let t = [1, 4000, 1234, 7];
    let t = &t[..io.x.dim().0];
    let prediction = denoiser.predict(io.x.view().into_dyn(), t, None).unwrap();
    let time: Vec<f32> = t.iter().map(|&t| (t - 1) as f32 * 0.25).collect();
    let output = unet().forward(io.x.view(), &time, None).unwrap();
    assert_eq!(
        prediction.mean,
        output.slice(s![.., ..3, .., ..]).into_dyn()
    );
    assert_eq!(
        prediction.variance.unwrap(),
        output.slice(s![.., 3.., .., ..]).into_dyn()
    );
}

#[test]
fn inputs_are_checked() {
    let denoiser = UNetDenoiser::new(unet(), &process()).unwrap();
    let x = ArrayD::zeros(vec![2, 3, 16, 16]);
    for (t, labels, words) in [
        (&[0, 1][..], None, "timestep 0"),
        (&[1, 4001], None, "timestep 4001"),
        (&[1], None, "1 timesteps for a batch of 2"),
        (&[1, 1], Some(&[0, 0][..]), "not class-conditional"),
    ] {
        let error = denoiser.predict(x.view(), t, labels).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let other = ArrayD::zeros(vec![2, 3, 32, 32]);
    assert!(denoiser.predict(other.view(), &[1, 1], None).is_err());
    assert!(
        unet()
            .forward(Array4::zeros((1, 3, 15, 16)).view(), &[0.0], None)
            .is_err()
    );
    let x = Array4::zeros((2, 3, 16, 16));
    assert!(unet().forward(x.view(), &[0.0, f32::NAN], None).is_err());
}

#[test]
fn what_is_missing_is_named_by_its_flag() {
    let checkpoint = Checkpoint::open(&golden("unet-hybrid-16px.pt")).unwrap();
    let Err(error) = UNet::load(&checkpoint, &ModelOptions::default()) else {
        panic!("the number of heads was invented");
    };
    assert!(error.to_string().contains("--num-heads"), "{error}");
    type Forget = fn(&mut ModelOptions);
    let cases: [(Forget, &str); 3] = [
        (|o| o.train_steps = None, "--train-steps"),
        (|o| o.noise_schedule = None, "--noise-schedule"),
        (|o| o.rescale_timesteps = None, "--rescale-timesteps"),
    ];
    for (forget, flag) in cases {
        let mut options = process();
        forget(&mut options);
        let Err(error) = UNetDenoiser::new(unet(), &options) else {
            panic!("{flag} was invented");
        };
        assert!(matches!(error, Error::MissingOptions(_)), "{error}");
        assert!(error.to_string().contains(flag), "{error}");
    }
    // All of them at once, those of the network before those of its process.
    let none = ModelOptions::default();
    let Err(error) = UNetDenoiser::open(&checkpoint, &none, Backend::default()) else {
        panic!("everything was invented");
    };
    let text = error.to_string();
    let flags = [
        "--num-heads N",
        "--train-steps T",
        "--noise-schedule NAME",
        "--rescale-timesteps",
    ];
    let places: Vec<_> = flags.iter().map(|flag| text.find(flag)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{text}"
    );
    // T = 1000 is left alone by rescaling.
    let options = ModelOptions {
        train_steps: Some(1000),
        rescale_timesteps: None,
        ..process()
    };
    assert!(UNetDenoiser::new(unet(), &options).is_ok());
}

#[test]
fn impossible_options_are_refused() {
    let checkpoint = Checkpoint::open(&golden("unet-hybrid-16px.pt")).unwrap();
    let heads = |num_heads, num_head_channels| ModelOptions {
        num_heads,
        num_head_channels,
        ..ModelOptions::default()
    };
    for (options, words) in [
        (heads(Some(3), None), "num_heads: 64 channels"),
        (heads(Some(0), None), "num_heads"),
        (heads(None, Some(0)), "num_head_channels"),
        (heads(Some(2), Some(32)), "together"),
        (
            ModelOptions {
                image_size: Some(15),
                ..two_heads()
            },
            "image_size",
        ),
        (
            ModelOptions {
                noise_schedule: Some("linaer".into()),
                ..two_heads()
            },
            "linaer",
        ),
        (
            ModelOptions {
                variance: Some("fixed-small".parse().unwrap()),
                ..two_heads()
            },
            "variance",
        ),
        (
            ModelOptions {
                train_steps: Some(0),
                ..two_heads()
            },
            "train_steps",
        ),
    ] {
        let Err(error) = UNet::load(&checkpoint, &options) else {
            panic!("{words}: loaded");
        };
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn flags_win_over_model_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    std::fs::write(&path, safetensors_bytes(&entries("unet-hybrid-16px.pt"))).unwrap();
    std::fs::write(
        folder.path().join("model.json"),
        r#"{"num_heads": 2, "train_steps": 4000, "noise_schedule": "cosine", "rescale_timesteps": true,
            "variance": "learned", "parameterization": "epsilon", "image_size": 16}"#,
    )
    .unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let options = ModelOptions {
        train_steps: Some(2000),
        ..ModelOptions::default()
    };
    let unet = UNet::load(&checkpoint, &options).unwrap();
    let described = unet.config().describe();
    assert_eq!(described["T"], 2000);
    assert_eq!(described["noise_schedule"], "cosine");
    assert_eq!(described["sources"]["T"], "flag");
    assert_eq!(described["sources"]["num_heads"], "model.json");
    assert_eq!(unet.config().image_size.source, Source::ModelFile);
    let denoiser = UNetDenoiser::new(unet, &ModelOptions::default()).unwrap();
    assert_eq!(denoiser.train_steps(), 2000);
    assert_eq!(denoiser.network_time(2), 0.5);

    std::fs::write(folder.path().join("model.json"), r#"{"heads": 2}"#).unwrap();
    let Err(error) = UNet::load(&checkpoint, &ModelOptions::default()) else {
        panic!("an unknown key was accepted");
    };
    assert!(
        error.to_string().contains("unknown key \"heads\""),
        "{error}"
    );
}
