"""The dashboard: HTML from the same data as the API, made by Jinja2 templates; nothing loads from other origins.

Without scripts all pages work by reloading. The script shows times in the reader's time zone, and renews the live part
of a page.
"""
