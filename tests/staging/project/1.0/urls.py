"""The pages."""

from django.urls import path

from apps.log_search import views

urlpatterns = [
    path("", views.home),
    path("version", views.version),
    path("healthz/", views.healthz),
    path("readiness/", views.readiness),
    path("slow", views.slow),
    path("orders", views.orders),
]
