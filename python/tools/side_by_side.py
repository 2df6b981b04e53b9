"""Samples of runs side by side: in rows, or in pairs for a comparison by eye with the sides shuffled. Needs NumPy alone.

    python python/tools/side_by_side.py rows OURS.npz THEIRS.npz [MORE.npz ..] --images 10 --out rows.png
    python python/tools/side_by_side.py pairs OURS.npz THEIRS.npz --seed 1 --out pairs    # pairs/page-*.png, pairs/key.json
    python python/tools/side_by_side.py count pairs/key.json L R L R ...                  # what was preferred, pair by pair

Archives are those of `ddpm sample ... --out F.npz`; image i of both starts from the same noise where the seed was the same. Look at the
pages, write down L or R for every pair, from left to right and from top to bottom, and open the key last. docs/samples.md has what was
compared so.
"""

import argparse
import json
import pathlib
import struct
import zlib

import numpy as np

GAP = 4


def png(pixels):
    """An RGB image, uint8 of shape [height, width, 3], as the bytes of a PNG file."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def images(path):
    found = np.load(path)["arr_0"]
    return found.repeat(3, -1) if found.shape[-1] == 1 else found


def enlarged(image, times):
    return image.repeat(times, 0).repeat(times, 1)


def page(pairs, columns, times):
    """Pairs side by side, from left to right and from top to bottom, white between them and a little between the sides."""
    cells = []
    for left, right in pairs:
        left, right = enlarged(left, times), enlarged(right, times)
        between = np.full((left.shape[0], GAP, 3), 255, np.uint8)
        cells.append(np.concatenate([left, between, right], 1))
    while len(cells) % columns:
        cells.append(np.full_like(cells[0], 255))
    frame = ((8 * GAP, 0), (8 * GAP, 0), (0, 0))
    cells = [np.pad(cell, frame, constant_values=255) for cell in cells]
    rows = [np.concatenate(cells[i : i + columns], 1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows)


def rows(options):
    count, times = options.images, options.times
    lines = []
    for path in options.files:
        found = images(path)[:count]
        if len(found) != count:
            raise SystemExit(f"{path}: expected {count} images or more, found {len(found)}")
        framed = [np.pad(enlarged(image, times), ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for image in found]
        lines.append(np.concatenate(framed, 1))
    options.out.write_bytes(png(np.concatenate(lines)))


def make(options):
    ours, theirs = images(options.ours)[: options.pairs], images(options.theirs)[: options.pairs]
    if len(ours) != options.pairs or len(theirs) != options.pairs:
        raise SystemExit(f"expected {options.pairs} images or more in both files, found {len(ours)} and {len(theirs)}")
    is_left = np.random.default_rng(options.seed).integers(0, 2, options.pairs).astype(bool)
    pairs = [(a, b) if left else (b, a) for a, b, left in zip(ours, theirs, is_left)]
    options.out.mkdir(parents=True)
    for number, start in enumerate(range(0, options.pairs, options.page), 1):
        pixels = page(pairs[start : start + options.page], options.columns, options.times)
        (options.out / f"page-{number}.png").write_bytes(png(pixels))
    key = {
        "first": str(options.ours),
        "second": str(options.theirs),
        "seed": options.seed,
        "side_of_first": "".join("L" if left else "R" for left in is_left),
    }
    (options.out / "key.json").write_text(json.dumps(key, indent=1) + "\n")


def count(options):
    key = json.loads(options.key.read_text())
    sides, chosen = key["side_of_first"], "".join(options.choices).upper()
    if len(chosen) != len(sides) or set(chosen) - set("LR"):
        raise SystemExit(f"expected {len(sides)} letters L or R, found {len(chosen)}: {chosen}")
    wins = [a == b for a, b in zip(chosen, sides)]
    print(f"{key['first']} preferred in {sum(wins)} of {len(wins)} pairs; not in", [i for i, won in enumerate(wins, 1) if not won])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    liner = commands.add_parser("rows")
    liner.set_defaults(run=rows)
    liner.add_argument("files", type=pathlib.Path, nargs="+")
    liner.add_argument("--images", type=int, default=10)
    liner.add_argument("--times", type=int, default=3, help="how much larger than it is an image is shown")
    liner.add_argument("--out", type=pathlib.Path, required=True)
    maker = commands.add_parser("pairs")
    maker.set_defaults(run=make)
    maker.add_argument("ours", type=pathlib.Path)
    maker.add_argument("theirs", type=pathlib.Path)
    maker.add_argument("--pairs", type=int, default=30)
    maker.add_argument("--seed", type=int, default=0)
    maker.add_argument("--page", type=int, default=10, help="pairs on a page")
    maker.add_argument("--columns", type=int, default=5)
    maker.add_argument("--times", type=int, default=4, help="how much larger than it is an image is shown")
    maker.add_argument("--out", type=pathlib.Path, required=True)
    counter = commands.add_parser("count")
    counter.set_defaults(run=count)
    counter.add_argument("key", type=pathlib.Path)
    counter.add_argument("choices", nargs="+")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
