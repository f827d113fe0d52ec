import { type Client, createClient } from "./client.ts";
import type { Here } from "./local-moments.ts";
import type { Surroundings } from "./surroundings.ts";
import { type Column, type Fact, facts, table } from "./table.ts";

/** One command at work: whom it asks and how it answers. */
export interface Session {
  readonly client: Client;
  readonly around: Surroundings;
  readonly json: boolean;
  /** How local times are meant: by the person's clock, unless a zone is named. */
  here(timezone?: string): Here;
  /** For people. */
  say(text: string): void;
  /** One value: as JSON for programs, else as the lines that `people` makes of it. */
  show<Value>(value: Value, people: (value: Value) => string): void;
  showTable<Row>(page: { readonly items: readonly Row[] }, columns: readonly Column<Row>[], empty: string): void;
  facts(pairs: readonly Fact[]): string;
}

export function createSession(around: Surroundings, json: boolean): Session {
  const { out } = around;
  const session: Session = {
    client: createClient(around.config(), around.fetch),
    around,
    json,
    here: (timezone = around.timezone) => ({ now: around.clock.now(), timezone }),
    say: (text) => {
      if (!json) out.write(`${text}\n`);
    },
    show: (value, people) => out.write(json ? `${JSON.stringify(value, null, 2)}\n` : people(value)),
    showTable(page, columns, empty) {
      session.show(page, ({ items }) => (items.length === 0 ? `${empty}\n` : table(out, columns, items)));
    },
    facts: (pairs) => facts(out, pairs),
  };
  return session;
}
