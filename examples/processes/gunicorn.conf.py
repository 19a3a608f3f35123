"""The settings of gunicorn_app.py: loaded once, served by two workers, each sending what it traced before it ends."""

from spanloom.gunicorn import worker_exit  # noqa: F401  gunicorn finds its hooks by their names

preload_app = True
workers = 2
max_requests = 100  # workers are replaced: each sends before it goes
