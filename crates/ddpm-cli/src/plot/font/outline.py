"""Writes the outlines of the bundled font: python outline.py DejaVuSans.ttf > dejavu-sans.txt (needs fonttools).

A line per glyph: code point, advance, and the path as SVG has it with y upwards, in whole 1024ths of an em, which is half the
font's own precision. U+FFFD comes first and stands for every character that has no line: it is the font's own .notdef.
"""

import sys

from fontTools.pens.basePen import BasePen
from fontTools.ttLib import TTFont

CHARACTERS = [
    0xFFFD,
    *range(0x20, 0x7F),
    *range(0xA0, 0xBC),
    *range(0xBF, 0x100),
    *(ord(c) for c in "αβγδεηθλμπρστφχω"),
    *(ord(c) for c in "–—‘’“”…−→≈≤≥"),
    *(ord(c) for c in "⁰⁴⁵⁶⁷⁸⁹⁻"),
]


class Outline(BasePen):
    """Relative commands are shorter."""

    def __init__(self, glyphs):
        super().__init__(glyphs)
        self.path, self.at = "", (0, 0)

    def command(self, letter, *points):
        points = [(round(x / 2), round(y / 2)) for x, y in points]
        numbers = [c - a for point in points for c, a in zip(point, self.at)]
        if letter == "l" and 0 in numbers:
            # A horizontal or a vertical line.
            letter, numbers = ("v", numbers[1:]) if numbers[0] == 0 else ("h", numbers[:1])
        self.path += letter + "".join(f"{n}" if n < 0 else f" {n}" for n in numbers).lstrip()
        self.at = points[-1]

    def _moveTo(self, point):
        self.command("m", point)
        self.start = self.at

    def _lineTo(self, point):
        self.command("l", point)

    def _qCurveToOne(self, control, point):
        self.command("q", control, point)

    def _closePath(self):
        self.path += "z"
        self.at = self.start


font = TTFont(sys.argv[1])
assert font["head"].unitsPerEm == 2048
glyphs, names = font.getGlyphSet(), font.getBestCmap()
for code in dict.fromkeys(CHARACTERS):
    name = ".notdef" if code == 0xFFFD else names[code]
    pen = Outline(glyphs)
    glyphs[name].draw(pen)
    print(f"{code:04x} {glyphs[name].width / 2:g} {pen.path}".rstrip())
