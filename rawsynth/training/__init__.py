"""Training of networks that turn sRGB into RAW."""
