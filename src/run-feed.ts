import { scheduleId } from "./commands/find-schedule.ts";
import type { Tx } from "./database/connection.ts";
import {
  canResume,
  changesBetween,
  FOLLOW_EVERY_MS,
  followChanges,
  type Place,
  placeNow,
  writersOfRuns,
} from "./database/run-changes.ts";
import type { RunFilter } from "./database/run-filter.ts";
import { type ListedRun, pickRuns } from "./database/run-lists.ts";
import type { Deps } from "./deps.ts";
import type { Api, RunChanges } from "./http/api.ts";

/** How often the database is asked while somebody follows, ms. */
const LOOK_EVERY_MS = 250;
/** Runs told at a time: what is held in memory for a client. */
const CHUNK = 50;
/** Changed runs a client may have missed; with more, the lists are the better answer. */
const MOST_CHANGED = 50_000;
/** Before a proxy or a browser takes a silent stream for a dead one, ms. */
const KEEP_ALIVE_MS = 15_000;
/** How long transactions that began before the changes were noted are waited for, ms. */
const SETTLE_MS = 5_000;

/** One look at the database, shared by all clients that want one at about the same time. */
interface Look {
  readonly began: number;
  readonly to: Promise<Place>;
  /** By the place from which on it is asked. */
  readonly changed: Map<Place, Promise<string[]>>;
  readonly told: Map<string, Promise<ListedRun[]>>;
}

/**
 * Follows the runs of all instances. Nothing is kept for a client but its place: one that reads slowly is told of more at
 * once, later. While nobody follows, nothing runs.
 */
export function createRunFeed(deps: Deps): Api["followRuns"] {
  const { clock } = deps;
  const ask = <T>(work: (tx: Tx) => Promise<T>) => deps.database.transaction(work);
  let following = Number.NEGATIVE_INFINITY;
  let latest: Look | null = null;

  async function follow(): Promise<void> {
    if (clock.monotonic() - following < FOLLOW_EVERY_MS) return;
    following = clock.monotonic();
    await ask((tx) => followChanges(tx, deps.instance)).catch((error) => {
      following = Number.NEGATIVE_INFINITY;
      throw error;
    });
  }

  /** The end of the stream, once every transaction that may not have noted its changes is over. */
  async function start(): Promise<Place> {
    await ask((tx) => followChanges(tx, deps.instance));
    const before = await ask(writersOfRuns);
    const began = clock.monotonic();
    for (let open = before; open.size > 0 && clock.monotonic() - began < SETTLE_MS; ) {
      await clock.sleep(10);
      const writers = await ask(writersOfRuns);
      open = new Set([...before].filter((writer) => writers.has(writer)));
    }
    return ask(placeNow);
  }

  function look(): Look {
    if (latest === null || clock.monotonic() - latest.began >= LOOK_EVERY_MS) {
      latest = { began: clock.monotonic(), to: ask(placeNow), changed: new Map(), told: new Map() };
    }
    return latest;
  }

  /** What one chunk holds is shared by clients with the same filter; more would be too much to keep. */
  function pick(at: Look, from: Place, ids: readonly string[], filter: RunFilter): Promise<ListedRun[]> {
    const read = () => ask((tx) => pickRuns(tx, filter, ids));
    return ids.length < CHUNK ? shared(at.told, from + JSON.stringify(filter), read) : read();
  }

  async function* changes(filter: RunFilter, after: Place | null, signal: AbortSignal): AsyncGenerator<RunChanges> {
    await follow();
    const resumed = after !== null && canResume(after, await ask(placeNow));
    let from = resumed ? after : await start();
    yield { runs: [], place: from, ready: { resumed } };
    let told = clock.monotonic();
    for (;;) {
      // Before the look, not after it: one that others had before this client came would take it back.
      await clock.sleep(LOOK_EVERY_MS, signal);
      if (signal.aborted) return;
      await follow();
      const at = look();
      const [place, to] = [from, await at.to];
      const ids = await shared(at.changed, place, () => ask((tx) => changesBetween(tx, place, to, MOST_CHANGED + 1)));
      from = to;
      if (ids.length > MOST_CHANGED || !canResume(place, to)) {
        yield { runs: [], place: to, ready: { resumed: false } };
      } else {
        for (let index = 0; index < ids.length; index += CHUNK) {
          const runs = await pick(at, place, ids.slice(index, index + CHUNK), filter);
          yield { runs, place: index + CHUNK < ids.length ? null : to, ready: null };
        }
        if (ids.length === 0 && clock.monotonic() - told < KEEP_ALIVE_MS) continue;
        if (ids.length === 0) yield { runs: [], place: to, ready: null };
      }
      told = clock.monotonic();
    }
  }

  return async ({ schedule, ...filter }, after, signal) => {
    const schedule_id = schedule === undefined ? undefined : await ask((tx) => scheduleId(tx, schedule));
    return changes({ ...filter, schedule_id }, after, signal);
  };
}

function shared<Key, Value>(kept: Map<Key, Promise<Value>>, key: Key, make: () => Promise<Value>): Promise<Value> {
  const value = kept.get(key) ?? make();
  kept.set(key, value);
  return value;
}
