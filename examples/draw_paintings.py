"""Draw the project's own three paintings, to be used as styles: `python examples/draw_paintings.py [FOLDER]`.

A canvas is (high, wide, 4): red, green, blue and the height of the paint. It is OVERSAMPLE times as large as its
picture; `finish` lights and reduces it. Each painting has its own seed: same machine, same versions, same pixels.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Array = np.ndarray
Rng = np.random.Generator
OVERSAMPLE = 2
PIGMENTS = {
    "midnight": 0x0B1433, "prussian": 0x12305F, "ultramarine": 0x1F3FA0, "cobalt": 0x2F6BC4, "cerulean": 0x4FA3CF,
    "aqua": 0x8ECBD0, "ivory": 0xF6ECD2, "naples": 0xF2D58A, "ochre": 0xD99A2B, "magenta": 0xC22A6E,
    "vermilion": 0xE0401F, "rose": 0xE58A92, "lilac": 0xA99BD6, "violet": 0x5B3F8F, "plum": 0x3A1F4A,
    "viridian": 0x1D6B56, "leaf": 0x4F9A3C, "lime": 0xB5C94A, "lemon": 0xF7E04E, "orange": 0xF2862A, "black": 0x16141C,
}  # fmt: skip
PAPERS = (  # a ground, a smaller sheet on it, the cutting on top
    "ultramarine cobalt ivory", "orange naples black", "viridian leaf rose", "magenta vermilion lemon",
    "naples ochre plum", "black prussian ivory", "cerulean aqua midnight", "vermilion orange ivory",
    "lilac rose prussian", "leaf lime midnight", "ochre lemon magenta", "prussian viridian orange",
)  # fmt: skip


def palette(names: str) -> Array:
    """Squeeze the named pigments onto a palette, one row of sRGB each."""
    return np.array([[PIGMENTS[name] >> shift & 255 for shift in (16, 8, 0)] for name in names.split()]) / 255


def blend(colors: Array, tone: Array) -> Array:
    """Pick the colors at tones 0 to 1 along a palette, mixing neighbours."""
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(tone, stops, colors[:, i]) for i in range(3)], axis=-1)


def clouds(rng: Rng, shape: tuple[int, int], high: float, wide: float, octaves: int = 1) -> Array:
    """Make smooth noise of mean 0 and deviation 1, with bumps of about `high` by `wide` pixels."""
    total = np.zeros(shape)
    for octave in range(octaves):
        grid = [round(side * 2**octave / bump) + 3 for side, bump in zip(shape, (high, wide), strict=True)]
        coarse = Image.fromarray(rng.standard_normal(grid).astype(np.float32))
        total += np.asarray(coarse.resize(shape[::-1], Image.Resampling.BICUBIC)) / 2**octave
    return (total - total.mean()) / total.std()


def finish(canvas: Array, depth: float, gloss: float) -> Image.Image:
    """Light the paint from the upper left (its slopes brighten or darken, its crests shine) and reduce the canvas."""
    slope, paint = np.tanh(sum(np.gradient(canvas[..., 3])) * depth)[..., None], canvas[..., :3]
    lit = np.where(slope > 0, paint + (1 - paint) * 0.32 * slope, paint * (1 + 0.5 * slope))
    lit += gloss * np.clip(slope - 0.55, 0, 1) ** 2
    picture = Image.fromarray((np.clip(lit, 0, 1) * 255 + 0.5).astype(np.uint8))
    return picture.resize([side // OVERSAMPLE for side in picture.size], Image.Resampling.LANCZOS)


def trace(stream: Array, starts: Array, length: float, steps: int = 24) -> Array:
    """Follow the level lines of `stream` from each start; returns (strokes, steps, 2) points as y, x."""
    down, right = np.gradient(stream)
    points = [starts]
    for _ in range(steps - 1):
        at = tuple(np.clip(points[-1], 0, np.array(stream.shape) - 1).astype(int).T)
        ahead = np.stack([-right[at], down[at]], axis=-1)
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True) + 1e-9
        points.append(points[-1] + ahead * length / (steps - 1))
    return np.stack(points, axis=1)


def lay_stroke(rng: Rng, canvas: Array, path: Array, width: float, colors: Array, bristles: Array) -> None:
    """Drag a loaded brush along a path: bristles leave grooves, mix two colors and run dry one by one."""
    length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
    u = np.linspace(0, 1, max(8, int(length / 0.6)))[:, None]
    v = np.linspace(-1, 1, max(6, int(width / 0.6)))[None, :]
    spine = np.stack([np.interp(u[:, 0], np.linspace(0, 1, len(path)), axis) for axis in path.T], axis=-1)
    ahead = np.gradient(spine, axis=0)
    side = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1) / (np.linalg.norm(ahead, axis=1, keepdims=True) + 1e-9)
    rows, columns = (np.arange(axis.size) + rng.integers(512) for axis in (u, v))
    groove = bristles[np.ix_(rows % len(bristles), columns % len(bristles))]
    tuft = groove[:1]
    tip = (1 - np.sqrt(1 - 0.98 * v**2)) * width / 2 / length
    loaded = (u > tip + 0.02 * (tuft + 1)) & (u < 1 - tip - 0.06 * (tuft + 1.2).clip(0))
    loaded &= groove > -1.1 - 2.2 * (1 - u) ** 0.5 + 0.5 * v**6
    y, x = np.rint(spine[:, None] + side[:, None] * (v * width / 2)[..., None]).astype(int).transpose(2, 0, 1)
    loaded &= (y >= 0) & (y < canvas.shape[0]) & (x >= 0) & (x < canvas.shape[1])
    streak = np.clip(0.28 + 0.38 * np.roll(tuft, 7) + 0.15 * groove, 0, 1)[..., None]
    color = colors[0] + streak * (colors[1] - colors[0]) + 0.022 * groove[..., None]
    body = width**0.55 * (0.55 + 0.16 * groove + 0.35 * v**4 * (1 - v**12) + 0.35 * u**6)
    under = canvas[y[loaded], x[loaded]] * (0.06, 0.06, 0.06, 0.35)
    canvas[y[loaded], x[loaded]] = under + np.dstack([0.94 * color, body])[loaded]


def flow_strokes() -> Image.Image:
    """Paint thick oil strokes, broad to fine, that follow a swirling sky of blues around an ochre and ivory eddy."""
    rng = np.random.default_rng(1889)
    high, wide = shape = (608 * OVERSAMPLE, 768 * OVERSAMPLE)
    y, x = np.mgrid[:high, :wide] / wide
    stream = 0.055 * clouds(rng, shape, high * 0.55, wide * 0.5, octaves=2) + 0.30 * y
    for at_x, at_y, radius, force in ((0.66, 0.26, 0.17, -0.26), (0.22, 0.42, 0.10, 0.15), (0.86, 0.62, 0.08, -0.10)):
        stream += force * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / radius**2)
    tone = (stream - stream.min()) / np.ptp(stream)
    ramp = palette("vermilion ochre naples ivory aqua cerulean cobalt ultramarine prussian midnight prussian cobalt")
    embers, sparks = palette("vermilion ochre orange ivory"), clouds(rng, shape, 110, 160)
    bristles = 0.75 * clouds(rng, (1024, 1024), 110, 4.5) + 0.65 * clouds(rng, (1024, 1024), 220, 15)
    canvas = np.dstack([blend(ramp, tone), np.zeros(shape)])
    for width, length, spacing in ((76, 300, 48), (52, 230, 45), (30, 156, 42), (16, 88, 54)):
        grid = np.mgrid[-length / 2 : high + length / 2 : spacing, -length / 2 : wide + length / 2 : spacing]
        starts = rng.permutation(grid.reshape(2, -1).T) + rng.uniform(-spacing, spacing, (grid[0].size, 2))
        for path in trace(stream, starts, length):
            middle = tuple(np.clip(path[len(path) // 2], 0, (high - 1, wide - 1)).astype(int))
            colors = blend(ramp, tone[middle] + 0.07 * rng.standard_normal(2)) * rng.normal(1, 0.07)
            if width < 40 and sparks[middle] > 0.9 and rng.random() < 0.4:
                colors[0] = embers[rng.integers(len(embers))]
            lay_stroke(rng, canvas, path, width * rng.uniform(0.65, 1.2), colors, bristles)
    return finish(canvas, 0.5, 0.4)


def river_evening(rng: Rng, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Compose sky, sun, hills, trees, boats, river and bank; returns colors and the lie of the dabs, in radians."""
    high, wide = shape
    y, x = np.mgrid[:high, :wide] / high
    bumps = ((104, 460), (44, 52), (10, 140), (20, 20))
    drift, leaves, ripple, bloom = (clouds(rng, shape, *bump, octaves=3) for bump in bumps)
    level, sun_x = 0.5, 0.86
    far = np.hypot(x - sun_x, (y - 0.33) * 1.15)
    view = blend(palette("ultramarine cobalt cerulean lilac rose naples"), y / level + 0.06 * drift)
    lie = 0.35 * np.sin(5 * x + 9 * y) + 0.25 * drift

    def lay(where: Array, names: str, tone: Array, slant: float, opacity: Array | float = 1.0) -> None:
        cover = np.broadcast_to(opacity, shape)[where][:, None]
        view[where] += cover * (blend(palette(names), tone[where]) - view[where])
        lie[where] = slant * np.cos(4 * y[where])

    lay(far < 0.6, "lemon naples orange rose rose", far / 0.4, 0.3, np.exp(-((far / 0.23) ** 2)))
    veil = np.clip(drift - 0.5, 0, 0.9) * (y < 0.4)
    lay(veil > 0, "ivory naples rose lilac", 0.4 + 0.35 * drift + 0.4 * y, 0, veil)
    lay(far < 0.055, "ivory", far, 0)
    for crest, names in ((0.42, "violet lilac rose"), (0.465, "ultramarine viridian leaf")):
        ridge = y > crest + 0.02 * np.sin(9 * x + 40 * crest) * np.cos(4 * x)
        lay(ridge, names, 0.95 - far / 0.9 + 0.14 * leaves, 0.2)
    for at, top, spread, crowns in ((0.17, 0.11, 0.16, 60), (0.46, 0.38, 0.06, 24), (1.25, 0.20, 0.11, 40)):
        for lift, aside, size in rng.random((crowns, 3)):
            size = spread * (0.14 + 0.22 * size)
            over, up = x - at - spread * (1.7 * aside - 0.85) * (0.3 + lift), top + lift * (level - top) - y
            sunny = (over * np.sign(sun_x - at) + up) / size * 0.30 + 0.42 + 0.20 * leaves
            lay(np.hypot(over, up) + 0.16 * size * leaves < size, "midnight viridian leaf lime lemon", sunny, 0.9)
    for at, size in ((0.60, 0.23), (0.76, 0.13)):
        rise, beam = (level - y) / size, (x - at) / size
        lay((rise > 0.08) & (beam > 0) & (beam < 0.44 * (1 - rise)), "ivory ivory naples", 2 * beam, 1.2)
        lay((rise > 0.08) & (beam < -0.04) & (beam > 0.9 * rise - 0.36), "naples ivory", beam + 1, 1.2)
        lay((rise > 0) & (rise < 0.07) & (np.abs(beam - 0.05) < 0.36 + rise), "plum", beam, 0)
    depth = np.clip((y - level) / (1 - level), 0, 1)
    mirror_y = np.clip(2 * level - y + 0.010 * ripple * (0.5 + depth), 0, level - 1 / high) * high
    mirror = view[mirror_y.astype(int), np.clip(x * high + 9 * ripple, 0, wide - 1).astype(int)]
    view[depth > 0] = mirror[depth > 0]
    lay(depth > 0, "aqua cobalt ultramarine prussian", depth, 0, 0.28)
    glitter = np.exp(-(((x - sun_x) / (0.045 + 0.10 * depth)) ** 2)) * np.clip(0.35 + 0.6 * ripple, 0, 1)
    lay(depth > 0, "lemon orange vermilion", depth, 0, glitter)
    shore = y - 0.94 + 0.30 * np.exp(-(((x - 0.05) / 0.42) ** 2)) + 0.012 * np.sin(17 * x) * np.cos(7 * x)
    lay(shore > 0, "plum prussian viridian leaf lime naples", 0.75 - 3 * shore + 0.16 * leaves, -1.2)
    lay((shore > 0.01) & (bloom + 0.3 * leaves > 1.4), "magenta vermilion orange rose ivory", 0.3 + 0.35 * drift, -1.2)
    return view, lie


def divide(rng: Rng, color: Array, pigments: Array) -> Array:
    """Divide colors into pure pigments that mix in the eye, with a complementary dot here and there."""
    wanted = color + rng.normal(0, 0.15, color.shape)
    nearest = pigments[((wanted[:, None] - pigments) ** 2).sum(axis=-1).argmin(axis=1)]
    dots = (0.45 * color + 0.55 * nearest) * rng.normal(1, 0.05, (len(color), 1))
    gray = dots.mean(axis=1, keepdims=True)
    return gray + (dots - gray) * np.where(rng.random((len(dots), 1)) < 0.09, -0.6, 1.15)


def lay_dab(canvas: Array, at: Array, size: float, stretch: float, lie: float, color: Array) -> None:
    """Press one oval dab of paint: a low dome with a soft rim."""
    reach = int(size * stretch) + 2
    top, left = (np.rint(at).astype(int) - reach).clip(0)
    patch = canvas[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
    y, x = np.ogrid[: patch.shape[0], : patch.shape[1]]
    y, x, cos, sin = y + top - at[0], x + left - at[1], np.cos(lie), np.sin(lie)
    dome = 1 - np.hypot((x * cos + y * sin) / stretch, y * cos - x * sin) / size
    cover = np.clip(dome * size, 0, 1)[..., None]
    patch[..., :3] += cover * (color - patch[..., :3])
    patch[..., 3] += cover[..., 0] * (np.sqrt(dome.clip(0)) * size * 0.6 - 0.6 * patch[..., 3])


def pointillist_dots() -> Image.Image:
    """Paint a river at evening in dots of nearly pure pigment, large ones first, small bright ones last."""
    rng = np.random.default_rng(1886)
    shape = (576 * OVERSAMPLE, 768 * OVERSAMPLE)
    view, lie = river_evening(rng, shape)
    pigments = palette(" ".join(name for name in PIGMENTS if name not in ("black", "magenta")))
    canvas = np.dstack([0.6 * view + 0.4 * palette("ochre"), np.zeros(shape)])
    for size, spacing in ((11, 13), (7.8, 11), (5.6, 9.7), (4, 12.4)):
        spots = np.mgrid[0 : shape[0] : spacing, 0 : shape[1] : spacing].reshape(2, -1).T
        spots = rng.permutation(spots + rng.uniform(-0.6, 0.6, spots.shape) * spacing)
        at = tuple(spots.clip(0, np.array(shape) - 1).astype(int).T)
        sizes, stretches = rng.uniform((0.75, 1.05), (1.15, 1.5), (len(spots), 2)).T
        for dab in zip(spots, sizes * size, stretches, lie[at], divide(rng, view[at], pigments), strict=True):
            lay_dab(canvas, *dab)
    canvas[..., 3] += 0.15 * clouds(rng, shape, 3, 3)
    return finish(canvas, 0.2, 0.2)


def finger(start: Array, heading: float, length: float, breadth: float, bend: float) -> Array:
    """Outline one bent leaf finger, narrow at its foot and round at its tip, as 80 points x, y: up and back down."""
    s = np.linspace(0, 1, 40)
    turn = heading + bend * s
    spine = start + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], axis=-1), axis=0) * length / len(s)
    half = breadth / 2 * (0.45 + 0.55 * np.sin(np.pi * s * 0.75)) * np.sqrt(1 - s**6)
    side = np.stack([-np.sin(turn), np.cos(turn)], axis=-1) * half[:, None]
    return np.concatenate([spine + side, (spine - side)[::-1]])


def frond(rng: Rng, foot: Array, heading: float, length: float) -> list[Array]:
    """Outline a frond: a bent stem with pairs of fingers that lengthen, then shorten, towards its tip."""
    bend, pairs = rng.uniform(-0.6, 0.6), rng.integers(4, 7)
    stem = finger(foot, heading, length, length * 0.11, bend)
    fingers = [stem]
    for at in np.linspace(0.16, 0.86, pairs):
        reach = length * (0.18 + 0.26 * np.sin(np.pi * at**0.8)) * rng.uniform(0.85, 1.15)
        for hand in (-1, 1):
            node, lean = int(at * 39), heading + bend * at + hand * rng.uniform(0.85, 1.1)
            joint = (stem[node] + stem[-1 - node]) / 2
            fingers.append(finger(joint, lean, reach, length * 0.46 / pairs, -hand * rng.uniform(0.2, 0.8)))
    return fingers


def sun(rng: Rng, middle: Array, radius: float, rays: int) -> list[Array]:
    """Outline a sun with wavy rays; with one ray it is a pebble."""
    turn = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    far = radius * (0.74 + 0.26 * np.cos(rays * turn + rng.uniform(0, 6)) + 0.04 * np.sin(2 * turn))
    return [middle + np.stack([np.cos(turn), np.sin(turn)], axis=-1) * far[:, None]]


def panes(rng: Rng, corners: Array, cuts: int) -> list[Array]:
    """Cut a quadrilateral across its longer sides, again and again, into large and small panes."""
    if cuts <= 0 or (cuts < 3 and rng.random() < 0.3):
        return [corners]
    across, down = np.linalg.norm(corners[[1, 3]] - corners[0], axis=1)
    a, b, c, d = np.roll(corners, -1 if across < down * rng.uniform(0.8, 1.25) else 0, axis=0)
    here, there = rng.uniform(0.33, 0.67) + rng.uniform(-0.05, 0.05, 2)
    top, bottom = a + (b - a) * here, d + (c - d) * there
    return panes(rng, np.array([a, top, bottom, d]), cuts - 1) + panes(rng, np.array([top, b, c, bottom]), cuts - 1)


def paste(rng: Rng, canvas: Array, outlines: list[Array], color: Array, rounding: float = 3, lift: float = 6) -> None:
    """Cut outlines out of one sheet of gouache-brushed paper, corners rounded, and paste it down with its shadow."""
    shape = canvas.shape[:2]
    sheet = Image.new("L", shape[::-1])
    for outline in outlines:
        ImageDraw.Draw(sheet).polygon([tuple(point) for point in outline.tolist()], fill=255)
    soft = np.asarray(sheet.filter(ImageFilter.GaussianBlur(rounding)), dtype=float) / 255
    cover = np.clip((soft - 0.5) * rounding * 1.5 + 0.5, 0, 1)[..., None]
    shadow = sheet.filter(ImageFilter.GaussianBlur(lift)).rotate(0, translate=(lift, lift))
    canvas[..., :3] *= 1 - 0.5 * np.asarray(shadow)[..., None] / 255
    grain = (9, 160) if rng.random() < 0.5 else (160, 9)
    streak = 0.4 * clouds(rng, shape, *grain, octaves=2) + 0.6 * clouds(rng, shape, 90, 90, octaves=3)
    canvas[..., :3] += cover * (color + (0.05 * color + 0.012) * streak[..., None] - canvas[..., :3])
    canvas[..., 3:] += cover * 4


def cut_paper() -> Image.Image:
    """Paste flat bright papers edge to edge, seams showing, and cut fronds, palms and suns over them."""
    rng = np.random.default_rng(1947)
    high, wide = shape = (768 * OVERSAMPLE, 624 * OVERSAMPLE)
    canvas = np.dstack([np.tile(palette("ivory"), (*shape, 1)), clouds(rng, shape, 3, 3) + clouds(rng, shape, 6, 8)])
    fields = panes(rng, np.array([[14, 14], [wide - 14, 14], [wide - 14, high - 14], [14, high - 14]]), 5)
    sheets = [palette(PAPERS[number * 5 % len(PAPERS)]) for number in range(len(fields))]
    for field, (ground, second, _) in zip(fields, sheets, strict=True):
        middle = field.mean(axis=0)
        paste(rng, canvas, [field + np.sign(middle - field) * 5 + rng.normal(0, 2, (4, 2))], ground, 2, 2)
        smaller = middle + (field - middle) * rng.uniform(0.62, 0.78, (4, 1)) + rng.normal(0, 6, (4, 2))
        paste(rng, canvas, [smaller], second, 2, 2)
    for number, (field, (ground, _, color)) in enumerate(zip(fields, sheets, strict=True)):
        middle, size = field.mean(axis=0), np.ptp(field, axis=0)
        if number % 4 == 3:
            paste(rng, canvas, sun(rng, middle, size.min() * 0.46, rng.integers(7, 11)), color, 4)
            paste(rng, canvas, sun(rng, middle, size.min() * 0.17, 1), ground, 4, 3)
        elif number % 4 == 1 and size[1] < 1.4 * size[0]:
            foot, length = middle + size * (0, 0.38), min(size[0] * 0.66, size[1] * 0.92)
            fan = np.linspace(-1.25, 1.25, rng.integers(5, 8))
            reach = length * (0.62 + 0.38 * np.cos(fan)) * rng.uniform(0.9, 1.1, len(fan))
            palm = [finger(foot, a - np.pi / 2, r, length * 0.19, a / 2) for a, r in zip(fan, reach, strict=True)]
            paste(rng, canvas, palm, color)
        else:
            heading = (-np.pi / 2 if size[1] > 0.8 * size[0] else rng.choice([0, np.pi])) + rng.normal(0, 0.25)
            length = min(size.max() * 0.95, size.min() * 1.7)
            foot = middle - np.array([np.cos(heading), np.sin(heading)]) * length / 2
            paste(rng, canvas, frond(rng, foot, heading, length), color)
    return finish(canvas, 0.045, 0)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (flow_strokes, pointillist_dots, cut_paper):
        draw().save(folder / f"{draw.__name__}.jpg", quality=92, optimize=True)
