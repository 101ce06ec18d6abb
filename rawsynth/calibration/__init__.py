"""Noise of a sensor measured from its own frames: captures in, a camera profile and a report out.

``sets`` says what a capture is, ``measure`` reduces two frames of one light to sums a tile, ``photon_transfer`` and
``emva1288`` fit those, ``darks`` and ``tukey`` look at read noise, ``burst`` does without flats, and ``result`` holds
what was found. :func:`rawsynth.calibration.calibrate.calibrate` is the way in.
"""
