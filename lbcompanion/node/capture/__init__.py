"""The rules that decide which pages are captured and injected, and the pipeline that does it."""
