"""Scores of reverse ISPs over pairs of sRGB and RAW: metrics, reports, pictures."""
