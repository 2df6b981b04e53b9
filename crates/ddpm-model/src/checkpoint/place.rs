//! Where in a file the weights are: training code wraps them in dictionaries and in modules.
//!
//! Averaged weights (EMA) win over raw ones, because they are what such a model is used with; what was chosen and what was set
//! aside is kept and shown. A caller may name another choice.

use std::fmt;

use super::read_error::{ReadError, ReadResult};
use super::tensor::StateDict;

/// Entries that hold averaged weights, and entries that hold weights; the first one present is taken.
pub(super) const AVERAGED: [&str; 8] = [
    "ema",
    "ema_state_dict",
    "ema_model",
    "model_ema",
    "ema_params",
    "params_ema",
    "ema_weights",
    "unet_ema",
];
pub(super) const RAW: [&str; 9] = [
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "net",
    "network",
    "unet",
    "params",
    "weights",
];

/// Names of modules that wrap a network, averaged and not.
const AVERAGED_MODULES: [&str; 3] = ["ema_model", "model_ema", "ema"];
const MODULES: [&str; 9] = [
    "module",
    "model",
    "online_model",
    "_orig_mod",
    "unet",
    "net",
    "network",
    "diffusion_model",
    "denoise_fn",
];

/// Counters that stand beside averaged weights.
const COUNTERS: [&str; 3] = ["initted", "step", "num_updates"];

/// Names that every network of a family has once: OpenAI's, diffusers'.
const SIGNATURES: [&str; 2] = ["time_embed.0.weight", "time_embedding.linear_1.weight"];

/// Tensors from which on what stands under a name of averages is weights, not counters.
const FEWEST_WEIGHTS: usize = 8;

/// Deepest nesting that is followed.
const DEEPEST: usize = 8;

/// Where in its file a state dict was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateDictPlace {
    /// Entries of the outer dictionaries, or the folder, that were entered.
    pub entries: Vec<String>,
    /// What stood before every name and was taken off, such as `module.`.
    pub prefix: String,
    /// Other weights of the file that were not taken.
    pub set_aside: Vec<String>,
}

impl StateDictPlace {
    /// Whether the file holds nothing but the state dict, under its own names.
    pub fn is_plain(&self) -> bool {
        self.entries.is_empty() && self.prefix.is_empty()
    }

    /// How `--state-dict` names a module in here.
    fn in_full(&self, module: &str) -> String {
        let mut names: Vec<&str> = self.entries.iter().map(String::as_str).collect();
        names.extend(self.prefix.strip_suffix('.'));
        names.push(module);
        names.retain(|name| !name.is_empty());
        names.join(".")
    }

    /// The entry and the module of weights that have others beside them.
    pub(crate) fn choice(&self) -> Option<String> {
        (!self.set_aside.is_empty()).then(|| {
            let module = self.prefix.strip_suffix('.').unwrap_or_default();
            let names: Vec<&str> = self
                .entries
                .iter()
                .map(String::as_str)
                .chain((!module.is_empty()).then_some(module))
                .collect();
            names.join(".")
        })
    }
}

impl fmt::Display for StateDictPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain() {
            return f.write_str("the whole file");
        }
        f.write_str(&self.entries.join("."))?;
        if !self.prefix.is_empty() {
            let gap = if self.entries.is_empty() { "" } else { ", " };
            write!(f, "{gap}names under {}", self.prefix)?;
        }
        if !self.set_aside.is_empty() {
            write!(f, " (set aside: {})", self.set_aside.join(", "))?;
        }
        Ok(())
    }
}

/// Whether a tensor of this name is one that every network has.
pub(super) fn names_a_network(key: &str) -> bool {
    network_around(key).is_some()
}

/// The module of the network that a tensor of such a name is in, empty where the names are the network's own.
fn network_around(key: &str) -> Option<&str> {
    let rest = SIGNATURES.iter().find_map(|name| key.strip_suffix(name))?;
    match rest.strip_suffix('.') {
        Some(module) => Some(module),
        None => rest.is_empty().then_some(rest),
    }
}

/// Whether weights of this name are averaged ones, as training code calls them: `ema_unet`, `state_dict_ema`, `modelEMA`, `swa_model`, `shadow_params`.
pub(super) fn is_averaged(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let is_word = |word: &str| {
        let word = word.to_ascii_lowercase();
        word.starts_with("ema") || ["averaged", "swa", "shadow"].contains(&word.as_str())
    };
    name.contains("EMA") || words.any(is_word)
}

/// The part that a caller asks for: names separated by dots, taken one by one.
pub(super) struct Asked<'a>(Vec<&'a str>);

impl<'a> Asked<'a> {
    pub(super) fn new(part: Option<&'a str>) -> Self {
        Self(part.map_or_else(Vec::new, |part| part.rsplit('.').collect()))
    }

    /// The next name.
    pub(super) fn next(&self) -> Option<&'a str> {
        self.0.last().copied()
    }

    pub(super) fn advance(&mut self) {
        self.0.pop();
    }

    /// Whether nothing is asked for any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest name of what is asked for that `is_there`, taken off: names may have dots of their own (`ema_0.999`).
    pub(super) fn take_longest(&mut self, is_there: impl Fn(&str) -> bool) -> Option<String> {
        for words in (1..=self.0.len()).rev() {
            let first = self.0.len() - words;
            let name: Vec<&str> = self.0[first..].iter().rev().copied().collect();
            let name = name.join(".");
            if is_there(&name) {
                self.0.truncate(first);
                return Some(name);
            }
        }
        None
    }

    /// The error that the next name is not there.
    pub(super) fn absent(&self, among: &[String]) -> ReadError {
        ReadError::NotACheckpoint(format!(
            "nothing under the name `{}` that --state-dict asks for (it has {})",
            self.next().unwrap_or_default(),
            shorten(among)
        ))
    }
}

/// The first names of many.
pub(super) fn shorten(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let mut text: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.len() > SHOWN {
        text.push("...".into());
    }
    text.join(", ")
}

/// Takes the modules around the network off the names.
///
/// A module that holds a whole network is taken wherever it stands, averaged ones before raw ones; what is no network is told by its modules' names.
///
/// # Errors
/// [`ReadError::NotACheckpoint`] if a module that was asked for is absent, if several have an equal right, or if averaged ones are there that cannot
/// be read.
pub(super) fn unwrap_modules(
    mut tensors: StateDict,
    mut asked: Asked<'_>,
    place: &mut StateDictPlace,
) -> ReadResult<StateDict> {
    for _ in 0..DEEPEST {
        let all = |name: &str| tensors.keys().all(|key| under(key, name));
        let any = |name: &str| tensors.keys().any(|key| under(key, name));
        let module = if let Some(name) = asked.next() {
            if !any(name) {
                let mut heads: Vec<String> =
                    tensors.keys().map(|key| head(key).to_owned()).collect();
                heads.dedup();
                return Err(asked.absent(&heads));
            }
            asked.advance();
            name.to_owned()
        } else if let Some(network) = network_of(&tensors, place)? {
            if network.is_empty() {
                return Ok(tensors);
            }
            network
        } else {
            let mut modules = AVERAGED_MODULES.iter().chain(&MODULES);
            let whole = modules.find(|name| all(name));
            match whole.or_else(|| AVERAGED_MODULES.iter().find(|name| any(name))) {
                Some(name) => {
                    check_neighbours(&tensors, name)?;
                    (*name).to_owned()
                }
                None => return Ok(tensors),
            }
        };
        let prefix = format!("{module}.");
        let (inside, outside): (StateDict, StateDict) = tensors
            .into_iter()
            .partition(|(key, _)| key.starts_with(&prefix));
        let mut heads: Vec<String> = outside
            .keys()
            .map(|key| format!("{}{}", place.prefix, up_to_parting(key, &module)))
            .collect();
        heads.dedup();
        place.set_aside.extend(heads);
        place.prefix.push_str(&prefix);
        tensors = inside
            .into_iter()
            .map(|(key, tensor)| (key[prefix.len()..].to_owned(), tensor))
            .collect();
    }
    Ok(tensors)
}

/// The module that holds a network: empty where the names are its own, `None` where there is no network by its names.
fn network_of(tensors: &StateDict, place: &StateDictPlace) -> ReadResult<Option<String>> {
    let mut found: Vec<&str> = tensors
        .keys()
        .filter_map(|key| network_around(key))
        .collect();
    found.sort_unstable();
    found.dedup();
    let (averaged, raw): (Vec<&str>, Vec<&str>) =
        found.into_iter().partition(|module| is_averaged(module));
    let several = |modules: &[&str]| {
        let names: Vec<String> = modules.iter().map(|name| place.in_full(name)).collect();
        ReadError::NotACheckpoint(format!(
            "a state dict of several networks ({}); name one with --state-dict",
            shorten(&names)
        ))
    };
    match (&averaged[..], &raw[..]) {
        ([], []) => Ok(None),
        ([only], _) => Ok(Some((*only).to_owned())),
        // Whatever has a network's own names is the network, and the others are parts of it.
        ([], ["", ..]) => no_averages_beside(tensors, "", place).map(Some),
        ([], [only]) => no_averages_beside(tensors, only, place).map(Some),
        ([], several_raw) => Err(several(several_raw)),
        (several_averaged, _) => {
            // A module of averages that keeps the raw weights too (`ema.ema_model`, `ema.online_model`).
            let innermost = |module: &&&str| module.rsplit('.').next().is_some_and(is_averaged);
            let mut found = several_averaged.iter().filter(innermost);
            match (found.next(), found.next()) {
                (Some(only), None) => Ok(Some((*only).to_owned())),
                _ => Err(several(several_averaged)),
            }
        }
    }
}

/// The module `network` again, unless averaged weights stand beside it under names that are not a network's: latent-diffusion writes them without dots.
fn no_averages_beside(
    tensors: &StateDict,
    network: &str,
    place: &StateDictPlace,
) -> ReadResult<String> {
    let averaged: Vec<&str> = tensors
        .keys()
        .map(|key| head(key))
        .filter(|head| is_averaged(head))
        .collect();
    match averaged.first() {
        Some(name) if averaged.len() >= FEWEST_WEIGHTS => {
            let advice = if network.is_empty() {
                "save the ones that you want alone".to_owned()
            } else {
                format!(
                    "take the raw ones with --state-dict {}, or save the others alone",
                    place.in_full(network)
                )
            };
            Err(ReadError::NotACheckpoint(format!(
                "averaged weights under `{name}.` whose names are not those of a network; {advice}"
            )))
        }
        _ => Ok(network.to_owned()),
    }
}

/// The outer parts of a name, down to the first in which it parts from a module's.
fn up_to_parting(key: &str, module: &str) -> String {
    let mut parts = Vec::new();
    let mut inner = module.split('.');
    for part in key.split('.') {
        parts.push(part);
        if inner.next() != Some(part) {
            break;
        }
    }
    parts.join(".")
}

/// Checks that only other copies of the network, and counters, stand beside the tensors of `module`.
fn check_neighbours(tensors: &StateDict, module: &str) -> ReadResult<()> {
    let known = |key: &str| {
        let head = head(key);
        head == module
            || COUNTERS.contains(&key)
            || (MODULES.contains(&head) || AVERAGED_MODULES.contains(&head)) && head != key
    };
    match tensors.keys().find(|key| !known(key)) {
        None => Ok(()),
        Some(key) => Err(ReadError::NotACheckpoint(format!(
            "a state dict in which `{key}` stands beside averaged weights under `{module}.`"
        ))),
    }
}

fn under(key: &str, module: &str) -> bool {
    key.strip_prefix(module)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The outermost part of a name.
fn head(key: &str) -> &str {
    key.split('.').next().unwrap_or(key)
}
