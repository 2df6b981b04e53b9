//! The report: what lies in a folder of results, as one HTML page that needs nothing else.
//!
//! `found` knows files by their contents, one file per section turns them into HTML, `page` puts the sections together. Every text
//! that comes from a file goes through `escape`. The same folder gives the same bytes: there is no date in a page.

mod distances;
mod errors;
mod found;
mod image;
mod likelihood;
mod lists;
mod measured;
mod page;
mod pair;
mod parts;
mod provenance;
mod samples;
mod schedules;

pub(crate) use found::Found;
pub(crate) use page::Page;
