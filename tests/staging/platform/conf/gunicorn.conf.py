# What serves the application.
bind = "127.0.0.1:@web_port@"
workers = 2
timeout = 60
graceful_timeout = 30
chdir = "@root@/code"
pidfile = "@root@/run/gunicorn.pid"
errorlog = "@root@/log/gunicorn.log"
accesslog = "@root@/log/gunicorn-access.log"
worker_tmp_dir = "@root@/run"
capture_output = True
