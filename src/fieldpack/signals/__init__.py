"""Signals: arrays with what is needed to write them back as they came."""
