"""Headwater: a time-series database that speaks Amazon Timestream for LiveAnalytics' own API."""

__version__ = "0.1.0"
