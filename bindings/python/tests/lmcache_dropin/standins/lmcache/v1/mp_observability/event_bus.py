from abc import ABC, abstractmethod


class EventSubscriber(ABC):
    @abstractmethod
    def get_subscriptions(self): ...


class EventBus:
    """Hands each event to its callbacks at once."""

    def __init__(self):
        self.callbacks, self.subscribers = {}, []

    def subscribe(self, event_type, callback):
        self.callbacks.setdefault(event_type, []).append(callback)

    def register_subscriber(self, subscriber):
        subscriber.register(self)
        self.subscribers.append(subscriber)

    def publish(self, event):
        for callback in self.callbacks.get(event.event_type, []):
            callback(event)

    def stop(self):
        for subscriber in reversed(self.subscribers):
            subscriber.shutdown()
