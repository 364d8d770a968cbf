"""The build: which packages go into a wheel. What the project is called and needs stands in pyproject.toml.

``twisted.plugins`` is listed without any ``__init__.py`` of ours: the drop-in must land beside Twisted's own
plugins, and an ``__init__.py`` would overwrite Twisted's.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["lbcompanion", "lbcompanion.*"]), "twisted.plugins"],
    package_data={
        "lbcompanion": ["py.typed"],
        "": ["*.js", "*.html", "*.css", "*.svg"],
    },
    include_package_data=False,
    zip_safe=False,
)
