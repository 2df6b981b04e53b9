//! From arguments and files to validated values. Every mistake is named here with its file or
//! flag, its field and what was expected.

mod budgets;
mod chain;
mod chain_choice;
mod checkpoint;
mod features;
mod files;
mod images;
mod lock;
mod matrix;
mod outputs;
mod partial;
mod squared_errors;
mod test_bed;

pub(crate) use budgets::{parse_budgets, parse_list, steps_or};
pub(crate) use chain::{gaussian_decoder, noise_schedule, parse_path, priced_sampler};
pub(crate) use chain_choice::{ChainChoice, PathFlags, measured, profile_of};
pub(crate) use checkpoint::{Network, model_options, open_checkpoint, open_network};
pub(crate) use features::{FILE as INCEPTION_FILE, Features, RAW, SHA256 as INCEPTION_SHA256};
pub(crate) use files::{
    about_schedules, check_writable, read_bytes, read_column, read_profile, read_profile_to_use,
    read_schedules, read_trajectories, read_trajectories_to_use, warn_of_few_images, with_ending,
    write_file,
};
pub(crate) use images::{
    RunImages, check_size, data_path, limit, split, warn_of_left_out, with_labels,
};
pub(crate) use lock::OutputLock;
pub(crate) use matrix::read_matrix;
pub(crate) use outputs::{
    in_the_way, refuse_inputs_as_outputs, refuse_to_replace, refuse_unless_schedules,
    write_unless_in_the_way,
};
pub(crate) use partial::{Partial, of_another_run};
pub(crate) use squared_errors::{is_array_file, read_squared_errors, warn_of_doubt};
pub(crate) use test_bed::open as open_test_bed;
