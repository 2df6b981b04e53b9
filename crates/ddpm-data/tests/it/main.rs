//! Tests of image sets and of images as files, through the public interface.

mod errors;
mod pickles;
mod round_trips;
mod streaming;
mod support;
