"""The build: which packages go into a wheel. What the project is called and needs stands in pyproject.toml.

``twisted.plugins`` is listed without any ``__init__.py`` of ours: the drop-in must land beside Twisted's own
plugins, and an ``__init__.py`` would overwrite Twisted's.
"""

from setuptools import Extension, find_packages, setup

setup(
    packages=[*find_packages(include=["lbcompanion", "lbcompanion.*"]), "twisted.plugins"],
    package_data={
        "lbcompanion": ["py.typed", "http1/_lines.pyi", "http1/_usual.pyi"],
        "": ["*.js", "*.html", "*.css", "*.svg"],
        "lbcompanion.crawler.admin.dashboard": ["templates/*.html", "static/*"],
    },
    # Where there is no compiler the Python reader does all the work; see lbcompanion/http1/field_lines.py.
    ext_modules=[
        Extension(
            f"lbcompanion.http1.{name}",
            [f"lbcompanion/http1/{name}.c"],
            depends=["lbcompanion/http1/_fields.h"],
            optional=True,
        )
        for name in ("_lines", "_usual")
    ],
    include_package_data=False,
    zip_safe=False,
)
