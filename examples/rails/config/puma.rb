# Two workers with two threads each: four requests at a time.
workers 2
threads 2, 2
preload_app!
bind "tcp://127.0.0.1:#{ENV.fetch("PORT")}"
# Idle connections are kept for longer than the companion keeps them (upstream_idle_seconds = 4).
persistent_timeout 20
environment "production"
