"""The design of a call: of a frame in memory, or of a source that is read in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from mixedfx.design.build import build_design
from mixedfx.design.design import Design
from mixedfx.errors import OptionError, check_option
from mixedfx.reml.call import Call
from mixedfx.reml.control import read_control

if TYPE_CHECKING:
    from mixedfx.design.streams import Stream

HELD = 500_000  # rows of a source up to which they are held, unless asked otherwise: then every question has an answer


def design_of(call: Call) -> Design:
    """Build the design that `call` asks for.

    Raises
    ------
    OptionError
        For a `stream` that is neither True, False nor None; for `pushdown` beside the iterative solver.
    """
    check_option("stream", call.stream, (None, True, False))
    control = read_control(call.control)
    # Iteration makes passes over the rows, which a database that sums them up does not give.
    pushdown = False if control.solver == "iterative" else control.pushdown
    if control.solver == "iterative" and control.pushdown is True:
        raise OptionError(
            'control= asks for rows that are summed up ("pushdown") and for passes over them (the iterative "solver")',
            hint="Leave one of them out.",
        )
    if isinstance(call.data, pd.DataFrame) and not call.stream:
        return build_design(**call.of_design)
    from mixedfx.design.streamed import read_streamed
    from mixedfx.design.streams import open_stream, slices
    from mixedfx.pls.streamed import whole_design

    stream = open_stream(call.data)
    if stream is None:
        if not call.stream:
            return build_design(**call.of_design)
        stream = slices(call.data)
    given = {"weights": call.weights, "offset": call.offset, "V": call.V, "dispersion": call.dispersion}
    by_row = any(value is not None and not (name in ("weights", "offset") and isinstance(value, str))
                 for name, value in given.items())  # fmt: skip
    if call.stream is False or (call.stream is None and by_row):
        return build_design(**_of_frame(call, stream, None))
    if call.stream is None and pushdown is not True:
        arguments = _of_frame(call, stream, HELD)
        if arguments is not None:
            return build_design(**arguments)
    arguments = {name: value for name, value in call.of_design.items() if name not in ("formula", "data")}
    return whole_design(read_streamed(call.formula, stream, pushdown=pushdown, **arguments), control.solver)


def _of_frame(call: Call, stream: Stream, most: int | None) -> Any:
    """The arguments of the same design in memory; None where the source has more than `most` rows."""
    from mixedfx.design.streamed import needed_columns
    from mixedfx.design.streams import held_frame

    formula, columns = needed_columns(call.formula, stream, call.env, (call.weights, call.offset), call.dispersion)
    frame = held_frame(stream, columns, most)
    return None if frame is None else call.of_design | {"formula": formula, "data": frame}
