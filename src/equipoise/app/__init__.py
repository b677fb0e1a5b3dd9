"""The local web page: `equipoise serve`.

`networks`, `session` and `views` are plain Python that knows no browser; `page` wires them into a page of gradio,
and `server` puts that on a port of this machine. Gradio is imported by these two alone.
"""
