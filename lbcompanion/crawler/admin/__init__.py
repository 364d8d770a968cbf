"""The admin listener: JSON API, dashboard, what they show."""
