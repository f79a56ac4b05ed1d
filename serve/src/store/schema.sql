-- The tables of the store. A time is in milliseconds since the Unix epoch, a day is a number of days since it (UTC).

-- Numbers of the store itself: `projected`, the last batch that the projection contains; `kept_from`, the first day
-- whose batches are all kept; `words_from`, the day on which texts without a row were deleted last; `origin_key`, the
-- number of the last key of origins; `closed`, the last closed day; `erasing`, the closed day whose origins are being
-- erased; with ClickHouse, `name`, `part` and `other_servers`.
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- The truth: sanitized messages as they were received. `lines` is a zstd frame of JSON lines,
-- ["contract", "message", received, time or null, {flat}].
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    day INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    -- Whether the batches of the closed day were packed into large frames.
    packed INTEGER NOT NULL DEFAULT 0,
    lines BLOB NOT NULL
);
CREATE INDEX batch_day ON batch (day, packed);

-- Everything below is projected from the batches, but `origin`, `start`, `cube`, `revision` and `tombstone`.

-- Texts by number.
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);

-- One process of an engine. `uuid` is vLLM's uuid or LMCache's session_id, 16 bytes; `engine` is the word `vllm` or
-- `lmcache`. The heartbeats of all eras of vLLM look alike, so the contract is that of the start report once there is
-- one (`reported`), and before it the newest whose heartbeats fit.
CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    uuid BLOB NOT NULL,
    engine INTEGER NOT NULL,
    contract INTEGER NOT NULL,
    reported INTEGER NOT NULL DEFAULT 0,
    -- LMCache's machine_id.
    machine BLOB,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    -- Ten-minute slots with a heartbeat, and interval messages. An engine with six of them is `served`.
    beats INTEGER NOT NULL DEFAULT 0,
    UNIQUE (uuid, engine)
);

-- The values of a session's start reports, as far as a question asks for it: `name` and `value` are words.
CREATE TABLE facet (
    session INTEGER NOT NULL,
    name INTEGER NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (session, name)
) WITHOUT ROWID;

-- The ten-minute slots of a day in which a session sent a heartbeat or an interval message: 144 bits, the first slot is the lowest bit of the
-- first byte.
CREATE TABLE presence (
    day INTEGER NOT NULL,
    session INTEGER NOT NULL,
    slots BLOB NOT NULL,
    PRIMARY KEY (day, session)
) WITHOUT ROWID;

-- The network from which a session was heard of on a day: 20 bits of a keyed hash. Erased when the day is closed. `key`
-- is the number of the key, which changes at midnight and at each start: one network has another origin under another
-- key, so origins are counted under one key, and the key with the largest count stands for the day.
CREATE TABLE origin (
    day INTEGER NOT NULL,
    session INTEGER NOT NULL,
    key INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    PRIMARY KEY (day, session, key)
) WITHOUT ROWID;

-- Starts of contracts whose messages carry no identity, by network and day of receipt. `contract` and `engine` are words.
-- Erased when the day is closed; starts of unknown networks are not here.
CREATE TABLE start (
    day INTEGER NOT NULL,
    engine INTEGER NOT NULL,
    contract INTEGER NOT NULL,
    key INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, engine, contract, key, origin)
) WITHOUT ROWID;

-- An interval message of LMCache. `series` is a word (an adapter of L2, or empty), `sums` a JSON object with the
-- numbers that questions ask for.
CREATE TABLE interval (
    session INTEGER NOT NULL,
    message INTEGER NOT NULL,
    series INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    day INTEGER NOT NULL,
    sums TEXT NOT NULL,
    PRIMARY KEY (session, message, series, sequence)
) WITHOUT ROWID;
CREATE INDEX interval_day ON interval (day);

-- Starts of contracts whose messages carry no identity (`name` is `start`, `label` the contract), and the counters of
-- quality: `received` (`label` is contract and message), `skewed` (contract), `refused` (reason), `unknown_key` (empty).
CREATE TABLE quality (
    day INTEGER NOT NULL,
    name TEXT NOT NULL,
    label TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (day, name, label)
) WITHOUT ROWID;

-- The answer to a question on one closed day. `engines` counts served engines, `amount` is in the question's unit,
-- `largest` is the greatest share of one origin in the engines, in thousandths. `published` is the verdict at the
-- close, which a revision never turns from 0 to 1.
CREATE TABLE cube (
    question TEXT NOT NULL,
    day INTEGER NOT NULL,
    contract TEXT NOT NULL,
    cell TEXT NOT NULL,
    engines INTEGER NOT NULL,
    amount REAL NOT NULL,
    origins INTEGER NOT NULL,
    largest INTEGER NOT NULL,
    published INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (question, day, contract, cell)
) WITHOUT ROWID;

-- When a closed day changed, and why.
CREATE TABLE revision (
    number INTEGER PRIMARY KEY,
    day INTEGER NOT NULL,
    time INTEGER NOT NULL,
    reason TEXT NOT NULL
);

-- SHA-256 of files that were imported, and of their messages without identity, so that a second import counts nothing
-- twice.
CREATE TABLE imported (hash BLOB PRIMARY KEY) WITHOUT ROWID;

-- SHA-256 of identifiers whose data was deleted and must not come back.
CREATE TABLE tombstone (hash BLOB PRIMARY KEY) WITHOUT ROWID;

-- The weight of an engine that started on a closed day in a network with many starts; all others have the weight one.
-- Kept for a month, so that those which live on count the same.
CREATE TABLE weight (session INTEGER PRIMARY KEY, day INTEGER NOT NULL, weight REAL NOT NULL);
