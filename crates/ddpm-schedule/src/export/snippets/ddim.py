

class ListedDDIMScheduler(Follows, DDIMScheduler):
    """DDIMScheduler that follows a list; it would go from t to t - T // n."""

    fixed = dict(eta=ETA, use_clipped_model_output=True)

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        listed = self.keep(timesteps)
        self.timesteps = torch.tensor(listed, device=device)
        self.num_inference_steps = len(listed)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, eta=None, **ignored):
        # Pipelines pass eta=0 on, asked or not.
        if eta and eta != self.fixed["eta"]:
            raise ValueError(f"eta: found {eta}; these steps are of ddim_scheduler(timesteps, eta={self.fixed['eta']})")
        below = dict(zip(self.config.listed, [*self.config.listed[1:], -1]))
        # T // (T / gap) is the gap, as long as nothing is rounded.
        gap = int(timestep) - below[int(timestep)]
        self.num_inference_steps = Fraction(self.config.num_train_timesteps, gap)
        try:
            return super().step(model_output, timestep, sample, generator, return_dict)
        finally:
            self.num_inference_steps = len(below)


def ddim_scheduler(timesteps, eta=ETA, clip_sample=CLIP, **config):
    # eta=1 takes the ancestral steps with fixed-small variances, eta=0 those of DDIM.
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: found {eta}; expected a number within 0..1")
    scheduler = follow(ListedDDIMScheduler, timesteps, clip_sample=clip_sample, **config)
    scheduler.fixed = {**scheduler.fixed, "eta": eta}
    return scheduler
