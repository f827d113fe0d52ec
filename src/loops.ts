import type { Deps, PassName } from "./deps.ts";
import { answerRequests } from "./passes/answer-requests.ts";
import { dispatch } from "./passes/dispatch.ts";
import { echo } from "./passes/echo.ts";
import { expand } from "./passes/expand.ts";
import { fireOnTime } from "./passes/fire-foreseen.ts";
import { Outlook } from "./passes/outlook.ts";
import { plan } from "./passes/plan.ts";
import { relay } from "./passes/relay.ts";
import { type Retention, retain } from "./passes/retain.ts";
import { supervise } from "./passes/supervise.ts";
import { createLanes } from "./runtime/lanes.ts";
import { type Loop, type LoopReport, type PassResult, startLoop } from "./runtime/loop.ts";

/**
 * Passes whose batches (one, of fire two) are being handed to the broker at once: enough to keep it busy while the next ones are
 * written.
 */
const PUBLISHING_PASSES = 4;

export interface Loops {
  wake(pass: PassName): void;
  wakeAll(): void;
  reports(): Record<string, LoopReport>;
  /** Ends after the passes in hand, and after what they are handing to the broker. */
  stop(): Promise<void>;
}

export interface LoopsOptions {
  readonly poll_ms: number;
  readonly version: string;
  /** The broker's state in a word. */
  readonly broker: () => string;
  readonly retention: Retention;
  /** Declares the topology again, where there is a broker to declare it to. */
  readonly declare: () => Promise<unknown>;
}

/** One loop per pass. */
export function startLoops(deps: Deps, options: LoopsOptions): Loops {
  const lanes = createLanes(PUBLISHING_PASSES);
  const outlook = new Outlook();
  const loops = new Map<string, Loop>();
  const reports = () => Object.fromEntries([...loops].map(([name, loop]) => [name, loop.report]));

  let stopping = false;

  const publishing = (pass: () => Promise<PassResult & { published: Promise<void> }>) => async () => {
    await lanes.room();
    // A stop may have come while the broker kept every lane.
    if (stopping) return { full: false, next_in_ms: null };
    const result = await pass();
    lanes.add(result.published);
    return result;
  };
  const passes: Record<string, () => Promise<PassResult>> = {
    plan: () => plan(deps),
    fire: publishing(() => fireOnTime(deps, outlook)),
    dispatch: publishing(() => dispatch(deps)),
    expand: () => expand(deps),
    relay: () => relay(deps),
    answer_requests: () => answerRequests(deps),
    supervise: () =>
      supervise(deps, { id: deps.instance, version: options.version, broker: options.broker(), passes: reports() }),
    echo: () => echo(deps),
    declare: () => options.declare().then(() => ({ full: false, next_in_ms: null })),
    retain: () => retain(deps, options.retention),
  };
  for (const [name, pass] of Object.entries(passes)) {
    const observe = (_: string, seconds: number, failed: boolean) =>
      deps.metrics.pass_seconds.observe({ pass: name, failed: String(failed) }, seconds);
    loops.set(
      name,
      startLoop({ name, pass, poll_ms: options.poll_ms, clock: deps.clock, logger: deps.logger, observe }),
    );
  }
  return {
    wake: (pass) => loops.get(pass)?.wake(),
    wakeAll: () => {
      for (const loop of loops.values()) loop.wake();
    },
    reports,
    async stop() {
      stopping = true;
      await Promise.all([...loops.values()].map((loop) => loop.stop()));
      await lanes.idle();
    },
  };
}
