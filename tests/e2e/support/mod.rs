//! What every end-to-end test needs.

mod command;
mod compare;
mod files;
mod small;

pub(crate) use command::{Ddpm, commands, stopped_by, stopped_with};
pub(crate) use compare::{assert_close, numbers};
pub(crate) use files::{
    golden, golden_json, little_endian, repository, safetensors, safetensors_with, scratch,
    write_npy,
};
pub(crate) use small::{T, images_of_shape, small, small_checkpoint, small_images, small_profile};
