"""Small pictures as Pillow writes and reads them: `tests/golden/pictures`.

    python tests/golden/tools/pictures.py        (pillow, numpy)

NAME.png or NAME.jpg is the file, NAME.npy its pixels, uint8 [1, H, W, C]: those of convert("RGB") or convert("L"); of 16 bits the upper 8,
because Pillow clips them instead.
"""

from pathlib import Path

import numpy
from PIL import Image

FOLDER = Path(__file__).resolve().parent.parent / "pictures"
FOLDER.mkdir(exist_ok=True)

y, x = numpy.mgrid[0:24, 0:32]
waves = numpy.stack([numpy.sin(x / 5 + c) * numpy.cos(y / (4 + c)) for c in range(3)], -1)
colour = (127.5 + 90 * waves + 20 * ((x // 8 + y // 8) % 2)[..., None]).clip(0, 255).astype("u1")
grey = colour[..., 1]


def keep(name, image, mode, values=None, **options):
    file = FOLDER / name
    image.save(file, **options)
    pixels = numpy.asarray(Image.open(file).convert(mode)) if values is None else values
    numpy.save(file.with_suffix(".npy"), pixels.reshape(1, 24, 32, -1))


keep("full-colour.jpg", Image.fromarray(colour), "RGB", quality=90, subsampling=0)
keep("half-colour.jpg", Image.fromarray(colour), "RGB", quality=75, subsampling=2)
keep("progressive.jpg", Image.fromarray(colour), "RGB", quality=85, progressive=True)
keep("grey.jpg", Image.fromarray(grey), "L", quality=90)
keep("palette.png", Image.fromarray(colour).quantize(16), "RGB")
keep("one-bit.png", Image.fromarray(grey > 127), "L")
sixteen = grey.astype("u2") * 257 - (grey.astype("u2") % 200)
keep("sixteen-bits.png", Image.fromarray(sixteen), "L", (sixteen >> 8).astype("u1"))
