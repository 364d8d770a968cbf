"""The addresses of the Django site, and its WSGI application with the ledger around it."""

from __future__ import annotations

from django.contrib import admin
from django.core.wsgi import get_wsgi_application
from django.urls import path

from tests.support.served_pages import from_environment

urlpatterns = [path("admin/", admin.site.urls)]

application = from_environment(get_wsgi_application())
