import { type Command, InvalidArgumentError } from "commander";
import type { Pool } from "./answers.ts";
import { at } from "./client.ts";
import { examples } from "./help.ts";
import { whole } from "./option-values.ts";
import { colourOf } from "./paint.ts";
import { inline } from "./printable.ts";
import type { OpenSession } from "./program.ts";
import type { Column } from "./table.ts";

const EVERYTHING = 1_000_000;

/** `pocketwatch pools list, show, set, drain, resume`. */
export function addPools(program: Command, open: OpenSession): void {
  const pools = program.command("pools").description("cap, drain and resume pools of runs").helpCommand(false);
  pools
    .command("list")
    .description("pools by name, with what is in them")
    .addHelpText("after", examples(["pocketwatch pools list"]))
    .action(async () => {
      const session = open();
      const page = await session.client.list<Pool>("/v1/pools", {}, EVERYTHING);
      session.showTable(page, COLUMNS, "There are no pools.");
    });
  pools
    .command("show")
    .description("one pool")
    .argument("<pool>", "its name")
    .addHelpText("after", examples(["pocketwatch pools show scans"]))
    .action(async (name: string) => {
      const session = open();
      const pool = await session.client.get<Pool>(at`/v1/pools/${name}`);
      session.show(pool, () => session.facts(describePool(pool)));
    });
  pools
    .command("set")
    .description("make a pool, or change its cap; obeyed at once, also downwards")
    .argument("<pool>", "its name")
    .argument("<max-in-flight>", "how many of its runs may be in flight, or `unlimited`", cap)
    .addHelpText("after", examples(["pocketwatch pools set scans 4"], ["pocketwatch pools set scans unlimited"]))
    .action(async (name: string, max_in_flight: number | null) => {
      const session = open();
      const path = at`/v1/pools/${name}`;
      const { body: pool } = await session.client.request<Pool>("PUT", path, { body: { max_in_flight } });
      session.show(pool, () => session.facts(describePool(pool)));
    });
  for (const [verb, text, outcome] of [
    ["drain", "hand out no more runs of a pool; what is in flight goes on", "is drained"],
    ["resume", "hand out the runs of a pool again", "hands out its runs"],
  ] as const) {
    pools
      .command(verb)
      .description(text)
      .argument("<pool>", "its name")
      .addHelpText("after", examples([`pocketwatch pools ${verb} scans`]))
      .action(async (name: string) => {
        const session = open();
        const pool = await session.client.post<Pool>(`${at`/v1/pools/${name}/`}${verb}`);
        session.show(pool, () => `${inline(pool.name)} ${outcome}; ${pool.in_flight} in flight.\n`);
      });
  }
}

const COLUMNS: readonly Column<Pool>[] = [
  { title: "NAME", value: ({ name }) => name, least: 10 },
  { title: "STATE", value: stateOf, colour: (pool) => colourOf(stateOf(pool)) },
  { title: "IN FLIGHT", value: ({ in_flight }) => String(in_flight), align: "right" },
  {
    title: "CAP",
    value: ({ max_in_flight }) => (max_in_flight === null ? "-" : String(max_in_flight)),
    align: "right",
  },
  { title: "IDLE", value: ({ idle }) => (idle === null ? "-" : String(idle)), align: "right" },
  { title: "WAITING", value: ({ waiting }) => String(waiting.total), align: "right" },
  { title: "HIGH/NORMAL/LOW", value: ({ waiting }) => byPriority(waiting), align: "right" },
];

function stateOf({ drained }: Pool): string {
  return drained ? "drained" : "active";
}

function byPriority({ high, normal, low }: Pool["waiting"]): string {
  return `${high}/${normal}/${low}`;
}

function describePool(pool: Pool): (readonly [string, string | null])[] {
  return [
    ["pool", pool.name],
    ["state", stateOf(pool)],
    ["cap", pool.max_in_flight === null ? "none" : String(pool.max_in_flight)],
    ["in flight", String(pool.in_flight)],
    ["idle", pool.idle === null ? null : String(pool.idle)],
    [
      "waiting",
      `${pool.waiting.total} (high ${pool.waiting.high}, normal ${pool.waiting.normal}, low ${pool.waiting.low})`,
    ],
  ];
}

function cap(text: string): number | null {
  if (text === "unlimited") return null;
  try {
    return whole(0)(text);
  } catch {
    throw new InvalidArgumentError("Expected a whole number, or `unlimited`.");
  }
}
