

Step = namedtuple("Step", "prev_sample pred_original_sample")


class CalibratedScheduler:
    """Takes the steps of a schedule from its frozen numbers, in double precision, whatever number of steps a pipeline asks for.

    The estimate of the image may be corrected per band of frequencies and clipped again; ancestral noise may have one variance per band;
    the coefficients of a deterministic step may be fitted, per band too, look back on nodes before and correct the state first.
    step() takes what the network returns, the variances that it learns included.
    """

    order, init_noise_sigma = 1, 1.0

    def __init__(self, steps, prediction_type=PREDICTION_TYPE):
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"prediction_type: found {prediction_type!r}; expected one of {PREDICTION_TYPES}, as your network was trained")
        held = {one["steps"]: one for one in KERNELS["schedules"]}
        if steps not in held:
            raise ValueError(f"expected steps to be one of {sorted(held)}, found {steps}")
        self.steps = held[steps]
        self.by_timestep = {one["t"]: one for one in KERNELS["by_timestep"]}
        self.timesteps = torch.tensor([t - 1 for t in self.steps["path"][:0:-1]])
        # No dictionary: DDIMPipeline(unet, scheduler), which would make a DDIMScheduler of one, fails.
        self.config = SimpleNamespace(num_train_timesteps=TRAIN_STEPS, prediction_type=prediction_type, clip_sample=CLIP)
        if KERNELS["bands"]:
            self.set_bands(**KERNELS["bands"])
        self.set_timesteps()

    def set_timesteps(self, num_inference_steps=None, device=None):
        """Begins anew. The number of steps is the schedule's."""
        self.timesteps = self.timesteps.to(device)
        self.num_inference_steps = len(self.timesteps)
        # What is remembered of the nodes before, the nearest first, the state that the last step began from, and that step.
        self.history, self.begun, self.taken = [], None, None

    def scale_model_input(self, sample, timestep=None):
        return sample

    def set_bands(self, shape, channel_basis, edges, separate_channels):
        channels, sides = (shape[0], shape[1:]) if len(shape) > 1 else (1, shape)
        colours = torch.tensor(channel_basis, dtype=torch.float64).reshape(channels, channels)
        self.axes = [colours, *map(cosines, sides)][-len(shape) :]
        axes = [torch.arange(side, dtype=torch.float64) * max(sides) / side for side in sides]
        radius = sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij")).sqrt()
        ring = torch.searchsorted(torch.tensor(edges, dtype=torch.float64), radius, right=True) - 1
        ring = torch.unique(ring, return_inverse=True)[1].expand(channels, *sides)
        own = torch.arange(channels).reshape(-1, *[1] * len(sides)) * (int(ring.max()) + 1)
        self.band = (ring + own if separate_channels else ring).reshape(shape)
        # The constant of a channel is a band of its own, and the one whose coefficients have a mean.
        lowest = self.band.reshape(channels, -1)[:, 0]
        self.constants = torch.unique(lowest[torch.bincount(self.band.flatten())[lowest] == 1])

    def transform(self, x, back=False):
        for axis, basis in enumerate(self.axes, start=1):
            basis = basis.to(x)
            x = torch.movedim(torch.tensordot(x, basis, dims=([axis], [0 if back else 1])), -1, axis)
        return x

    def by_band(self, values, like):
        return torch.tensor(values, dtype=torch.float64)[self.band].to(like)

    def estimate(self, output, x, k):
        """The estimate of the image at node k of the path."""
        signal, noise = self.steps["signal"][k], self.steps["noise"][k]
        if self.config.prediction_type == "epsilon":
            x0 = (x - noise * output) / signal
        else:
            x0 = output if self.config.prediction_type == "sample" else signal * x - noise * output
        x0 = x0.clamp(-1, 1) if CLIP else x0
        own = self.by_timestep.get(self.steps["path"][k], {})
        # The scale of a learned variance goes with the network's own mean.
        if "a" not in own or (ANCESTRAL and self.steps["kernels"][k - 1] == "learned-scaled"):
            return x0
        offset = [0.0] * len(own["a"])
        for band, value in zip(self.constants.tolist(), own["m"]):
            offset[band] = value
        a, b, m = (self.by_band(values, x) for values in (own["a"], own["b"], offset))
        error = self.transform((x - signal * x0) / noise)
        x0 = x0 + self.transform(a * self.transform(x0) + b * error + m, back=True)
        return x0.clamp(-1, 1) if CLIP else x0

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **ignored):
        """What diffusers' schedulers return, by name and as a tuple; what else pipelines pass on belongs to other schedulers."""
        bands = KERNELS["bands"]
        if bands and list(sample.shape[1:]) != list(bands["shape"]):
            raise ValueError(f"expected samples of shape {bands['shape']}, found {list(sample.shape[1:])}")
        if int(timestep) + 1 not in self.steps["path"][1:]:
            raise ValueError(f"expected timestep to be one of {self.timesteps.tolist()}, found {int(timestep)}")
        k = self.steps["path"].index(int(timestep) + 1)
        if k == len(self.timesteps):
            self.history, self.begun = [], None
        elif self.taken != k + 1:
            raise ValueError(f"expected the step before timestep {int(timestep)} to have been taken: steps go in the order of timesteps")
        # mps has no float64.
        precise = torch.float32 if sample.device.type == "mps" else torch.float64
        x, output = sample.to(precise), model_output.to(precise)
        output, learned = output[:, : x.shape[1]], output[:, x.shape[1] :]
        if output.shape != x.shape:
            raise ValueError(f"expected a prediction of shape {list(x.shape)} or twice its channels, found {list(model_output.shape)}")
        x0 = self.estimate(output, x, k)
        terms = [term if isinstance(term, list) else [term] for term in self.steps["coefficients"][k - 1]]
        while len(terms) > 2 and not any(terms[-1]):
            terms.pop()
        corrector = self.steps["correctors"][k - 1] if "correctors" in self.steps else None
        begun = x
        if corrector:
            begun = sum(weight * field for weight, field in zip(corrector, [self.begun, x0, *self.history]))
        fields = [begun, x0, *self.history]
        if len(terms[0]) == 1:
            found = sum(term[0] * field for term, field in zip(terms, fields))
        else:
            found = sum(self.by_band(term, x) * self.transform(field) for term, field in zip(terms, fields))
            found = self.transform(found, back=True)
        if ANCESTRAL and k > 1:
            white = white_noise(sample.shape, generator, sample.device, sample.dtype)
            found = found + self.colour(white.to(precise), k, learned)
        of_x, of_x0 = self.steps["remembered"][k - 1] if "remembered" in self.steps else (0.0, 1.0)
        self.begun, self.history, self.taken = begun, [of_x * x + of_x0 * x0, *self.history][:3], k
        return Step(found.to(sample.dtype), x0.to(sample.dtype))

    def colour(self, white, k, learned):
        """Noise of the step's variance."""
        kind, number = self.steps["kernels"][k - 1], self.steps["log_variance"][k - 1]
        log_beta, log_posterior = self.steps["log_beta"][k - 1], self.steps["log_posterior"][k - 1]
        if kind == "scalar":
            return math.exp(0.5 * number) * white
        if kind == "bands":
            powers = self.by_band(self.by_timestep[self.steps["path"][k]]["powers"], white)
            deviation = (math.exp(log_posterior) * (1 + self.steps["snr_gain"][k - 1] * powers)).sqrt()
            return self.transform(deviation * self.transform(white), back=True)
        if learned.shape != white.shape:
            raise ValueError(f"expected variances of shape {tuple(white.shape)} after the means, found {tuple(learned.shape)}")
        share = (learned + 1) / 2
        logs = share * log_beta + (1 - share) * log_posterior + (number or 0.0)
        return (0.5 * logs).exp() * white


def cosines(n):
    k, x = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)[None, :]
    basis = math.sqrt(2 / n) * torch.cos(math.pi * k * (x + 0.5) / n)
    basis[0] = math.sqrt(1 / n)
    return basis


def white_noise(shape, generator, device, dtype):
    """Drawn where the generator is, as pipelines do; a list has one generator per image."""
    if isinstance(generator, list):
        return torch.cat([white_noise((1, *shape[1:]), one, device, dtype) for one in generator])
    drawn = device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=drawn, dtype=dtype).to(device)
