"""From the settings of a user to the network: the reading that every verb shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qapflow.frontend.model import Loaded
    from qapflow.steps.settings import BuildSettings


def load_model(settings: BuildSettings) -> Loaded:
    """Read the model with its weights, types and calibration samples, and translate it.

    Raises:
        UsageError: a file cannot be read, or the settings do not fit the model.
        ModelUnsupported: some layers cannot be built; all are listed.
    """
    from qapflow.frontend.archive import read_model
    from qapflow.frontend.load import load
    from qapflow.frontend.model import LoadOptions
    from qapflow.frontend.samples import read_calibration
    from qapflow.ir.fixed import Fixed

    spec = read_model(settings.model, settings.weights)
    options = LoadOptions(
        {name: Fixed.parse(text) for name, text in settings.input_types.items()},
        read_calibration(settings.calibration, spec) if settings.calibration else {},
        settings.float_bits,
        settings.strip_softmax,
    )
    return load(spec, options)
