"""Builds what setup.cfg says; with COMPILED=1 in the environment the modules of its [compiled] are compiled by mypyc."""

import configparser
import os
from pathlib import Path

from setuptools import setup

settings = configparser.ConfigParser(interpolation=None)
settings.read_string(Path(__file__).with_name("setup.cfg").read_text(encoding="utf-8"))

if os.environ.get("COMPILED") == "1":
    try:
        from mypyc.build import mypycify
    except ImportError:
        raise SystemExit("COMPILED=1 takes mypyc: pip install '.[compiled]', then pip's --no-build-isolation") from None
    extensions = mypycify(settings["compiled"]["modules"].split(), opt_level="3", debug_level="0")
else:
    extensions = []

setup(ext_modules=extensions)
