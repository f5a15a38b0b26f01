/**
 * The tables of an SQL event log, and the statements of each dialect.
 *
 * Each operation is one statement, so it needs no transaction.
 *
 * @module
 */

import { TAG_LENGTH } from "./message.ts";

/**
 * The statements of a dialect. The comments list the parameters of each, in order.
 */
export interface SqlDialect {
  /**
   * Key, a JSON list of messages that each start with their tag, and the time in
   * ms after which they expire, or null. Returns rows whose highest `last` is the
   * number of the last message, or no rows if the log has ended.
   */
  readonly append: string;
  /** Key, expiry. */
  readonly end: string;
  /** Key, expiry. Renews the time of the last append. */
  readonly touch: string;
  /**
   * A JSON list of keys. Returns a row for each log that exists: `log` (its key),
   * `number` and `tag` of its newest row, `ended`, and `idle` in ms.
   */
  readonly statuses: string;
  /**
   * Key, first number, number of the row to return without its body, maximum number
   * of rows.
   */
  readonly page: string;
  /** Key. Returns the row with the lowest number. */
  readonly oldest: string;
  /** Key, tag. Returns `last`, the highest number of a message with the tag. */
  readonly find: string;
  /** Key, number. Deletes the messages before the number. */
  readonly trim: string;
  /**
   * Maximum number of expired messages (SQLite) or logs (PostgreSQL) to look for.
   * Deletes them, and returns a row for each that was deleted.
   */
  readonly sweep: string;
  /** Channel, a JSON list of payloads. Notifies other processes, in PostgreSQL. */
  readonly notify?: string;
}

/** The dialects of SQL that are supported. */
export type SqlDialectName = "sqlite" | "postgres";

/**
 * The statements that create the tables of all event logs, for each dialect. Run
 * them in order, with your other migrations: a log does not create tables. They
 * have no effect if the tables exist.
 *
 * @example With `node:sqlite`
 * ```ts
 * import { SQL_EVENT_LOG_SCHEMA } from "@x/sse/event-log/sql";
 * import { DatabaseSync } from "node:sqlite";
 *
 * const db = new DatabaseSync(":memory:");
 * for (const statement of SQL_EVENT_LOG_SCHEMA.sqlite) db.exec(statement);
 * ```
 *
 * @see {@link https://www.sqlite.org/lang_createtable.html}
 */
export const SQL_EVENT_LOG_SCHEMA: {
  readonly sqlite: readonly string[];
  readonly postgres: readonly string[];
} = {
  sqlite: [
    `CREATE TABLE IF NOT EXISTS sse_messages (
  log TEXT NOT NULL,
  number INTEGER NOT NULL,
  tag TEXT NOT NULL,
  body TEXT,
  time INTEGER NOT NULL,
  expires INTEGER,
  PRIMARY KEY (log, number)
)`,
    `CREATE INDEX IF NOT EXISTS sse_messages_expires
ON sse_messages (expires) WHERE expires IS NOT NULL`,
  ],
  // Each append updates the row of its log. If the page has room, and no indexed
  // column changes, PostgreSQL does so without a new index entry (a HOT update).
  postgres: [
    `CREATE TABLE IF NOT EXISTS sse_logs (
  log text COLLATE "C" PRIMARY KEY,
  last bigint NOT NULL,
  tag text NOT NULL,
  ended boolean NOT NULL,
  time timestamptz NOT NULL,
  expires timestamptz
) WITH (fillfactor = 50)`,
    `CREATE INDEX IF NOT EXISTS sse_logs_expires
ON sse_logs (expires) WHERE expires IS NOT NULL`,
    `CREATE TABLE IF NOT EXISTS sse_messages (
  log text COLLATE "C" NOT NULL,
  number bigint NOT NULL,
  tag text NOT NULL,
  body text,
  PRIMARY KEY (log, number)
)`,
  ],
};

/** The statements that differ between the dialects only in the placeholders. */
const SHARED = {
  page: `SELECT number, tag, body IS NULL AS ended,
  CASE WHEN number <> $3 THEN body END AS body
FROM sse_messages WHERE log = $1 AND number >= $2 ORDER BY number LIMIT $4`,
  oldest: `SELECT number, tag, body IS NULL AS ended FROM sse_messages
WHERE log = $1 AND number > 0 ORDER BY number LIMIT 1`,
  find: `SELECT number AS last FROM sse_messages
WHERE log = $1 AND tag = $2 AND body IS NOT NULL ORDER BY number DESC LIMIT 1`,
  trim: "DELETE FROM sse_messages WHERE log = $1 AND number < $2",
};

/**
 * SQLite needs one table. It has one writer at a time, so the next number follows
 * from the newest row. A row without a body ends the log, and has the tag of the
 * message before it. If a log was renewed before its first message, it has a row
 * with the number 0.
 */
function sqlite(): SqlDialect {
  const now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
  const columns = "sse_messages (log, number, tag, body, time, expires)";
  // `MAX(number)` would read all rows of the log.
  const newest = `LEFT JOIN (
  SELECT number, tag, body IS NULL AS ended FROM sse_messages
  WHERE log = $1 ORDER BY number DESC LIMIT 1
)`;
  return withQuestionMarks({
    ...SHARED,
    append: `INSERT INTO ${columns}
SELECT $1, IFNULL(number, 0) + 1 + item.key,
  substr(item.value, 1, ${TAG_LENGTH}), substr(item.value, ${TAG_LENGTH + 1}),
  ${now}, ${now} + $3
FROM json_each($2) AS item ${newest} WHERE ended IS NOT 1
RETURNING number AS last`,
    end: `INSERT INTO ${columns}
SELECT $1, IFNULL(number, 0) + 1, IFNULL(tag, ''), NULL, ${now}, ${now} + $2
FROM (SELECT 1) ${newest} WHERE ended IS NOT 1`,
    touch: `INSERT INTO ${columns}
SELECT $1, IFNULL(number, 0), IFNULL(tag, ''), '', ${now}, ${now} + $2
FROM (SELECT 1) ${newest} WHERE ended IS NOT 1
ON CONFLICT DO UPDATE SET time = excluded.time, expires = excluded.expires`,
    statuses: `SELECT message.log, number, tag, body IS NULL AS ended,
  ${now} - time AS idle
FROM json_each($1) AS key JOIN sse_messages AS message
ON message.log = key.value AND number = (
  SELECT number FROM sse_messages WHERE log = key.value
  ORDER BY number DESC LIMIT 1
)`,
    // Also deletes all messages before an expired one, so that the messages that
    // are kept have no gap.
    sweep: `DELETE FROM sse_messages WHERE rowid IN (
  SELECT message.rowid FROM (
    SELECT log, MAX(number) AS number FROM (
      SELECT log, number FROM sse_messages WHERE expires < ${now}
      ORDER BY expires LIMIT $1
    ) GROUP BY log
  ) AS expired JOIN sse_messages AS message
  ON message.log = expired.log AND message.number <= expired.number
) RETURNING number`,
  });
}

function withQuestionMarks(dialect: SqlDialect): SqlDialect {
  const statements = Object.entries(dialect).map(([name, sql]) => [
    name,
    sql.replace(/\$(?=\d)/g, "?"),
  ]);
  return Object.fromEntries(statements);
}

/**
 * PostgreSQL has a row for each log. An append locks this row until it is committed,
 * so numbers are in the order of commits and have no gaps.
 */
function postgres(): SqlDialect {
  const now = "clock_timestamp()";
  const keys = "SELECT json_array_elements_text($1::text::json)";
  // Rounded to minutes. Otherwise it would change with each append, and so would
  // the index.
  const expires = (ms: string) =>
    `date_trunc('minute', ${now} + ${ms}::bigint * interval '1 ms' +
    interval '1 minute')`;
  const renewed = "time = excluded.time, expires = excluded.expires";
  return {
    ...SHARED,
    append: `WITH items AS (
  SELECT number, substr(value, 1, ${TAG_LENGTH}) AS tag,
    substr(value, ${TAG_LENGTH + 1}) AS body
  FROM json_array_elements_text($2::text::json)
    WITH ORDINALITY AS item (value, number)
), head AS (
  INSERT INTO sse_logs AS log (log, last, tag, ended, time, expires)
  SELECT $1, number, tag, false, ${now}, ${expires("$3")}
  FROM items ORDER BY number DESC LIMIT 1
  ON CONFLICT (log) DO UPDATE
  SET last = log.last + excluded.last, tag = excluded.tag, ${renewed}
  WHERE NOT log.ended AND log.tag <> excluded.tag
  RETURNING last
), messages AS (
  INSERT INTO sse_messages (log, number, tag, body)
  SELECT $1, last - (SELECT MAX(number) FROM items) + number, tag, body
  FROM head, items
)
SELECT last FROM head`,
    end: `WITH head AS (
  INSERT INTO sse_logs AS log (log, last, tag, ended, time, expires)
  VALUES ($1, 1, '', true, ${now}, ${expires("$2")})
  ON CONFLICT (log) DO UPDATE SET last = log.last + 1, ended = true, ${renewed}
  WHERE NOT log.ended
  RETURNING last, tag
)
INSERT INTO sse_messages (log, number, tag) SELECT $1, last, tag FROM head`,
    touch: `INSERT INTO sse_logs AS log (log, last, tag, ended, time, expires)
VALUES ($1, 0, '', false, ${now}, ${expires("$2")})
ON CONFLICT (log) DO UPDATE SET ${renewed} WHERE NOT log.ended`,
    statuses: `SELECT log, last AS number, tag, ended,
  floor(extract(epoch FROM ${now} - time) * 1000) AS idle
FROM sse_logs WHERE log IN (${keys})`,
    // Skips logs that are locked: an append is renewing them.
    sweep: `WITH expired AS (
  DELETE FROM sse_logs WHERE log IN (
    SELECT log FROM sse_logs WHERE expires < ${now}
    ORDER BY expires LIMIT $1 FOR UPDATE SKIP LOCKED
  ) RETURNING log
), messages AS (
  DELETE FROM sse_messages WHERE log IN (SELECT log FROM expired)
)
SELECT log FROM expired`,
    notify:
      "SELECT pg_notify($1, value) FROM json_array_elements_text($2::text::json)",
  };
}

/** Returns the statements of a dialect. */
export function dialectOf(name: SqlDialectName): SqlDialect {
  return name === "sqlite" ? sqlite() : postgres();
}
