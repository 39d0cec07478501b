"""The event store: the `eventsourcing` library on our own recorder, behind the port `EventStore`."""

from adapters.event_store.store import PostgresEventStore

__all__ = ["PostgresEventStore"]
