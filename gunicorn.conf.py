"""How gunicorn runs the service; it reads this file by itself from the working directory.

https://docs.gunicorn.org/en/stable/settings.html. It binds to 0.0.0.0:$PORT where a platform
sets PORT, else to 127.0.0.1:8000.
"""

import resource

from outbox import MAX_WAITING

# One process, whatever WEB_CONCURRENCY says, because the outbox lives in it: Slack's one message
# a second and the memory of what was posted can only be kept in one place.
workers = 1
worker_class = "worker.PatientWorker"
# A delivery that waits for Slack holds a thread. The rest are for answering at once whatever
# does not wait: health checks, wrong tokens, deliveries without alerts, one delivery too many.
threads = MAX_WAITING + 8

# The settings are read before the fork, so a wrong one stops the master with its message.
preload_app = True

# Seconds that a stopping process gives its deliveries, which are answered within 10 of their head,
# and then, within 10 more, its digest; Heroku kills it after 30
# (https://devcenter.heroku.com/articles/dynos#shutdown).
graceful_timeout = 28

# Seconds that an idle connection is kept, without a thread, for the client's next delivery: longer
# than Heroku's router keeps it, which would else meet a closed one
# (https://devcenter.heroku.com/articles/http-routing#keepalives). How long a request may take to
# come in is READ_TIMEOUT in worker.py: gunicorn has no setting for it.
keepalive = 95

# Connections at a time; one more waits to be accepted. Each is an open file, and without one left
# the process would die; 100 are for all else.
_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
worker_connections = min(_files - 100, 900) if _files > 0 else 900

# "POST /api/logs HTTP/1.1" has 24 bytes.
limit_request_line = 1024
# Auth0 and two proxies send about 20.
limit_request_fields = 64
# Headers that would change the path of a request: no proxy of this service sends them.
forwarder_headers = ""

# gunicorn's administration socket: nothing here needs it.
control_socket_disable = True
