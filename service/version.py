"""The version: the one place that says it, for a checkout and for an installation alike."""

VERSION = "0.1.0"
