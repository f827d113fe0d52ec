import { randomUUID } from "node:crypto";
import { noteConsuming, noteListening, resetListening } from "../database/listening.ts";
import type { Deps } from "../deps.ts";
import { echoMessage } from "../messaging/echo.ts";
import type { PassResult } from "../runtime/loop.ts";

/** How often the service proves to itself that it hears, ms. */
export const ECHO_INTERVAL_MS = 5_000;
/** A longer silence than this between two echoes is a gap in which nobody may have been listening, ms. */
const LISTENING_GAP_MS = 15_000;
const CONFIRM_TIMEOUT_MS = 5_000;

/** Sends an echo through the status queue. Lost ones do not matter: the next one says more. */
export async function echo(deps: Deps): Promise<PassResult> {
  if (deps.publisher.ready) {
    const now = await deps.database.transaction((tx) => noteConsuming(tx, deps.instance));
    await deps.publisher.publish([echoMessage(deps.prefix, now, randomUUID())], CONFIRM_TIMEOUT_MS);
  }
  return { full: false, next_in_ms: ECHO_INTERVAL_MS };
}

/** What consumers had confirmed by `at` and the broker handed to this instance is in the database. */
export async function heardEcho(deps: Deps, at: number): Promise<void> {
  await deps.database.transaction((tx) => noteListening(tx, deps.instance, at, LISTENING_GAP_MS));
}

/** Listening starts (again) now: what was silent before may have been cut off as well as the service was. */
export async function startedListening(deps: Deps): Promise<void> {
  await deps.database.transaction((tx) => resetListening(tx, deps.instance));
}
