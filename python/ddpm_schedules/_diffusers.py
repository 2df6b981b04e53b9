"""diffusers: the process behind a scheduler, schedules as lists for pipelines, and a scheduler that takes a schedule's own steps.

torch and diffusers are imported only where one of their objects is at hand. What the schedulers do with a list was read from, and is tested with, diffusers
0.42.1; `kwargs_for` moreover tries every list on a copy of the scheduler before it hands it over.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
import textwrap

import numpy as np

# Whose states are x = alpha x0 + sigma eps of the chain, and whose are divided by alpha.
_CHAIN = (
    "DDPMScheduler DDPMParallelScheduler DDIMScheduler DDIMParallelScheduler PNDMScheduler DPMSolverMultistepScheduler DPMSolverSinglestepScheduler"
    " UniPCMultistepScheduler DEISMultistepScheduler SASolverScheduler CogVideoXDDIMScheduler CogVideoXDPMScheduler"
).split()
_DIVIDED = (
    "EulerDiscreteScheduler EulerAncestralDiscreteScheduler HeunDiscreteScheduler KDPM2DiscreteScheduler KDPM2AncestralDiscreteScheduler"
    " LMSDiscreteScheduler DPMSolverSDEScheduler"
).split()
_FLOW = ["FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"]
_EDM = ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"]
FAMILIES = {
    **dict.fromkeys(_CHAIN, "chain"),
    **dict.fromkeys(_DIVIDED, "divided"),
    **dict.fromkeys(_FLOW, "flow"),
    **dict.fromkeys(_EDM, "edm"),
}

# The arguments of a pipeline that these can be given a list by, the better one first. The others follow none, or visit others than it says.
_LISTS = {
    "FlowMatchEulerDiscreteScheduler": ("sigmas", "timesteps"),
    "EulerDiscreteScheduler": ("timesteps", "sigmas"),
    "DDPMScheduler": ("timesteps",),
    "DDPMParallelScheduler": ("timesteps",),
    "DPMSolverMultistepScheduler": ("timesteps",),
    # Not with the steps of any plan: only where same_steps=False.
    "HeunDiscreteScheduler": ("timesteps",),
    "UniPCMultistepScheduler": ("sigmas",),
}
OF_OTHER_STEPS = ("HeunDiscreteScheduler", "UniPCMultistepScheduler")

PREDICTIONS = {"epsilon": "epsilon", "sample": "x0", "v_prediction": "v", "flow_prediction": "velocity"}
# (algorithm_type, solver_order) of DPMSolverMultistepScheduler.
_DPM_STEPS = {
    ("dpmsolver++", 1): "ddim",
    ("dpmsolver++", 2): "dpm++2m",
    ("dpmsolver++", 3): "dpm++3m",
    ("sde-dpmsolver++", 1): "ancestral",
}
_VARIANCES = {"fixed-small": "fixed_small", "fixed-large": "fixed_large", "learned": "learned_range"}
# Between a list and what is executed, in sigma (relative above 1): schedulers keep float32, UniPC puts 1 - 1e-6 for 1.
_NEAR = 1.1e-6


def _known(scheduler, names):
    """The first class of the scheduler that is one of these names."""
    return next((cls.__name__ for cls in type(scheduler).__mro__ if cls.__name__ in names), None)


def _planned(scheduler):
    """Whether it is a PlannedScheduler."""
    return _known(scheduler, ["PlannedScheduler"]) is not None


def family_of(scheduler):
    """chain, divided, flow or edm; refuses what is none of them."""
    name, config = type(scheduler).__name__, getattr(scheduler, "config", None)
    known = _known(scheduler, FAMILIES)
    if known is None or config is None:
        raise ValueError(
            f"scheduler: found {name}, whose process is not known; expected one of {', '.join(FAMILIES)}, or a subclass"
        )
    if config.get("timestep_type", "discrete") != "discrete":
        raise ValueError(f"scheduler: found {name} with timestep_type={config['timestep_type']!r}; expected 'discrete'")
    if config.get("invert_sigmas"):
        raise ValueError(
            f"scheduler: found {name} with invert_sigmas=True, whose time runs the other way; expected False"
        )
    if known in _FLOW and (config.get("sigma_max") or 0) > 1:
        raise ValueError(
            f"scheduler: found {name} with sigma_max={config['sigma_max']}, by which its pipeline counts EDM's sigmas and not a flow's; expected none"
        )
    return "flow" if config.get("use_flow_sigmas") else FAMILIES[known]


def prediction_of(scheduler):
    """What the network behind a scheduler puts out, in our words."""
    if _known(scheduler, _FLOW):
        return "velocity"
    told = scheduler.config.get("prediction_type", "epsilon")
    if _known(scheduler, _EDM):
        if told != "epsilon":
            raise ValueError(
                f"scheduler: found {type(scheduler).__name__} with prediction_type={told!r}; expected 'epsilon'"
            )
        return "edm"
    if told not in PREDICTIONS:
        raise ValueError(f"scheduler: found prediction_type={told!r}; expected one of {', '.join(PREDICTIONS)}")
    return PREDICTIONS[told]


def process_of(scheduler):
    """`(Process, prediction)` of a scheduler of diffusers.

    The process is the one that the network was trained on, at the nodes of the scheduler's clock: `num_train_timesteps` timesteps with the
    scheduler's own `alphas_cumprod`, even s of a flow, told as the scheduler tells them (`num_train_timesteps` s), or sigma_min to sigma_max of EDM. A shift belongs to a list of timesteps, not to the process,
    and is left out. Prediction is epsilon, x0, v, velocity or edm. Raises ValueError for schedulers that it does not know.
    """
    if _planned(scheduler):
        return scheduler.plan.process, scheduler.prediction
    from ._core import Process

    family, config = family_of(scheduler), scheduler.config
    prediction = prediction_of(scheduler)
    if family == "flow":
        nodes = int(config["num_train_timesteps"])
        return Process.flow(nodes, time_scale=float(nodes)), prediction
    if family == "edm":
        return Process.edm(config["sigma_min"], config["sigma_max"], int(config["num_train_timesteps"])), prediction
    return Process.vp(numbers(scheduler.alphas_cumprod)), prediction


def numbers(values):
    """A float64 array of a tensor, an array or a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def levels_of(plan):
    """alpha and sigma of the plan's K nodes in the order of sampling, float64."""
    nodes = np.asarray(plan.nodes)[::-1]
    return numbers(plan.process.alphas)[nodes], numbers(plan.process.sigmas)[nodes]


def chain_levels(scheduler, times):
    """sigma / alpha of a scheduler's chain at timesteps that count from 0, whole or not."""
    table = numbers(scheduler.alphas_cumprod)
    with np.errstate(divide="ignore"):
        return np.interp(times, np.arange(len(table)), np.sqrt((1 - table) / table))


def estimate(prediction, x, output, alpha, sigma, sigma_data=None):
    """x0 of a network's output at states x = alpha x0 + sigma eps; tensors or arrays of one shape, numbers or what spreads over them."""
    if prediction == "x0":
        return output
    if prediction == "epsilon":
        return (x - sigma * output) / alpha
    if prediction == "v":
        return (alpha * x - sigma * output) / (alpha**2 + sigma**2)
    if prediction == "velocity":
        return (x - sigma * output) / (alpha + sigma)
    if prediction == "edm":
        both = sigma**2 + sigma_data**2
        return (sigma_data**2 / both) * x + sigma * sigma_data / both**0.5 * output
    raise ValueError(f"prediction: found {prediction!r}; expected epsilon, x0, v, velocity or edm")


def check_process(plan, scheduler):
    """Refuses a plan that was chosen for another process or network."""
    family, (alpha, sigma) = family_of(scheduler), levels_of(plan)
    name, kind = type(scheduler).__name__, plan.process.kind
    if family == "flow":
        wrong, expected = np.abs(alpha + sigma - 1), "a flow, alpha + sigma = 1"
    elif family == "edm":
        wrong, expected = np.abs(alpha - 1), "EDM's process, alpha = 1"
    else:
        times = np.asarray(plan.timesteps, dtype=np.float64)
        expected = f"alphas_cumprod of {name} at its timesteps 0..{len(scheduler.alphas_cumprod) - 1}"
        theirs = 1 / np.sqrt(1 + chain_levels(scheduler, times) ** 2)
        # float32 has three digits of sigma at the first timestep.
        wrong = np.maximum(np.abs(alpha - theirs), np.abs(sigma - np.sqrt(1 - theirs**2)))
        wrong = np.where((times < 0) | (times > len(scheduler.alphas_cumprod) - 1), np.inf, wrong)
    if not np.all(wrong < 1e-3):
        raise ValueError(
            f"plan: found a schedule of another process ({kind} of {plan.process.train_steps} nodes) than {name} has; expected {expected}: choose it for "
            "process_of(pipe.scheduler)"
        )
    found, own = plan.prediction, prediction_of(scheduler)
    if found is not None and found != own:
        raise ValueError(
            f"plan: found a schedule of a network that predicts {found}; {name} expects {own}: choose it for this pipeline, ds.trace(pipe)"
        )


def scheduler_of(pipe):
    """The scheduler of a pipeline."""
    scheduler = getattr(pipe, "scheduler", None)
    if scheduler is None or not hasattr(scheduler, "step"):
        raise TypeError(f"pipe: found {type(pipe).__name__} without a scheduler; expected a pipeline of diffusers")
    return scheduler


def reaching(call):
    """Which of `timesteps` and `sigmas` a pipeline's `__call__`, as ast, hands on to its scheduler as it was given them.

    An argument alone says little: some pipelines ignore it, some hand over a list of their own beside it, which schedulers refuse or prefer.
    """
    parameters = {a.arg for a in [*call.args.args, *call.args.kwonlyargs]}
    # Lines where a name becomes something of the pipeline's own.
    own = {"timesteps": [], "sigmas": []}
    for node in ast.walk(call):
        if not isinstance(node, ast.Assign):
            continue
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id in own and not is_none:
                # `None if timesteps is not None else ..` leaves a list that was given alone.
                test = node.value.test if isinstance(node.value, ast.IfExp) else None
                own[target.id].append((node.lineno, ast.unparse(test) if test else ""))
    found = set()
    for node in ast.walk(call):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name == "retrieve_timesteps":
            handed = dict(zip(["", "", "", "timesteps", "sigmas"], node.args))
        elif name.endswith("scheduler.set_timesteps"):
            handed = {}
        else:
            continue
        handed.update((k.arg, k.value) for k in node.keywords)
        for name, other in (("timesteps", "sigmas"), ("sigmas", "timesteps")):
            if name not in parameters or not (isinstance(handed.get(name), ast.Name) and handed[name].id == name):
                continue
            beside = isinstance(handed.get(other), ast.Name) and any(
                line < node.lineno and name not in test for line, test in own[other]
            )
            if not beside:
                found.add(name)
    return found


def reads_sigmas(source):
    """Whether a pipeline's `__call__` computes with the scheduler's sigmas itself."""
    return "scheduler.sigmas[" in source


def _lists_of(pipe):
    """What `reaching` says of a pipeline's class, and the source that it was read from."""
    call = inspect.unwrap(type(pipe).__call__)
    try:
        source = textwrap.dedent(inspect.getsource(call))
        return reaching(ast.parse(source).body[0]), source
    except (OSError, SyntaxError):
        return {"timesteps", "sigmas"} & set(inspect.signature(call).parameters), ""


def argument_for(scheduler, lists):
    """The argument by which a scheduler of this class name is given a list, of those that its pipeline hands on; None if there is none."""
    return next((name for name in _LISTS.get(scheduler, ()) if name in lists), None)


def _other_steps(plan, scheduler):
    """Why a scheduler, given the plan's list, would not take the plan's steps; None if it does."""
    name, get = _known(scheduler, _LISTS), scheduler.config.get
    wanted = plan.sampler
    clips = False
    if name in OF_OTHER_STEPS:
        return "its own steps are those of no plan"
    if name == "DPMSolverMultistepScheduler":
        own = (get("algorithm_type"), get("solver_order"))
        taken = _DPM_STEPS.get(own, "{} of order {}".format(*own))
        if get("solver_order") > 1 and get("solver_type") != "midpoint":
            return f"it has solver_type={get('solver_type')!r} for 'midpoint'"
        if taken == "dpm++3m" and plan.steps < 15 and not get("lower_order_final"):
            return "it has lower_order_final=False, and below 15 steps the plan's last but one is of second order"
        if taken == "ancestral" and plan.variance not in (None, "fixed-small"):
            return f"its noise is that of the fixed-small variance, the plan's {plan.variance}"
    elif name in ("DDPMScheduler", "DDPMParallelScheduler"):
        taken, clips = "ancestral", bool(get("clip_sample")) and get("clip_sample_range", 1.0) == 1.0
        variance = _VARIANCES.get(plan.variance, plan.variance)
        if wanted == taken and variance not in (None, get("variance_type")):
            return f"it has variance_type={get('variance_type')!r}, the plan the variance {plan.variance}"
        if get("variance_type") != "fixed_small" and plan.nodes[0] != 1:
            return "it adds noise in the step onto the data unless that starts at timestep 0"
    else:
        taken = "ddim"
        if get("stochastic_sampling"):
            return "it has stochastic_sampling=True"
        if get("interpolation_type", "linear") != "linear":
            return f"it has interpolation_type={get('interpolation_type')!r}"
    if taken != wanted:
        return f"it takes the steps of {taken}, the plan was chosen for {wanted}"
    if get("final_sigmas_type", "zero") != "zero":
        return f"it has final_sigmas_type={get('final_sigmas_type')!r}"
    if get("thresholding") or (get("clip_sample") and not clips) or clips != plan.clip:
        return "it clips the estimate otherwise than the plan" if plan.clip else "it clips the estimate"
    return None


def _follows_none(scheduler):
    """What makes a scheduler follow no list, in words; None if it follows one."""
    known, config = _known(scheduler, _LISTS), scheduler.config
    if known is None:
        return ""
    for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"):
        if config.get(key):
            return f" with {key}=True"
    flow = bool(config.get("use_flow_sigmas"))
    if {"UniPCMultistepScheduler": not flow, "DPMSolverMultistepScheduler": flow}.get(known):
        return f" with use_flow_sigmas={flow}"
    return None


def _list_for(plan, scheduler, mu, lists, source):
    """The argument of the pipeline, what to give it and the sigmas (s of a flow) that are to be executed, the 0 at the end included; None without an
    argument. `lists` and `source` are those of the pipeline.
    """
    known, config = _known(scheduler, _LISTS), scheduler.config
    argument = argument_for(known, lists)
    if family_of(scheduler) != "flow":
        times = np.asarray(plan.timesteps, dtype=np.float64)
        wanted = np.append(chain_levels(scheduler, times), 0.0)
        if not np.array_equal(times, np.round(times)):
            # Whole timesteps alone are kept as they are; sigmas lead to others.
            argument = "sigmas" if known == "EulerDiscreteScheduler" and "sigmas" in lists else None
        return argument and (argument, times.astype(np.int64) if argument == "timesteps" else wanted, wanted)
    s = levels_of(plan)[1]
    wanted = np.append(s, 0.0)
    terminal = config.get("shift_terminal")
    if terminal and abs(s[-1] - terminal) > _NEAR:
        raise ValueError(
            f"pipe: {type(scheduler).__name__} stretches a list to end at {terminal}, the plan ends at {s[-1]:.6g}: use "
            "plan.install(pipe)"
        )
    if config.get("use_dynamic_shifting"):
        shift = math.exp(mu) if config.get("time_shift_type", "exponential") == "exponential" else mu
    else:
        shift = getattr(scheduler, "shift", config.get("flow_shift", 1.0))
    if argument == "timesteps":
        # Timesteps stay as they are, while sigmas made of them are shifted.
        shifts = shift != 1 or config.get("use_dynamic_shifting")
        return None if shifts else (argument, s * config["num_train_timesteps"], wanted)
    if config.get("use_flow_sigmas") and "use_flow_sigmas" in source:
        # These pipelines drop a list then.
        return None
    return argument and (argument, s / (shift - (shift - 1) * s), wanted)


def _executed(scheduler, lists, mu):
    """sigma (s of a flow) of the steps that a copy of the scheduler is set to by these lists, without repeated ones."""
    trial = copy.deepcopy(scheduler)
    more = {"mu": mu} if scheduler.config.get("use_dynamic_shifting") else {}
    trial.set_timesteps(**lists, device="cpu", **more)
    if not hasattr(trial, "sigmas"):
        return np.append(chain_levels(scheduler, numbers(trial.timesteps)), 0.0)
    found = numbers(trial.sigmas)
    return found[np.append(True, np.diff(found) != 0)]


def kwargs_for(plan, pipe, *, mu=None, same_steps=True):
    """The arguments that make a pipeline of diffusers follow a plan: `pipe(prompt, **kwargs_for(plan, pipe))`.

    `timesteps=` (whole, noisiest first) or `sigmas=` (noisiest first; s of a flow, with the shift undone that the scheduler applies again), whichever the
    pipeline hands on and its scheduler executes to 1e-6 in sigma; this is tried on a copy of the scheduler. After `install(plan, pipe)`
    it is the number of steps alone.

    `mu`: that of a scheduler with dynamic shifting, where the pipeline computes it from the size of the image and takes no `mu` itself.
    `same_steps=False` also hands the list to a scheduler that visits its levels but goes from one to the next otherwise than the plan was chosen for
    (UniPC on a flow, Heun, another order).

    Raises ValueError where a list cannot carry the plan (coefficients, kernels), where the scheduler would visit other levels or take other steps,
    and where the pipeline hands no list on: `install` is the way then.
    """
    scheduler = scheduler_of(pipe)
    parameters = inspect.signature(inspect.unwrap(type(pipe).__call__)).parameters
    if _planned(scheduler):
        installed, keys = scheduler.plan, ("steps", "sampler", "coefficients", "variance", "mean")
        if any(getattr(installed, key) != getattr(plan, key) for key in keys) or np.any(installed.nodes != plan.nodes):
            raise ValueError("pipe: found another plan installed; expected this one: plan.install(pipe)")
        return {"num_inference_steps": int(plan.steps)} if "num_inference_steps" in parameters else {}
    name, instead = type(scheduler).__name__, "use plan.install(pipe)"
    if plan.carried_only_by_install:
        raise ValueError(
            f"plan: a list of timesteps cannot carry its {', '.join(plan.carried_only_by_install)}: {instead}"
        )
    check_process(plan, scheduler)
    reason = _follows_none(scheduler)
    if reason is not None:
        raise ValueError(
            f"pipe: found {name}{reason}, which follows no list: {instead}, or take one of {', '.join(_LISTS)} without such options"
        )
    reason = _other_steps(plan, scheduler) if same_steps else None
    if reason:
        raise ValueError(f"pipe: {name} would visit the plan's timesteps but not take its steps: {reason}; {instead}")
    shifted = {}
    if scheduler.config.get("use_dynamic_shifting"):
        exponential = scheduler.config.get("time_shift_type", "exponential") == "exponential"
        if "mu" in parameters:
            # This mu shifts nothing.
            mu = (0.0 if exponential else 1.0) if mu is None else mu
            shifted = {"mu": mu}
        if mu is None:
            raise ValueError(
                f"mu: found none, and {name} shifts a list by mu, which the pipeline computes from the size of the image: give mu=, "
                f"or {instead}"
            )
    found = _list_for(plan, scheduler, mu, *_lists_of(pipe))
    if found is None:
        raise ValueError(
            f"pipe: {type(pipe).__name__} hands no list to its {name} that would become the plan's: {instead}"
        )
    argument, given, wanted = found
    # UniPC computes with what it is given.
    given = given if _known(scheduler, ["UniPCMultistepScheduler"]) else given.tolist()
    executed = _executed(scheduler, {argument: copy.copy(given)}, mu)
    if len(executed) != len(wanted) or np.any(np.abs(executed - wanted) > _NEAR * np.maximum(1, wanted)):
        raise ValueError(
            f"pipe: {name} would visit sigma = {executed.round(6).tolist()} for {wanted.round(6).tolist()}: {instead}"
        )
    return {argument: given, **shifted}


def install(plan, pipe):
    """Replaces `pipe.scheduler` by a `PlannedScheduler`, which carries everything of a plan, also in pipelines that take no list.

    The pipeline then takes the plan's K steps whatever `num_inference_steps`, `timesteps` or `sigmas` it is given (give
    `**kwargs_for(plan, pipe)` for a progress bar of K). Undo it by `pipe.scheduler = pipe.scheduler.replaced`, which is wanted before
    `pipe.save_pretrained` too. Installing another plan replaces the first.

    Raises ValueError if the plan was chosen for another process or another prediction than those of the pipeline's scheduler.
    """
    scheduler = scheduler_of(pipe)
    if _planned(scheduler):
        scheduler = scheduler.replaced
    check_process(plan, scheduler)
    if family_of(scheduler) == "divided" and reads_sigmas(_lists_of(pipe)[1]):
        raise ValueError(
            f"pipe: {type(pipe).__name__} divides states by its scheduler's sigmas itself, and those of a plan are not divided; "
            "expected a pipeline that leaves that to scheduler.scale_model_input"
        )
    from ._planned import PlannedScheduler

    pipe.scheduler = PlannedScheduler(plan, scheduler)
