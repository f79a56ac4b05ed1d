from enum import Enum
from types import SimpleNamespace

EventType = Enum("EventType", "MP_RETRIEVE_END MP_STORE_END L2_STORE_COMPLETED L2_LOAD_TASK_SUBMITTED")


def event(event_type, **metadata):
    return SimpleNamespace(event_type=event_type, metadata=metadata)
