-- The tables that a server with ClickHouse adds to those of the store.

-- Messages that were answered and are not in ClickHouse yet. `lines` is as in `batch`; `networks` is a zstd frame with
-- the rows of their networks: on each line the table, a space and the JSON. A row goes when ClickHouse has it. Numbers
-- are not used again, because they name an insert that is repeated, beside a hash of its content.
CREATE TABLE IF NOT EXISTS spool (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    messages INTEGER NOT NULL,
    lines BLOB NOT NULL,
    networks BLOB NOT NULL
);

-- Rows that ClickHouse refused while it took others: when (days since 1970), for which table, what it said. They go when
-- they are sent again and taken, when somebody throws them away, or when messages of their day would go.
CREATE TABLE IF NOT EXISTS aside (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    day INTEGER NOT NULL,
    name TEXT NOT NULL,
    why TEXT NOT NULL,
    row TEXT NOT NULL
);

-- Sums of the counters of the other servers with the same ClickHouse, as in `quality`.
CREATE TABLE IF NOT EXISTS elsewhere (
    day INTEGER NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, name, label)
) WITHOUT ROWID;
