"""Where alembic runs our revisions: on the connection, and in the transaction, that ``Database.start`` gives it."""

from alembic import context

from vivavoce.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
