"""Steps of diffusers' schedulers on other processes than the DDPM chain, along uneven lists: golden values for ddpm-core.

    pip install torch diffusers; python tests/golden/tools/processes.py > tests/golden/processes.json

Every case: the list of sigmas, and at every node the state that the network was shown (its own scale), what it was told, what it put out (made up) and
the state after the step (diffusers computes some of them in single precision).
"""

import json

import diffusers
import torch

SIGMAS = {
    "flow": [1.0, 0.93, 0.71, 0.4, 0.18, 0.05],
    "edm": [80.0, 22.0, 6.5, 1.7, 0.4, 0.05],
}
SIZE = 6


def scheduler_of(name):
    if name == "flow, euler":
        return diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0), "velocity"
    if name == "flow, dpm-solver++":
        return (
            diffusers.DPMSolverMultistepScheduler(
                use_flow_sigmas=True, prediction_type="flow_prediction", algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero"
            ),
            "velocity",
        )
    if name == "edm, euler":
        return diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5), "edm"
    return diffusers.EDMDPMSolverMultistepScheduler(sigma_data=0.5, solver_order=2, final_sigmas_type="zero"), "edm"


cases = []
generator = torch.Generator().manual_seed(3)
for name in ["flow, euler", "flow, dpm-solver++", "edm, euler", "edm, dpm-solver++"]:
    process = name.split(",")[0]
    scheduler, output = scheduler_of(name)
    sigmas = SIGMAS[process]
    scheduler.set_timesteps(len(sigmas))
    scheduler.sigmas = torch.tensor(sigmas + [0.0], dtype=torch.float64)
    told = [1000 * s for s in sigmas] if process == "flow" else [0.25 * float(torch.log(torch.tensor(s, dtype=torch.float64))) for s in sigmas]
    scheduler.timesteps = torch.tensor(told, dtype=torch.float64)
    # What the schedulers count by themselves.
    scheduler._step_index, scheduler.num_inference_steps = 0, len(sigmas)
    scheduler.is_scale_input_called = True
    x = (sigmas[0] if process == "edm" else 1.0) * torch.randn(SIZE, generator=generator, dtype=torch.float64)
    steps = []
    for i, time in enumerate(told):
        shown = scheduler.precondition_inputs(x, sigmas[i]) if process == "edm" else x
        out = torch.randn(SIZE, generator=generator, dtype=torch.float64)
        before, x = x, scheduler.step(out, scheduler.timesteps[i], x).prev_sample
        assert x.dtype == torch.float64 and int(scheduler.step_index) == i + 1, (name, x.dtype)
        steps.append({"time": time, "shown": shown.tolist(), "state": before.tolist(), "output": out.tolist(), "next": x.tolist()})
    cases.append({"name": name, "output": output, "sigmas": sigmas, "steps": steps})
print(json.dumps({"versions": {"torch": torch.__version__, "diffusers": diffusers.__version__}, "sigma_data": 0.5, "cases": cases}))
