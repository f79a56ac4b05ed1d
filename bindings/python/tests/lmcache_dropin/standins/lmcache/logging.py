"""Loggers as LMCache makes them: with a handler of their own, and without the root's."""

import logging

#: Loggers outlive this module in a test that imports it again.
LINES: list[logging.LogRecord] = vars(logging).setdefault("_lines_of_lmcache", [])


class Kept(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        LINES.append(record)


def init_logger(name: str) -> logging.Logger:
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(Kept())
    return logger
