from __future__ import annotations

import pytest
from spanloom.testing import strict
from vaults import Place


@pytest.fixture
def place(tmp_path):
    place = Place(tmp_path)
    with strict():
        yield place
    place.close()


@pytest.fixture
def vault(place):
    return place.vault()
