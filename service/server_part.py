"""Which packages only `loopfront[server]` brings, so that a lab host's installation can do without them."""

SERVER_MODULES = frozenset(
    {
        "alembic",
        "fastapi",
        "httptools",
        "jinja2",
        "moocore",
        "numpy",
        "onnx",
        "optuna",
        "prometheus_client",
        "psycopg",
        "pyarrow",
        "safetensors",
        "sqlalchemy",
        "structlog",
        "torch",
        "uvicorn",
        "uvloop",
        "yaml",
    }
)
"""The modules of pyproject.toml's extra `server`; the light part imports none of them."""

INSTALL_IT = "pip install 'loopfront[server]'"


def lacks_server_part(error: ModuleNotFoundError) -> bool:
    """Tell whether an import failed because the server part isn't installed here."""
    return (error.name or "").partition(".")[0] in SERVER_MODULES
