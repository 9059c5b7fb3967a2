"""In what precision an encoder's matrices are stored. Only the file gets smaller: whoever reads it computes in f32.

f32 as trained; f16 rounded to half precision; int8 whole numbers of -127 to 127 with one scale per output.

Invariant: stored values come back exactly, and storing what came back changes nothing. So what is measured here is what
every reader of the file computes with, whatever else is in its batch.
"""

import numpy

PRECISIONS = ("f32", "f16", "int8")
MOST = 127


def scales(weights):
    """[outputs] of int8, with 11 significant bits: a whole number of 7 bits times it is exact in f32."""
    most = numpy.abs(weights).max(1).astype(float)
    fraction, exponent = numpy.frexp(numpy.where(most > 0, most / MOST, 1))
    return numpy.ldexp(numpy.round(fraction * 2048) / 2048, exponent).astype("f4")


def whole(weights, scale):
    """[outputs, inputs] int8."""
    return numpy.clip(numpy.round(weights / scale[:, None]), -MOST, MOST).astype("i1")


def rounded(weights, precision):
    """The weights [outputs, inputs] f32 that come back from a file in this precision."""
    if precision == "f16":
        return weights.astype("f2").astype("f4")
    if precision == "int8":
        scale = scales(weights)
        return whole(weights, scale).astype("f4") * scale[:, None]
    return weights
