import { drizzle, type NodePgDatabase } from "drizzle-orm/node-postgres";
import pg from "pg";
import type { Logger } from "pino";
import { Unavailable } from "../schedule/errors.ts";
import { fromPostgres, type Instant, toPostgres } from "../schedule/instant.ts";

/** A statement that is parsed once per connection. The name is the plan's name in `pg_prepared_statements`. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Whatever a statement can be asked of: an open transaction, or the database itself. */
export interface Queryable {
  /** Rows with columns under their own names; `timestamptz` as Unix ms, `bigint` as number. */
  query<Row>(statement: Statement | string, values?: readonly unknown[]): Promise<Row[]>;
}

/** One open transaction. It is the first argument of every query, so that a command shows where its boundary is. */
export interface Tx extends Queryable {
  /** For queries composed at run time (filters, partial updates). */
  readonly orm: NodePgDatabase;
}

/** A statement asked of the database itself is a transaction of its own, and spares the round trips of BEGIN and COMMIT. */
export interface Database extends Queryable {
  /**
   * Runs `work` in one READ COMMITTED transaction, rolled back if it throws.
   * @throws Unavailable where there is no connection to be had, or it is lost on the way
   */
  transaction<T>(work: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

export interface TransactionOptions {
  /** Who acts, for the audit; absent: the service itself, under its database role. */
  readonly actor?: string;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly logger: Logger;
  readonly max_connections?: number;
  /** Moves `pocketwatch_now()` for every transaction; only tests pass it. */
  readonly now?: () => Instant | null;
}

const INT8 = 20;
const TIMESTAMPTZ = 1184;
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    if (oid === TIMESTAMPTZ) return fromPostgres;
    // Counters here stay far below 2^53; a string in arithmetic is the likelier bug.
    if (oid === INT8) return Number;
    return pg.types.getTypeParser(oid, format as "text");
  },
} as pg.CustomTypesConfig;

/**
 * Sessions bound what can go wrong in them: a lock waited for (5 s), a statement (20 s), a transaction left idle
 * because this process was paused or cut off (15 s, the length of a lease). `query_timeout` is the same bound seen from
 * this side, for a network that swallows packets. Their zone is UTC whatever the server's is, because instants are read
 * back as text.
 *
 * Every statement of ours is made for an index and a nested loop, and prepared once. A plan made by statistics is a bet that
 * a burst loses: prepared while a table was small, or few rows were due, it went on scanning whole tables for thousands of
 * rows (measured: 14 s instead of 0.4 s per 10,000). Nor is anything compiled: a plan with one of these switched off may look
 * dear enough for it, and half of fire's statement was compiling (64 instead of 31 µs a run, Postgres 15).
 */
export const SESSION: pg.PoolConfig = {
  application_name: "pocketwatch",
  options: [
    ...["timezone=UTC", "datestyle=ISO"],
    ...["enable_seqscan=off", "enable_hashjoin=off", "enable_mergejoin=off", "jit=off"],
  ]
    .map((setting) => `-c ${setting}`)
    .join(" "),
  lock_timeout: 5_000,
  statement_timeout: 20_000,
  query_timeout: 25_000,
  idle_in_transaction_session_timeout: 15_000,
  connectionTimeoutMillis: 10_000,
  keepAlive: true,
};

export function connect(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    ...SESSION,
    connectionString: options.url,
    max: options.max_connections ?? 10,
    idleTimeoutMillis: 60_000,
    types,
  });
  const lost = (error: Error) => options.logger.warn({ err: error }, "a database connection was lost");
  pool.on("error", lost);
  // A connection that is lost without a word (a forgotten NAT entry, a server that failed over) is seldom the only one, and
  // each of the others would cost a time-out of its own: those opened before it are not used again.
  let losses = 0;
  const openedAfter = new WeakMap<pg.PoolClient, number>();
  pool.on("connect", (client) => {
    openedAfter.set(client, losses);
    // A checked-out client that loses its connection between two statements emits "error"; unheard, it ends the process.
    client.on("error", lost);
  });

  async function checkOut(): Promise<pg.PoolClient> {
    for (;;) {
      const client = await pool.connect();
      if (openedAfter.get(client) === losses) return client;
      client.release(true);
    }
  }

  async function withSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await checkOut().catch((error: unknown) => {
      throw error instanceof pg.DatabaseError ? error : unavailable(error);
    });
    const session = openSession(client);
    try {
      return await work(session);
    } finally {
      if (session.lost) losses += 1;
      client.release(session.lost);
    }
  }

  const transaction: Database["transaction"] = (work, { actor } = {}) =>
    withSession(async (tx) => {
      try {
        await tx.query("BEGIN");
        const now = options.now?.() ?? null;
        if (now !== null) await tx.query("SELECT set_config('pocketwatch.now', $1, true)", [toPostgres(now)]);
        if (actor !== undefined) await tx.query("SELECT set_config('pocketwatch.actor', $1, true)", [actor]);
        const result = await work(tx);
        await tx.query("COMMIT");
        return result;
      } catch (error) {
        await tx.query("ROLLBACK").catch(() => {});
        throw error;
      }
    });

  return {
    pool,
    transaction,
    query: (statement, values) =>
      options.now === undefined
        ? withSession((session) => session.query(statement, values))
        : transaction((tx) => tx.query(statement, values)),
    close: () => pool.end(),
  };
}

interface Session extends Tx {
  readonly lost: boolean;
}

function openSession(client: pg.PoolClient): Session {
  let orm: NodePgDatabase | undefined;
  let lost = false;
  return {
    // A failure that is not Postgres's own answer leaves the connection gone or in doubt: nothing more is asked of it,
    // and it must not go back into the pool.
    get lost() {
      return lost;
    },
    async query<Row>(statement: Statement | string, values: readonly unknown[] = []) {
      if (lost) throw unavailable(null);
      const config = typeof statement === "string" ? { text: statement } : statement;
      try {
        const result = await client.query({ ...config, values: values as unknown[] });
        return result.rows as Row[];
      } catch (error) {
        lost = !(error instanceof pg.DatabaseError);
        throw lost ? unavailable(error) : error;
      }
    },
    get orm() {
      orm ??= drizzle(client);
      return orm;
    },
  };
}

function unavailable(cause: unknown): Unavailable {
  const why = cause instanceof Error && cause.message !== "" ? cause.message : "the connection is lost";
  return new Unavailable(`the database is away: ${why}`, { cause });
}

/** SQLSTATE of a database error, or null where the error is of another kind (a lost connection, say). */
export function sqlState(error: unknown): string | null {
  const code = error instanceof pg.DatabaseError ? error.code : undefined;
  return code ?? null;
}

/**
 * SQLSTATE classes 22 (data exception), 23 (integrity constraint) and 54 (a limit of Postgres): what was to be written is
 * at fault, not the server, and asking again would not help.
 */
export function isDataError(error: unknown): boolean {
  return ["22", "23", "54"].includes(sqlState(error)?.slice(0, 2) ?? "");
}

/** Name of the constraint that an insert or update broke, or null. */
export function brokenConstraint(error: unknown): string | null {
  return (error instanceof pg.DatabaseError ? error.constraint : undefined) ?? null;
}
