"""Alembic's entry: run the migrations on the connection that the service hands over."""

from alembic import context

from service.store.rows import Row


def run() -> None:
    """Run the migrations inside the caller's transaction."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=Row.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


run()
