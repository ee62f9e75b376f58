#!/usr/bin/python3
"""Makes pictures that show no digit, and digits that nobody's hand drew, framed as MNIST is.

    bench/data/unfamiliar.py FOLDER [letters|scripts|shapes|fashion|strokes]...

letters  A to Z less those that look like digits (O I L S Z B Q G), from the Latin fonts that are installed
scripts  Arabic, Armenian, Bengali, Devanagari, Ethiopic, Georgian, Hebrew, Khmer, Tamil, Thai: Debian's fonts-noto-core
shapes   hearts, stars, arrows, faces, boxes, crosses, blots, scribbles, two digits side by side, noise, inverted digits
fashion  Debian's dataset-fashion-mnist
strokes  digits written with a round pen along wavering lines; these should look familiar

Each is a folder in MNIST's form. What is in its train part is for choosing a method, what is in its test part (t10k) for
the figures: fonts, scripts and kinds of shapes of the one are not in the other. Everything follows from fixed seeds and
the packages' versions. Needs Debian's python3-numpy and python3-pil, and data/mnist for shapes (the test part is enough).
"""
import gzip
import math
import os
import shutil
import sys

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sets  # noqa: E402

LIKE_DIGITS = "OILSZBQG"
NOTO = "/usr/share/fonts/truetype/noto/NotoSans%s-Regular.ttf"
SCRIPTS = {  # first code point, how many; every other script is for the figures
    "Armenian": (0x0531, 38), "Arabic": (0x0628, 19), "Bengali": (0x0995, 20), "Devanagari": (0x0915, 37),
    "Georgian": (0x10D0, 33), "Ethiopic": (0x1200, 80), "Hebrew": (0x05D0, 27), "Khmer": (0x1780, 33),
    "Tamil": (0x0B95, 20), "Thai": (0x0E01, 46)}


def frame(picture):
    """White ink on black, any size -> 28 x 28 as MNIST: the ink's longer side 20, its centre of mass in the middle."""
    pixels = np.asarray(picture, dtype=np.float64)
    rows, columns = np.flatnonzero(pixels.max(1) > 40), np.flatnonzero(pixels.max(0) > 40)
    if not len(rows):
        return np.zeros((28, 28), np.uint8)
    cut = Image.fromarray(pixels[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].astype(np.uint8))
    scale = 20 / max(cut.size)
    size = [max(1, round(side * scale)) for side in cut.size]
    small = np.asarray(cut.resize(size, Image.BOX), dtype=np.float64)
    total = small.sum() or 1
    y, x = (small.sum(1) @ np.arange(size[1]) / total, small.sum(0) @ np.arange(size[0]) / total)
    top, left = min(max(round(14 - y - .5), 0), 28 - size[1]), min(max(round(14 - x - .5), 0), 28 - size[0])
    out = np.zeros((28, 28), np.uint8)
    out[top:top + size[1], left:left + size[0]] = small
    return out


def glyph(font, text):
    picture = Image.new("L", (240, 240))
    ImageDraw.Draw(picture).text((120, 120), text, fill=255, font=font, anchor="mm")
    return frame(picture)


def letters(_):
    fonts = sets.latin_fonts()
    order = np.random.RandomState(sets.SEED).permutation(len(fonts))
    kept = [c for c in sets.LETTERS if c not in LIKE_DIGITS]
    return [[glyph(ImageFont.truetype(fonts[i], 100), c) for i in part for c in kept]
            for part in (order[:len(order) // 2], order[len(order) // 2:])]


def scripts(_):
    parts = [[], []]
    for number, name in enumerate(sorted(SCRIPTS)):
        first, count = SCRIPTS[name]
        for weight in ("Regular", "Bold", "Light", "Black", "Thin"):
            path = (NOTO % name).replace("Regular", weight)
            if os.path.exists(path):
                font = ImageFont.truetype(path, 100)
                blank = bytes(font.getmask("\uffff"))
                parts[number % 2] += [glyph(font, chr(c)) for c in range(first, first + count)
                                      if bytes(font.getmask(chr(c))) not in (b"", blank)]
    return parts


def pen(strokes, width, size=200):
    """strokes: lists of points in the unit square."""
    picture = Image.new("L", (size, size))
    draw = ImageDraw.Draw(picture)
    for stroke in strokes:
        points = [(20 + (size - 40) * x, 20 + (size - 40) * y) for x, y in stroke]
        draw.line(points, fill=255, width=int(width), joint="curve")
        for x, y in points:
            draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    return picture


def circle(cx, cy, rx, ry, first=0, last=360):
    return [(cx + rx * math.cos(math.radians(a)), cy + ry * math.sin(math.radians(a)))
            for a in np.linspace(first, last, 40)]


def polygon(n, star=1.0, turn=0.0):
    return [(.5 + .48 * (star if k % 2 else 1) * math.sin(turn + math.pi * k / n),
             .5 - .48 * (star if k % 2 else 1) * math.cos(turn + math.pi * k / n)) for k in range(2 * n + 1)]


def heart():
    return [(.5 + .03 * 16 * math.sin(a) ** 3, .45 - .03 * (13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a)
                                                            - math.cos(4 * a))) for a in np.linspace(0, 2 * math.pi, 60)]


def bend(rng, strokes):
    """Another hand: a little turned, leaning, stretched, and wavering."""
    turn, lean, wide = rng.normal(0, .1), rng.normal(0, .12), math.exp(rng.normal(0, .12))
    phase = rng.uniform(0, 6.28, 2)
    out = []
    for stroke in strokes:
        p = np.array(stroke, dtype=float) - .5
        p[:, 0] = p[:, 0] * wide - lean * p[:, 1]
        p = p @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        wave = np.arange(len(p)) * 6 / len(p)
        p += .015 * np.stack([np.sin(wave + phase[0]), np.cos(wave + phase[1])], 1)
        out.append((p * .8 + .5).tolist())
    return out


# Drawn kinds; those of even place are for choosing, those of odd place for the figures.
DRAWN = [
    ("heart", lambda r: [heart()]),
    ("star", lambda r: [polygon(5, .4)]),
    ("house", lambda r: [[(.1, .95), (.1, .45), (.5, .05), (.9, .45), (.9, .95), (.1, .95)]]),
    ("face", lambda r: [circle(.5, .5, .48, .48), circle(.33, .38, .03, .05), circle(.67, .38, .03, .05),
                        circle(.5, .55, .25, .2, 20, 160)]),
    ("arrow", lambda r: [[(.05, .5), (.95, .5)], [(.65, .2), (.95, .5), (.65, .8)]]),
    ("square", lambda r: [[(.05, .05), (.95, .05), (.95, .95), (.05, .95), (.05, .05)]]),
    ("triangle", lambda r: [polygon(3, .5)]),
    ("plus", lambda r: [[(.5, .05), (.5, .95)], [(.05, .5), (.95, .5)]]),
    ("hash", lambda r: [[(.3, .05), (.3, .95)], [(.7, .05), (.7, .95)], [(.05, .3), (.95, .3)], [(.05, .7), (.95, .7)]]),
    ("cross", lambda r: [[(.05, .05), (.95, .95)], [(.05, .95), (.95, .05)]]),
    ("spiral", lambda r: [[(.5 + a / 40 * math.cos(a), .5 + a / 40 * math.sin(a)) for a in np.linspace(0, 19, 90)]]),
    ("wave", lambda r: [[(x, .5 + .2 * math.sin(18 * x)) for x in np.linspace(0, 1, 60)]]),
    ("scribble", lambda r: [np.clip(.5 + np.cumsum(r.normal(0, .16, (25, 2)), 0) * .5, 0, 1).tolist()]),
    ("tangle", lambda r: [r.uniform(0, 1, (12, 2)).tolist()]),
    ("note", lambda r: [circle(.3, .85, .14, .1), [(.44, .85), (.44, .05), (.75, .2), (.7, .45)]]),
    ("cat", lambda r: [circle(.5, .6, .4, .35), [(.15, .45), (.15, .05), (.4, .27)], [(.6, .27), (.85, .05), (.85, .45)]]),
]


def blot(rng):
    y, x = np.mgrid[:28, :28]
    return (255 * (((x - 14) / rng.uniform(3, 10)) ** 2 + ((y - 14) / rng.uniform(3, 10)) ** 2 < 1)).astype(np.uint8)


def noise(rng):
    return rng.randint(0, 256, (28, 28)).astype(np.uint8)


def specks(rng):
    return (255 * (rng.uniform(0, 1, (28, 28)) < rng.uniform(.05, .4))).astype(np.uint8)


def pair(rng, digits):
    a, b = (digits[rng.randint(len(digits))] for _ in range(2))
    cut = [d[:, np.flatnonzero(d.max(0))[0]:np.flatnonzero(d.max(0))[-1] + 1] for d in (a, b)]
    gap = np.zeros((28, rng.randint(1, 5)), np.uint8)
    return frame(np.hstack([cut[0], gap, cut[1]]))


def some_digits():
    with gzip.open(os.path.join(sets.TOP, "data/mnist/t10k-images-idx3-ubyte.gz")) as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)


def shapes(rng, each=100):
    digits, parts = some_digits(), [[], []]
    for place, (_, strokes) in enumerate(DRAWN):
        parts[place % 2] += [frame(pen(bend(rng, strokes(rng)), rng.uniform(8, 22))) for _ in range(each)]
    halves = digits[:5000], digits[5000:]
    for part, half in zip(parts, halves):
        part += [pair(rng, half) for _ in range(2 * each)]
        part += [255 - half[rng.randint(len(half))] for _ in range(2 * each)]
    parts[0] += [noise(rng) for _ in range(each)]
    parts[1] += [specks(rng) for _ in range(each)] + [blot(rng) for _ in range(each)]
    return parts


EIGHT = [(.5 + .3 * math.sin(2 * u), .5 - .45 * math.cos(u)) for u in np.linspace(0, 2 * math.pi, 41)]
WRITTEN = [  # two ways to write each digit: the first for choosing, the second for the figures
    [[circle(.5, .5, .32, .45, -90, 270)], [circle(.5, .5, .26, .46, -60, 312)]],
    [[[(.58, .05), (.53, .5), (.45, .95)]], [[(.4, .2), (.55, .05), (.55, .5), (.54, .95)]]],
    [[circle(.5, .3, .28, .25, 190, 400) + [(.46, .7), (.2, .93), (.52, .92), (.85, .94)]],
     [circle(.48, .27, .26, .22, 200, 405) + [(.5, .62), (.24, .9), (.3, .78), (.55, .86), (.84, .9)]]],
    [[circle(.45, .28, .27, .23, 200, 445) + circle(.45, .73, .31, .24, -85, 155)],
     [[(.2, .08), (.75, .07), (.45, .4)] + circle(.45, .69, .3, .27, -80, 150)]],
    [[[(.27, .05), (.22, .3), (.2, .54), (.5, .55), (.85, .53)], [(.7, .1), (.68, .5), (.66, .97)]],
     [[(.62, .04), (.15, .62), (.9, .6)], [(.62, .04), (.62, .5), (.6, .97)]]],
    [[[(.78, .06), (.52, .07), (.3, .08), (.27, .44)] + circle(.45, .69, .31, .26, -120, 150)],
     [[(.32, .1), (.28, .44)] + circle(.45, .69, .31, .26, -115, 155), [(.32, .09), (.55, .07), (.84, .06)]]],
    [[circle(.76, .66, .51, .62, -100, -172) + circle(.5, .72, .25, .23, 180, -160)],
     [[(.62, .03), (.44, .24), (.31, .48), (.26, .72)] + circle(.49, .75, .24, .2, 185, -150)]],
    [[[(.16, .09), (.5, .08), (.82, .08), (.62, .5), (.44, .96)]],
     [[(.15, .12), (.5, .09), (.82, .1), (.62, .5), (.47, .95)], [(.36, .52), (.6, .51), (.82, .5)]]],
    [[EIGHT], [circle(.5, .27, .21, .22, 90, 450), circle(.5, .73, .26, .24, -90, 270)]],
    [[circle(.48, .3, .25, .25, -20, -375) + [(.72, .45), (.7, .7), (.67, .97)]],
     [circle(.47, .3, .25, .24, -25, -370) + [(.73, .45), (.7, .68), (.58, .86), (.4, .95)]]],
]


def strokes(rng, each=100):
    return [[frame(pen(bend(rng, way[part]), rng.uniform(10, 24))) for way in WRITTEN for _ in range(each)]
            for part in (0, 1)]


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for name in sys.argv[2:] or ["letters", "scripts", "shapes", "fashion", "strokes"]:
        folder = os.path.join(sys.argv[1], name)
        shutil.rmtree(folder, ignore_errors=True)
        if name == "fashion":
            sets.fashion(folder)
            continue
        made = {"letters": letters, "scripts": scripts, "shapes": shapes, "strokes": strokes}[name](
            np.random.RandomState(sets.SEED))
        for part, images in zip(("train", "t10k"), made):
            labels = np.arange(len(images)) * 10 // len(images) if name == "strokes" else np.zeros(len(images))
            sets.write_idx(folder, part, np.array(images), labels, "0123456789" if name == "strokes" else None)
            print(f"{name} {part}: {len(images)}")


main()
