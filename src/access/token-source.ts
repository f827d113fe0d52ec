import { readFileSync } from "node:fs";
import type { Logger } from "pino";
import type { Clock } from "../runtime/clock.ts";
import { InvalidTokens, parseTokens, type Token } from "./tokens.ts";

/** Where the tokens are: some in the environment, some in a file that may change. */
export interface TokenSource {
  readonly fixed: readonly Token[];
  readonly file: string | null;
}

export interface HeldTokens {
  /** Those in force; none at all: everybody may do everything, and only on loopback. */
  current(): readonly Token[];
  stop(): void;
}

/** How soon a changed file counts. A mounted secret takes longer than that to arrive. */
const READ_AGAIN_MS = 5_000;

/** @throws InvalidTokens also where there is a file and nothing in it, lest an emptied file open the door */
export function readTokenFile(file: string): Token[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new InvalidTokens(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return parseTokens(text);
}

/**
 * Reads the file again and again, so that tokens are added and taken away without a restart. It is read and not watched:
 * mounted secrets are replaced by links, which watching misses. While it cannot be used, what was in force stays.
 */
export function holdTokens(source: TokenSource, { clock, logger }: { clock: Clock; logger: Logger }): HeldTokens {
  const { fixed, file } = source;
  const stopping = new AbortController();
  let current = file === null ? fixed : [...fixed, ...readTokenFile(file)];
  let problem: string | null = null;

  function readAgain(path: string): void {
    try {
      const next = [...fixed, ...readTokenFile(path)];
      if (describe(next) !== describe(current)) logger.info({ tokens: next.map(({ name }) => name) }, "tokens changed");
      current = next;
      problem = null;
    } catch (error) {
      const { message } = error as Error;
      if (message !== problem) logger.error({ reason: message }, "API_TOKENS_FILE cannot be used; nothing changes");
      problem = message;
    }
  }

  async function follow(path: string): Promise<void> {
    for (;;) {
      await clock.sleep(READ_AGAIN_MS, stopping.signal);
      if (stopping.signal.aborted) return;
      readAgain(path);
    }
  }

  if (file !== null) void follow(file);
  return { current: () => current, stop: () => stopping.abort() };
}

function describe(tokens: readonly Token[]): string {
  return tokens.map(({ name, scope, hash }) => `${name}:${scope}:${hash.toString("hex")}`).join();
}
