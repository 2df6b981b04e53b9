

class Follows:
    """A scheduler that keeps to its list, whatever number of steps a pipeline asks for; timesteps=[...] gives it another.

    step() takes what the network returns and cuts off the variances that it learns, where this scheduler has no place for them.
    """

    fixed = {}  # arguments of step() that belong to the steps, whatever a pipeline passes on

    def keep(self, timesteps):
        if timesteps is not None:
            listed, last = [float(t) for t in timesteps], self.config.num_train_timesteps - 1
            falls = all(t > s for t, s in zip(listed, [*listed[1:], -1]))
            if not (listed and falls and listed[0] <= last and all(t == int(t) for t in listed)):
                raise ValueError(
                    f"timesteps: found {listed}; expected whole numbers within {last}..0, each less than the one before"
                )
            # In the configuration: whoever makes another scheduler of it is warned that this one leaves "listed" out.
            self.register_to_config(listed=[int(t) for t in listed])
        return list(self.config.listed)

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        super().set_timesteps(timesteps=self.keep(timesteps), device=device)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **ignored):
        learned = self.config.get("variance_type") in ("learned", "learned_range")
        if learned and model_output.shape[1] != 2 * sample.shape[1]:
            raise ValueError(
                f"expected learned variances after the means, {2 * sample.shape[1]} channels, found {model_output.shape[1]}"
            )
        if not learned:
            model_output = model_output[:, : sample.shape[1]]
        return super().step(
            model_output, timestep, sample, generator=generator, return_dict=return_dict, **self.fixed
        )


def in_double(scheduler):
    # float32 has few digits of 1 - alpha_bar where alpha_bar is near 1 or 0. Products with x keep the type of x.
    scheduler.alphas_cumprod = (1 - scheduler.betas.double()).cumprod(0)
    return scheduler


def follow(kind, timesteps, **config):
    if timesteps is None or isinstance(timesteps, dict):
        found = "None" if timesteps is None else f"those of K = {', '.join(map(str, timesteps))}"
        raise ValueError(f"timesteps: found {found}; expected one list: timesteps[K]")
    scheduler = in_double(kind(**{**NOISE, **config}))
    scheduler.set_timesteps(timesteps=timesteps)
    return scheduler
