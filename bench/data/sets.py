#!/usr/bin/python3
"""Makes the data sets on which the trainer's defaults are measured, each as a folder that jointflow-train reads.

    bench/data/sets.py FOLDER [mnist|fashion|digits|letters|emoji|letters-16|emoji-16|
                             mnist-10k|fashion-10k|fashion-16|fashion-tune]...

mnist    60,000 + 10,000 digits, 28 x 28: as data/fetch-mnist leaves them in data/mnist
fashion  60,000 + 10,000 pieces of clothing, 28 x 28: Debian's dataset-fashion-mnist
digits   1,437 + 360 digits, 8 x 8, scikit-learn's own: Debian's python3-sklearn
letters  A to Z from the Latin fonts that are installed, 28 x 28, the fonts of the test set unseen:
         packages.txt beside this script lists Debian's
emoji    pictures in nine categories, 32 x 32 in colour, a fifth for the test: Debian's fonts-noto-color-emoji and
         unicode-data

mnist-10k, fashion-10k: the 10,000 training images on which peers.py trains too, and the whole test set.
fashion-tune: the same 10,000, and 4,000 more training images in the test set's place, for choosing settings by.
letters-16, emoji-16, fashion-16 (fashion-10k): at 16 x 16, which takes a third of the time.

IDX files, or train/ and test/ with one folder of PNGs for each class. Everything follows from fixed seeds and from the
packages' versions. Needs Debian's python3-numpy and, for letters and emoji, python3-pil.
"""
import gzip
import os
import re
import shutil
import struct
import sys

import numpy as np

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SEED = 20
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EMOJI_FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_LIST = "/usr/share/unicode/emoji/emoji-test.txt"


def write_idx(folder, part, images, labels, names=None):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, part + "-images-idx3-ubyte"), "wb") as file:
        file.write(struct.pack(">IIII", 0x803, *images.shape) + images.astype(np.uint8).tobytes())
    with open(os.path.join(folder, part + "-labels-idx1-ubyte"), "wb") as file:
        file.write(struct.pack(">II", 0x801, len(labels)) + labels.astype(np.uint8).tobytes())
    if names:
        with open(os.path.join(folder, "class-names.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(names) + "\n")


def copy(folder, source, names=None):
    os.makedirs(folder)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{part}-{kind}-ubyte"
            packed = os.path.join(source, name + ".gz")
            shutil.copy(packed if os.path.exists(packed) else os.path.join(source, name), folder)
    if names:
        with open(os.path.join(folder, "class-names.txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(names) + "\n")


def mnist(folder):
    copy(folder, os.path.join(TOP, "data/mnist"))


def fashion(folder):
    copy(folder, "/usr/share/datasets/fashion-mnist", ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal",
         "shirt", "sneaker", "bag", "boot"])


def read_idx(path, header):
    data = gzip.open(path + ".gz").read() if os.path.exists(path + ".gz") else open(path, "rb").read()
    return np.frombuffer(data, np.uint8, offset=header)


def first_10k(make, tune=False, size=28):
    """The same choice as peers.py makes of a larger set; tune: the 4,000 training images after them are the test set."""
    def smaller(images):
        from PIL import Image
        return images if size == 28 else np.array(
            [np.asarray(Image.fromarray(image).resize((size, size), Image.BOX)) for image in images])

    def cut(folder):
        make(folder)
        files = [os.path.join(folder, f"{part}-{kind}-ubyte") for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
        images, labels, test, test_labels = (read_idx(path, header) for path, header in zip(files, (16, 8, 16, 8)))
        images, test = images.reshape(-1, 28, 28), test.reshape(-1, 28, 28)
        order = np.random.RandomState(SEED).permutation(len(labels))
        if tune:
            test, test_labels = images[order[10000:14000]], labels[order[10000:14000]]
        for path in files:
            for name in (path, path + ".gz"):
                if os.path.exists(name):
                    os.remove(name)
        write_idx(folder, "train", smaller(images[order[:10000]]), labels[order[:10000]])
        write_idx(folder, "t10k", smaller(test), test_labels)
    return cut


def digits(folder):
    from sklearn.datasets import load_digits
    data = load_digits()
    images, labels = np.minimum(data.images * 16, 255), data.target
    order = np.random.RandomState(SEED).permutation(len(labels))
    write_idx(folder, "train", images[order[360:]], labels[order[360:]])
    write_idx(folder, "t10k", images[order[:360]], labels[order[:360]])


def latin_fonts():
    """One file for each face that draws all letters, sorted by name; what draws boxes or one shape for two is out."""
    from PIL import ImageFont
    out = {}
    for root, _, files in sorted(os.walk("/usr/share/fonts")):
        for name in sorted(files):
            if not re.search(r"\.(ttf|otf)$", name, re.I) or re.search(r"symbol|dingbat|emoji|icon|math|braille", name, re.I):
                continue
            try:
                font = ImageFont.truetype(os.path.join(root, name), 40)
                shapes = {bytes(font.getmask(c)) for c in LETTERS} - {b""}
            except OSError:
                continue
            if len(shapes) == len(LETTERS):
                out.setdefault(re.sub(r"\..*", "", name), os.path.join(root, name))
    return [out[name] for name in sorted(out)]


def draw_letter(path, letter, size):
    """White on black, scaled so that the letter's longer side is 20 / 28 of the field, in its middle."""
    from PIL import Image, ImageDraw, ImageFont
    font = ImageFont.truetype(path, 80)
    left, top, right, bottom = font.getbbox(letter)
    side = int(max(right - left, bottom - top) * 1.4) + 1
    picture = Image.new("L", (side, side))
    ImageDraw.Draw(picture).text(((side - right - left) / 2, (side - bottom - top) / 2), letter, fill=255, font=font)
    return np.asarray(picture.resize((size, size), Image.BOX))


def letters(folder, size=28):
    fonts = latin_fonts()
    order = np.random.RandomState(SEED).permutation(len(fonts))
    held = len(fonts) // 5
    print(f"letters: {len(fonts)} faces, {held} of them for the test")
    for part, chosen in (("train", order[held:]), ("t10k", order[:held])):
        pairs = [(draw_letter(fonts[i], c, size), k) for i in chosen for k, c in enumerate(LETTERS)]
        write_idx(folder, part, np.array([p for p, _ in pairs]), np.array([k for _, k in pairs]), list(LETTERS))


def emoji_groups():
    """{category: [text]}: fully qualified, without skin tones, which are the same picture five times more."""
    groups, group = {}, None
    with open(EMOJI_LIST, encoding="utf-8") as file:
        for line in file:
            if line.startswith("# group: "):
                group = re.sub(r"[^a-z]+", "-", line[9:].strip().lower())
            match = re.match(r"([0-9A-F ]+);\s*fully-qualified", line)
            if match and group != "component":
                points = [int(x, 16) for x in match[1].split()]
                if not any(0x1F3FB <= p <= 0x1F3FF for p in points):
                    groups.setdefault(group, []).append("".join(map(chr, points)))
    return groups


def emoji(folder, size=32):
    from PIL import Image, ImageDraw, ImageFont
    font = ImageFont.truetype(EMOJI_FONT, 109)
    seen, n = set(), 0
    for group, texts in emoji_groups().items():
        pictures = []
        for text in texts:
            if font.getbbox(text, anchor="lt")[2] > 160:
                continue  # the font has no picture for the sequence and draws its parts
            picture = Image.new("RGB", (136, 136), "white")
            ImageDraw.Draw(picture).text((0, 0), text, font=font, embedded_color=True)
            picture = picture.resize((size, size), Image.BOX)
            if picture.tobytes() not in seen:
                seen.add(picture.tobytes())
                pictures.append(picture)
        order = np.random.RandomState(SEED).permutation(len(pictures))
        for place, i in enumerate(order):
            part = os.path.join(folder, "test" if place < len(pictures) // 5 else "train", group)
            os.makedirs(part, exist_ok=True)
            pictures[i].save(os.path.join(part, f"{i:04}.png"))
        n += len(pictures)
    print(f"emoji: {n} pictures")


SETS = {"mnist": mnist, "fashion": fashion, "digits": digits, "letters": letters, "emoji": emoji,
        "mnist-10k": first_10k(mnist), "fashion-10k": first_10k(fashion),
        "fashion-tune": first_10k(fashion, tune=True), "fashion-16": first_10k(fashion, size=16),
        "letters-16": lambda folder: letters(folder, 16), "emoji-16": lambda folder: emoji(folder, 16)}


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for name in sys.argv[2:] or ["mnist", "fashion", "digits", "letters", "emoji"]:
        folder = os.path.join(sys.argv[1], name)
        if os.path.exists(folder):
            print(f"{folder}: is there")
            continue
        try:
            SETS[name](folder)
        except (OSError, ImportError) as problem:
            shutil.rmtree(folder, ignore_errors=True)
            sys.exit(f"sets.py: {name}: {problem} (which package has it: sets.py --help)")


if __name__ == "__main__":
    main()
