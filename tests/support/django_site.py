"""Django's own admin as a site: its settings, its addresses, and, run as a program, its database with two people in it.

The environment says where the database is (LBC_TEST_DATABASE) and whether this node compresses (LBC_TEST_GZIP).
"""

from __future__ import annotations

import os
from typing import Any

DEBUG = True
SECRET_KEY = "of these tests alone"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.support.django_urls"
WSGI_APPLICATION = "tests.support.django_urls.application"
USE_TZ = True
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Sign-in takes half a second of CPU with the default one.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    *(["django.middleware.gzip.GZipMiddleware"] if os.environ.get("LBC_TEST_GZIP") else []),
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("LBC_TEST_DATABASE", ":memory:"),
        # Three nodes write to it.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}

PEOPLE = ("ada", "grace", "edith")
PASSWORD = "correct-horse-7"


def prepare() -> None:
    """Make the tables and the people who administer the site."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    for name in PEOPLE:
        User.objects.create_superuser(name, f"{name}@example.com", PASSWORD)


if __name__ == "__main__":
    prepare()
