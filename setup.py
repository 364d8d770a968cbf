"""The build: which packages go into a wheel. What the project is called and needs stands in pyproject.toml.

``twisted.plugins`` is listed without any ``__init__.py`` of ours: the drop-in must land beside Twisted's own
plugins, and an ``__init__.py`` would overwrite Twisted's.
"""

from setuptools import Extension, find_packages, setup

setup(
    packages=[*find_packages(include=["lbcompanion", "lbcompanion.*"]), "twisted.plugins"],
    package_data={
        "lbcompanion": ["py.typed", "http1/_lines.pyi", "http1/_usual.pyi", "node/transports/_socket_io.pyi"],
        "": ["*.js", "*.html", "*.css", "*.svg"],
        "lbcompanion.crawler.admin.dashboard": ["templates/*.html", "static/*"],
    },
    # Where there is no compiler, Python does all the work; see field_lines.py, usual_heads.py and socket_io.py.
    ext_modules=[
        Extension(
            "lbcompanion.node.transports._socket_io", ["lbcompanion/node/transports/_socket_io.c"], optional=True
        ),
        *(
            Extension(
                f"lbcompanion.http1.{name}",
                [f"lbcompanion/http1/{name}.c"],
                depends=["lbcompanion/http1/_fields.h"],
                optional=True,
            )
            for name in ("_lines", "_usual")
        ),
    ],
    include_package_data=False,
    zip_safe=False,
)
