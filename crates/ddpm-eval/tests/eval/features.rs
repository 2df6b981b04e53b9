//! The CIFAR ResNet-56 on CIFAR-10: accuracy and Frechet distance as PyTorch and NumPy compute them.

use ddpm_data::{Split, open};
use ddpm_eval::distance::{FeatureStatistics, FrechetReference};
use ddpm_eval::{Silent, extract_features};
use ddpm_model::{Checkpoint, FeatureNetwork, NetworkKind};
use serde_json::Value;

use crate::support::{golden, needed};

mod needs_features {
    use super::*;

    #[test]
    #[ignore = "needs DDPM_DATA and DDPM_FEATURES (cifar-resnet56.safetensors)"]
    #[expect(clippy::print_stdout, reason = "a test says what it measured")]
    fn resnet56_on_cifar10() {
        let [data, weights] = ["DDPM_DATA", "DDPM_FEATURES"].map(needed);
        let text = std::fs::read_to_string(golden("features/cifar10.json")).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let network = FeatureNetwork::load(&Checkpoint::open(&weights).unwrap()).unwrap();
        assert_eq!(network.kind(), NetworkKind::CifarResNet { layers: 56 });
        let of = |split: Split| {
            let set = open(&data, split, None).unwrap();
            let all: Vec<usize> = (0..set.len()).collect();
            let features = extract_features(&network, &set, &all, 64, &Silent).unwrap();
            (set, features)
        };
        let (test, features) = of(Split::Test);
        let scores = network.logits(&features).unwrap().unwrap();
        let best = |row: ndarray::ArrayView1<'_, f32>| {
            (0..row.len())
                .max_by(|&i, &j| row[i].total_cmp(&row[j]))
                .unwrap()
        };
        let right = scores.outer_iter().zip(test.labels().unwrap().unwrap());
        let right = right.filter(|(row, label)| best(*row) == **label).count();
        println!("resnet56: {right} of {} test images right", test.len());
        // 93.39%; rounding may move an image that lies between two classes.
        assert!((9338..=9340).contains(&right), "{right}");
        assert!(right.abs_diff(expected["test_correct"].as_u64().unwrap() as usize) <= 1);

        let (_, train) = of(Split::Train);
        let [train, test] =
            [&train, &features].map(|x| FeatureStatistics::from_features(x.view()).unwrap());
        let found = FrechetReference::new(&train)
            .unwrap()
            .distance(&test)
            .unwrap();
        let numpy = expected["frechet"].as_f64().unwrap();
        println!("FD(resnet56) of CIFAR-10 train and test: {found}, in NumPy {numpy}");
        assert!((found - numpy).abs() < 1e-4 * numpy, "{found} {numpy}");
    }
}
