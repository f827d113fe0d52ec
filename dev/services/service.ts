/** A backing server that this process started and therefore owns. Every method settles once its effect has happened. */
export interface Service {
  /** `PostgreSQL 18 (private, .local/postgres)`: shown to people. */
  readonly description: string;
  readonly url: string;
  readonly port: number;
  /** How it ended without being asked to, with the end of its log; null while all is well. */
  readonly failure: string | null;
  /** Starts it again on the same port and data, after `stop` or `kill`; does nothing while it runs. */
  start(): Promise<void>;
  /** Ends it in good order. May be called twice. */
  stop(): Promise<void>;
  /** Ends it as a power cut would: SIGKILL, nothing is flushed or said. */
  kill(): Promise<void>;
  /** Freezes every process of it: connections stay open and nothing answers, as on a machine that hangs. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Ends it at once and deletes its data. */
  remove(): Promise<void>;
}

export interface Broker extends Service {
  /** Runs `rabbitmqctl` against exactly this node and gives back what it printed. */
  ctl(args: readonly string[]): Promise<string>;
}

/** What a server shows to its clients, and by whom those that show something must have been signed. PEM. */
export interface ServerTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** One line for the person who waits: what is being started, installed or worked around. */
export type Say = (line: string) => void;

/** Something about this machine that a person has to change; its message is all they need to see (no stack). */
export class CannotStart extends Error {
  override readonly name = "CannotStart";
}
