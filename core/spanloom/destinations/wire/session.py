"""An HTTP session whose open connections are known, so that an attempt can be ended from outside."""

from __future__ import annotations

import weakref
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


def watched_session(given: requests.Session | None, connections: weakref.WeakSet[Any]) -> requests.Session:
    """`given`, or a new session, that adds what it connects to `connections`."""
    session = given if given is not None else requests.Session()
    for scheme in ("http://", "https://"):
        if type(session.get_adapter(scheme)) is HTTPAdapter:  # another one is somebody's own: it keeps its timeouts
            session.mount(scheme, _Watched(connections))
    return session


class _Watched(HTTPAdapter):
    def __init__(self, connections: weakref.WeakSet[Any]) -> None:
        self._pools = {
            "http": _watching(HTTPConnectionPool, connections),
            "https": _watching(HTTPSConnectionPool, connections),
        }
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _watching(pool: type[Any], connections: weakref.WeakSet[Any]) -> type[Any]:
    kind: type[Any] = pool.ConnectionCls

    class Connection(kind):  # type: ignore[misc]
        def connect(self) -> None:
            connections.add(self)
            super().connect()

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

    return Pool
