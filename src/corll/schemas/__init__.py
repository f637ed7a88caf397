"""The shapes of what crosses the wire, each said once: the service answers with them, the client
reads them, and the OpenAPI document and the desk's TypeScript are generated from them.

This package needs pydantic and nothing else of the service.
"""
