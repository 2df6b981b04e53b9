"""What `trace` records of a pipeline is what `follow` computes on the same network, starts and nodes."""

import numpy as np
import pytest

import ddpm_schedules as ds
from conftest import tiny_unet

torch = pytest.importorskip("torch", reason="needs torch and diffusers: cargo xtask check-python")
diffusers = pytest.importorskip("diffusers", reason="needs torch and diffusers: cargo xtask check-python")


class Loop:
    """The shortest pipeline: a network, a scheduler, and states to begin with."""

    def __init__(self, network, scheduler):
        self.network, self.scheduler = network, scheduler

    @torch.no_grad()
    def __call__(self, x, timesteps, num_inference_steps=None):
        self.scheduler.set_timesteps(timesteps=timesteps)
        for t in self.scheduler.timesteps:
            output = self.network(self.scheduler.scale_model_input(x, t), t.expand(len(x))).sample
            x = self.scheduler.step(output, t, x).prev_sample
        return x


@pytest.fixture
def network():
    torch.manual_seed(1)
    made = tiny_unet()
    return made.eval().double()


def test_a_trace_and_a_flow_have_the_same_gram_matrices_and_the_same_path(network):
    scheduler = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="zero")
    # float32 tables of the scheduler are not what is compared here.
    bar = (1 - scheduler.betas.double()).cumprod(0)
    for name, values in (("alphas_cumprod", bar), ("alpha_t", bar.sqrt()), ("sigma_t", (1 - bar).sqrt())):
        setattr(scheduler, name, values)
    process, prediction = ds.process_of(scheduler)
    model = ds.Denoiser(network, process, prediction, shape=(3, 8, 8), like="torch", dtype=torch.float64, batch=6)
    flow = ds.follow(model, count=6, nodes=40, steps=(), growth=False, clip=False, sampler="dpm++2m")
    starts = torch.from_numpy(flow.states[:, -1].reshape(6, 3, 8, 8)).double()
    timesteps = [int(t) - 1 for t in flow.nodes[::-1]]
    trace = ds.trace(Loop(network, scheduler), steps=40, x=starts, timesteps=timesteps)
    assert list(trace.nodes) == list(flow.nodes)
    for ours, theirs in ((flow.states, trace.states), (flow.estimates, trace.estimates)):
        both = [np.einsum("ind,imd->inm", a, b) for a, b in ((ours.astype(float), ours), (theirs.astype(float), theirs))]
        scale = np.sqrt(np.einsum("inn->in", both[0]))
        difference = np.abs(both[0] - both[1]) / (scale[:, :, None] * scale[:, None, :])
        assert difference.max() < 1e-5, difference.max()
    for sampler in ("euler", "dpm++2m"):
        paths = [ds.optimize(source, (4, 8), sampler=sampler) for source in (flow, trace)]
        for k in (4, 8):
            np.testing.assert_array_equal(paths[0][k].nodes, paths[1][k].nodes)
            assert paths[0][k].cost == pytest.approx(paths[1][k].cost, rel=1e-3)
