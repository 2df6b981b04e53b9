

class ListedFlowScheduler(FlowMatchEulerDiscreteScheduler):
    """Keeps to its list, which nothing shifts, whatever number of steps or list a pipeline names: pipelines name their own."""

    def set_timesteps(self, num_inference_steps=None, device=None, sigmas=None, mu=None, timesteps=None):
        super().set_timesteps(sigmas=list(self.config.listed), device=device)


def flow_scheduler(sigmas, **config):
    # config: that of the scheduler that it takes the place of, without what would move the list.
    if isinstance(sigmas, dict):
        raise ValueError(f"sigmas: found those of K = {', '.join(map(str, sigmas))}; expected one list: sigmas[K]")
    moves = ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "dynamic_shifting")
    still = dict(shift=1.0, shift_terminal=None, **{f"use_{name}": False for name in moves})
    scheduler = ListedFlowScheduler(**{**config, **still})
    # In the configuration: whoever makes another scheduler of it is warned that this one leaves "listed" out.
    scheduler.register_to_config(listed=[float(s) for s in sigmas])
    scheduler.set_timesteps()
    return scheduler


def unshifted(sigmas, shift):
    # For a scheduler with a shift (or dynamic shifting: shift = exp(mu)), which shifts every list: what becomes this one.
    return [s / (shift - (shift - 1) * s) for s in sigmas]
