"""Noise of a sensor measured from its own frames: captures in, a camera profile and a report out.

:func:`rawsynth.calibrate`, in ``run``, is the way in: ``captures`` lists and checks the files, ``fitting`` takes one
ISO after the other, ``profiles`` makes a camera of it and ``report`` a page. Below, ``sets`` says what a capture is,
``measure`` reduces two frames of one light to sums a tile, ``photon_transfer`` and ``emva1288`` fit those, ``darks``
and ``tukey`` look at read noise, ``burst`` does without flats, and ``result`` holds what was found.
"""
