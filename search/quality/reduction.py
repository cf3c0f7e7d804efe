"""Reduces a layout to the four-block pattern that stands for it on the recall tasks."""

from collections import Counter

from search.errors import SpaceError

REDUCTION_VERSION = 1
PLACES = 4
GLOBAL_CODE = "A"
"""Full attention: the only mixer that can look anything up, so it never vanishes from a reduced layout."""


def reduce_to_four(layout: str) -> str:
    """Return the four-letter pattern of a layout.

    Places go to mixers by largest remainder of their counts (ties to the rarer mixer), full attention keeping at least
    one. A mixer's blocks are then cut into as many even runs as it has places, and all runs are ordered by their mean
    depth: CCACCACCACACACAC becomes CACA.
    """
    if not layout:
        raise SpaceError("layout", layout, "a layout has at least one block")
    runs = []
    for code, places in _places(Counter(layout)).items():
        depths = [i for i, letter in enumerate(layout) if letter == code]
        runs += [(mean_depth, code) for mean_depth in _mean_depths(depths, places)]
    return "".join(code for _, code in sorted(runs))


def _places(counts: Counter[str]) -> dict[str, int]:
    total = sum(counts.values())
    quotas = {code: PLACES * count / total for code, count in counts.items()}
    places = {code: int(quota) for code, quota in quotas.items()}
    by_remainder = sorted(counts, key=lambda code: (-(quotas[code] - places[code]), counts[code], code))
    for code in by_remainder[: PLACES - sum(places.values())]:
        places[code] += 1
    if places.get(GLOBAL_CODE) == 0:
        donor = max(places, key=lambda code: (places[code], code))
        places[donor] -= 1
        places[GLOBAL_CODE] = 1
    return {code: count for code, count in places.items() if count}


def _mean_depths(depths: list[int], places: int) -> list[float]:
    """Cut sorted depths into `places` runs of nearly equal length and return the mean of each.

    A mixer may hold more places than it has blocks (a layout of one or two blocks): runs then repeat.
    """
    means = []
    for place in range(places):
        first = place * len(depths) // places
        last = max(first + 1, (place + 1) * len(depths) // places)
        run = depths[first:last]
        means.append(sum(run) / len(run))
    return means
