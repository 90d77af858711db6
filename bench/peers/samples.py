"""Samples of an archive whose arrays are `<sample>/<input>`."""
import collections

import numpy as np


def samples(path):
    found = collections.defaultdict(dict)
    arrays = np.load(path)
    for key in arrays.files:
        sample, name = key.split("/", 1)
        found[sample][name] = arrays[key]
    return list(found.values())
