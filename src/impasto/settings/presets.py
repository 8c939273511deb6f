"""The presets: what each changes of the settings' defaults. docs/reference/presets.md says what they reproduce.

Numbers stand as the programs have them, in their own unit where a setting has one. Two are converted: our canvas is in
[0, 1] where most programs' is in 0 to 255, so weights of total variation have a factor of 255 to the power of its
exponent, and Adam's rate and epsilon are those of [0, 1].
"""

from typing import Any

_ONE_SCALE = 32768  # a `start_size` that no picture's size is above
_STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

# What the programs have in common, and our defaults have not.
_PLAIN: dict[str, Any] = {
    "content_taps": {"relu4_2": 1.0},
    "style_taps": dict.fromkeys(_STYLE_TAPS, 1.0),
    "content_loss": "mean",
    "tv_weight": 0.0,
    "range_weight": 0.0,
    "padding": "zero",
    "precision": "float32",
    "start_size": _ONE_SCALE,
}

# torch.optim.LBFGS as it comes, and Torch's optim.lbfgs, in bytes: no line search, no step shortened.
_LBFGS: dict[str, Any] = {
    "optimizer": "lbfgs",
    "lbfgs_history": 100,
    "lbfgs_max_step": 0.0,
    "lbfgs_range": 255.0,
    "lbfgs_preconditioner": False,
}

_GATYS2015: dict[str, Any] = {
    "init": "noise",
    "content_weight": 1.0,
    "style_weight": 1000.0,
    "content_taps": {"conv4_2": 1.0},
    "style_taps": dict.fromkeys(("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1"), 0.2),
    "content_loss": "sum",
    "style_loss": {"gatys": 1.0},
    "tv_weight": 0.0,
    "range_weight": 0.0,
    "pooling": "average",
    "pooling_gain": False,
    "padding": "zero",
    "optimizer": "lbfgs",
    "start_size": _ONE_SCALE,
    "steps": 500,
    "ema_decay": 0.0,
}

# The papers and programs saw the canvas at its full size alone, with VGG-19.
_AS_PUBLISHED: dict[str, Any] = {
    "content_colors": "photo",
    "structure_weight": 0.0,
    "guard": 0.0,
    "init": "photo",
    "large_view_network": "same",
    "trim": "none",
    "views": (1.0,),
}

_PROGRAMS: dict[str, dict[str, Any]] = {
    "gatys2015": _GATYS2015,
    "gatys2016": {**_GATYS2015, **_LBFGS, "fit": "area", "precision": "float32"},
    "gatys-pytorch": {
        **_PLAIN,
        **_LBFGS,
        "fit": "shortest",
        "content_weight": 1.0,
        "style_weight": 1.0,
        "style_taps": dict(zip(_STYLE_TAPS, (1e3 / width**2 for width in (64, 128, 256, 512, 512)), strict=True)),
        "style_loss": {"gatys": 4.0},
        "steps": 500,
    },
    "neural-style": {
        **_PLAIN,
        **_LBFGS,
        "init": "gray",
        "content_weight": 5.0,
        "style_weight": 100.0,
        "style_loss": {"gram_mean": 1.0},
        "tv_weight": 1e-3 / 2 * 256**2,
        "tv_loss": "isotropic_sum",
        "pooling_ceil_mode": True,
        "input_scaling": "256",
        "lbfgs_range": 256.0,
        "steps": 1000,
    },
    "neural-style-pt": {
        **_PLAIN,
        **_LBFGS,
        "init": "gray",
        "content_weight": 5.0,
        "style_weight": 100.0,
        "style_loss": {"gram_mean": 1.0},
        "tv_weight": 1e-3 * 255,
        "tv_loss": "sum",
        "tv_exponent": 1.0,
        "steps": 1000,
    },
    "neural-style-tf": {
        **_PLAIN,
        **_LBFGS,
        "fit": "shrink",
        "content_weight": 5.0,
        "style_weight": 1e4,
        "content_taps": {"conv4_2": 1.0},
        "style_taps": dict.fromkeys(_STYLE_TAPS, 0.2 / 5),
        "content_loss": "root",
        "style_loss": {"gatys": 1.0},
        "tv_weight": 1e-3 * 255,
        "tv_loss": "sum",
        "tv_exponent": 1.0,
        "pooling": "average",
        "pooling_gain": False,
        "pooling_ceil_mode": True,
        "lbfgs_history": 10,
        "lbfgs_max_step": 0.5,
        "steps": 1000,
    },
    "anishathalye": {
        **_PLAIN,
        "fit": "width",
        "init": "gray",
        "content_weight": 5.0,
        "style_weight": 500.0,
        "style_taps": dict.fromkeys(_STYLE_TAPS, 0.2),
        "style_loss": {"gram_mean": 1.0},
        "tv_weight": 100 * 255.0**2,
        "pooling_ceil_mode": True,
        "optimizer": "adam",
        "learning_rate": 10 / 255,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8 * 255,
        "clamp": "never",
        "steps": 1000,
    },
    "gordicaleksa": {
        **_PLAIN,
        **_LBFGS,
        "size": 400,
        "fit": "height",
        "content_weight": 1e5,
        "style_weight": 3e4,
        "style_taps": dict.fromkeys(_STYLE_TAPS, 0.2),
        "style_loss": {"gatys": 4.0},
        "tv_weight": 255.0,
        "tv_loss": "sum",
        "tv_exponent": 1.0,
        "input_scaling": "255",
        "lbfgs_max_step": 0.5,
        "steps": 1000,
    },
    "style-transfer-pytorch": {
        **_PLAIN,
        "content_weight": 0.015,
        "style_weight": 1.0,
        "style_taps": dict(zip(_STYLE_TAPS, (share / 341 for share in (256, 64, 16, 4, 1)), strict=True)),
        "style_loss": {"wasserstein_mean": 1.0},
        "tv_weight": 2.0,
        "tv_loss": "nine_point",
        "padding": "replicate-first",
        "optimizer": "adam",
        "start_size": 128,
        "scale_step": 2**0.5,
        "steps": 1000,
        "later_steps": 500,
        "ema_decay": 0.99,
    },
}

# `default` is the settings' own defaults.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # One pass alone, which counts as a step.
    "instant": {"network": "slim", "init": "fast", "start_size": _ONE_SCALE, "steps": 1, "views": (1.0,)},
    "draft": {"network": "slim", "views": (1.0, 1.0), "content_weight": 0.13, "later_steps": 14},
    # VGG-19 sees the full size too, which is then worth more weight.
    "fine": {
        "views": (2.0, 1.0, 1.0),
        "large_view_size": 1024,
        "steps": 60,
        "later_steps": 145,
        "lbfgs_history": 30,
    },
    # Painted quickly and each like the one before: what counts in a film.
    "film": {
        "network": "slim",
        "views": (1.0,),
        "init": "photo",
        "content_colors": "photo",
        "structure_weight": 0.0,
        "content_weight": 0.138,
        "start_size": 256,
        "steps": 60,
        "later_steps": 100,
    },
    **{name: {**_AS_PUBLISHED, **values} for name, values in _PROGRAMS.items()},
}

FAST_DEFAULTS = {"preset": "instant"}  # of `impasto fast`
FILM_DEFAULTS = {"preset": "film"}  # of films, in place of `default`

# Losses that are no shares depend on how large activations are, content with their square and style with their fourth
# power. The programs' networks have them in the hundreds, `slim` about 1: there, with the weights of its program, a
# preset would paint next to nothing but its total variation. These weights were chosen by eye. Of taps, those with a
# mix are taken; and as the numbers are no longer the program's, precision and L-BFGS are as they are by default,
# quicker and safer.
_SLIM: dict[str, Any] = {"content_taps": {"relu4_1": 1.0}, "precision": "auto"}
_SLIM_LBFGS: dict[str, Any] = {**_SLIM, "lbfgs_history": 10, "lbfgs_max_step": 0.5, "lbfgs_range": 1.0}
ON_SLIM: dict[str, dict[str, Any]] = {
    "gatys2015": {**_SLIM_LBFGS, "style_taps": dict.fromkeys(_STYLE_TAPS, 0.2), "style_weight": 5e5},
    "gatys2016": {**_SLIM_LBFGS, "style_taps": dict.fromkeys(_STYLE_TAPS, 0.2), "style_weight": 5e5},
    "gatys-pytorch": {**_SLIM_LBFGS, "style_weight": 160.0},
    "neural-style": {**_SLIM_LBFGS, "style_weight": 4e4, "tv_weight": 5e-3},
    "neural-style-pt": {**_SLIM_LBFGS, "style_weight": 4e4, "tv_weight": 8e-4},
    "neural-style-tf": {**_SLIM_LBFGS, "style_weight": 1.5e5, "tv_weight": 3e-3},
    "anishathalye": {**_SLIM, "style_weight": 1.2e5, "tv_weight": 160.0},
    "gordicaleksa": {**_SLIM_LBFGS, "style_weight": 500.0},
    "style-transfer-pytorch": {**_SLIM, "style_weight": 10.0},
}


def get_preset_values(preset: Any, network: Any = None) -> dict[str, Any]:
    """Return what a preset says where the settings name `network`; nothing of one that is not known."""
    if not isinstance(preset, str):
        return {}
    values = PRESETS.get(preset, {})
    return {**values, **ON_SLIM.get(preset, {})} if network == "slim" else values
