"""What the application keeps. No table of tasks has a unique key: what happens twice is there twice."""

from django.db import models


class StartedTask(models.Model):
    """A task that a worker began."""

    task = models.CharField(max_length=64)
    version = models.CharField(max_length=32)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "started_tasks"


class DoneTask(models.Model):
    """A task that a worker finished."""

    task = models.CharField(max_length=64)
    version = models.CharField(max_length=32)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "done_tasks"


class Tick(models.Model):
    """Beat sent, and a worker ran it."""

    version = models.CharField(max_length=32)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "ticks"


class Order(models.Model):
    """A request that took its time and was answered."""

    token = models.CharField(max_length=64)
    # The column has no default of the database's: the code of 1.0 cannot insert orders any more.
    level = models.CharField(max_length=16, default="info")
    version = models.CharField(max_length=32)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "orders"


class LogIndex(models.Model):
    """A lot of rows, so that a dump takes a while."""

    host = models.CharField(max_length=32)
    message = models.CharField(max_length=128)

    class Meta:
        db_table = "log_index"
