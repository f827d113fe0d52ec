import type { ClientConfig } from "../config.ts";
import type { Clock } from "../runtime/clock.ts";

/** Everything a command touches outside of itself, so that tests can run the whole program inside their own process. */
export interface Surroundings {
  /** @throws InvalidConfiguration */
  readonly config: () => ClientConfig;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  /** Where the person is, for "tomorrow 06:00". */
  readonly timezone: string;
  readonly version: string;
  readonly out: Output;
  readonly err: Output;
  /** All of standard input. */
  readonly readInput: () => Promise<string>;
  readonly readFile: (path: string) => Promise<string>;
  readonly writeFile: (path: string, text: string) => Promise<void>;
  /** Lets a person change a text; null where there is nobody to do it. `keep` leaves the file there and names it. */
  readonly edit: ((text: string) => Promise<EditedText>) | null;
  /** Only these two need the service's own code, which takes a while to load. */
  readonly serve: () => Promise<void>;
  readonly migrate: () => Promise<void>;
}

export interface Output {
  readonly write: (text: string) => void;
  /** Of a terminal; null: a file or a pipe, whose reader wants everything. */
  readonly columns: number | null;
  readonly colour: boolean;
}

export interface EditedText {
  readonly text: string;
  readonly file: string;
  readonly discard: () => Promise<void>;
}
