"""The design space of a program: one knob for each parameter."""

from __future__ import annotations

from chameleon_tuner.backends.program.spec import Spec
from chameleon_tuner.core.errors import ProgramError, UsageError
from chameleon_tuner.space import DesignSpace, configuration_at, parameter_space


def space_of(spec: Spec) -> DesignSpace:
    """Return the design space of a program.

    Raises:
        ProgramError: A constraint is not valid, or the default configuration breaks one.
    """
    try:
        space = parameter_space(spec.parameters, spec.constraints)
    except UsageError as error:
        raise ProgramError(str(error)) from None
    try:
        configuration_at(space, spec.default)
    except UsageError:
        values = ", ".join(f"{name} = {value!r}" for name, value in spec.default.items())
        raise ProgramError(
            f"the default configuration ({values}) breaks a constraint; name another one in "
            "[default]: what it leaves out has the first value of its list"
        ) from None
    return space
