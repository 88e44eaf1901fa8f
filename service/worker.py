"""`python -m service.worker`: a worker beside the API, as `rupture serve` starts it.

It ends when its standard input does. `rupture worker` is one that stands for itself.
"""

from service.commands import worker_beside_api

if __name__ == "__main__":
    worker_beside_api()
