"""The first tables."""

from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='DoneTask',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=64)),
                ('version', models.CharField(max_length=32)),
                ('at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'done_tasks',
            },
        ),
        migrations.CreateModel(
            name='LogIndex',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('host', models.CharField(max_length=32)),
                ('message', models.CharField(max_length=128)),
            ],
            options={
                'db_table': 'log_index',
            },
        ),
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.CharField(max_length=64)),
                ('version', models.CharField(max_length=32)),
                ('at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'orders',
            },
        ),
        migrations.CreateModel(
            name='StartedTask',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task', models.CharField(max_length=64)),
                ('version', models.CharField(max_length=32)),
                ('at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'started_tasks',
            },
        ),
        migrations.CreateModel(
            name='Tick',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.CharField(max_length=32)),
                ('at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'db_table': 'ticks',
            },
        ),
    ]
