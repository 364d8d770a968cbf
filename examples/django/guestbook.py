"""A guest book of a few pages in Django, in one module: settings, addresses, views. Sessions are signed cookies."""

from __future__ import annotations

import os
import secrets
import uuid
from pathlib import Path

from django.contrib import messages
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
ROOT_URLCONF = "guestbook"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
# The balancer writes this field, and the companion passes it on.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
INSTALLED_APPS = ["django.contrib.sessions", "django.contrib.messages"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def page(request: HttpRequest, template: str, **values: object) -> HttpResponse:
    """Render a page."""
    return render(request, template, {"node": os.environ["NODE"], "unique": uuid.uuid4(), **values})


def index(request: HttpRequest) -> HttpResponse:
    """The entries. A POST writes one and redirects, or shows a preview."""
    if request.method == "POST" and "name" in request.session:
        text = request.POST["text"]
        if "preview" in request.POST:
            messages.info(request, f"Preview: {text}")
        else:
            request.session["entries"] = [*request.session.get("entries", []), text]
            messages.info(request, "The entry was written.")
            return redirect("index")
    return page(request, "index.html")


def login(request: HttpRequest) -> HttpResponse:
    """The log-in form and what it sends."""
    if request.method == "POST":
        if request.POST["password"] == "secret":
            request.session["name"] = request.POST["name"]
            return redirect("index")
        messages.error(request, "This password is wrong.")
    return page(request, "login.html")


def logout(request: HttpRequest) -> HttpResponse:
    """End the session."""
    if request.method == "POST":
        request.session.flush()
    return redirect("index")


def big(request: HttpRequest) -> HttpResponse:
    """A page of more than a megabyte."""
    return page(request, "big.html", lines=[secrets.token_hex(18) for _ in range(20_000)])


def fragment(request: HttpRequest) -> HttpResponse:
    """A part of a page, which a script fetches."""
    return HttpResponse(f"<b>Fetched later: {uuid.uuid4()}</b>")


urlpatterns = [
    path("", index, name="index"),
    path("login", login, name="login"),
    path("logout", logout, name="logout"),
    path("big", big, name="big"),
    path("fragment", fragment, name="fragment"),
]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "guestbook")
application = get_wsgi_application()
