"""The paper's searches of hyperparameters, at replay ratio 1 on its 17 games. The values between
the ends of weight decay and reset periods are not known to us; tau and period of ReDo are."""

from dormant.reproduce.experiments import Bindings, Experiment, Variant
from dormant.reproduce.families import SMALL, SMOKE_DEVICE, atari
from dormant.reproduce.methods import REDO, RESET, figure, ratio

_WEIGHT_DECAYS = ("1e-6", "1e-5", "1e-4", "1e-3")
_RESET_PERIODS = (50_000, 100_000, 250_000, 500_000)
_TAUS = ("0.0", "0.01", "0.1")
_PERIODS = (1_000, 10_000, 100_000)


def _scales():
    found = {scale: {"": family} for scale, family in atari(10).items()}
    found["smoke"][SMALL] = SMOKE_DEVICE
    return found


def _variant(
    method: str, gin_file: str, setting: str, value: float, bindings: Bindings, small: Bindings
) -> Variant:
    on_device = {**small, **ratio(1)}
    return Variant(
        method, figure(gin_file), setting, value, bindings, small=on_device, replay_ratio=1
    )


def _weight_decay(coefficient: str) -> Variant:
    bindings = {"LearnerOptions.weight_decay": coefficient}
    return _variant(
        "DQN + weight decay",
        "fig01_weight_decay",
        f"weight decay {coefficient}",
        float(coefficient),
        bindings,
        bindings,
    )


def _reset(period: int) -> Variant:
    # A smoke run is too short for these periods: all of them have its own.
    bindings = {"Reset.period": str(period)}
    return _variant(
        "DQN + reset", "fig01_reset", f"reset period {period:,}", period, bindings, RESET
    )


def _tau_and_period(tau: str, period: int) -> Variant:
    of_tau = {"ReDo.tau": tau}
    return _variant(
        f"DQN + ReDo, period {period:,}",
        "fig01_redo",
        f"tau {float(tau):g}",
        float(tau),
        {**of_tau, "ReDo.period": str(period)},
        {**REDO, **of_tau},
    )


SEARCH_WEIGHT_DECAY = Experiment(
    name="search_weight_decay",
    title="Search of the weight decay of figure 1, from 1e-6 to 1e-3",
    expected="1e-5 is best (text).",
    variants=tuple(map(_weight_decay, _WEIGHT_DECAYS)),
    scales=_scales(),
    setting_name="weight decay",
)
SEARCH_RESET = Experiment(
    name="search_reset",
    title="Search of the reset period of figure 1, from 5e4 to 5e5 gradient steps",
    expected="1e5 is best (text).",
    variants=tuple(map(_reset, _RESET_PERIODS)),
    scales=_scales(),
    setting_name="reset period",
)
SEARCH_TAU = Experiment(
    name="search_tau",
    title="Search of ReDo's tau, 0, .01 or .1, and period, 1e3, 1e4 or 1e5 gradient steps",
    expected="tau 0.1 and period 1 000 are taken (text).",
    variants=tuple(_tau_and_period(tau, period) for period in _PERIODS for tau in _TAUS),
    scales=_scales(),
    setting_name="tau",
)

EXPERIMENTS = (SEARCH_WEIGHT_DECAY, SEARCH_RESET, SEARCH_TAU)
