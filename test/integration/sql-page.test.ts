import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { answerRequests } from "../../src/passes/answer-requests.ts";
import { plan } from "../../src/passes/plan.ts";
import { startTestService, type TestService } from "../support/service.ts";

/*
 * docs/sql.md, statement by statement: each does what the page shows, as far as that does not depend on the time. Results
 * are compared by their columns, outcomes of commands by their tags, errors by their text.
 */
const PAGE = fileURLToPath(new URL("../../docs/sql.md", import.meta.url));

interface Statement {
  readonly text: string;
  /** The line that the page shows under it; null: none. */
  readonly shown: string | null;
}

let service: TestService;
let psql: pg.Client;
beforeAll(async () => {
  service = await startTestService();
  psql = new pg.Client(service.url);
  await psql.connect();
});
afterAll(async () => {
  await psql.end();
  await service.stop();
});

function statementsOf(page: string): Statement[] {
  const blocks = [...page.matchAll(/^```(sql)?\n(.*?)^```$/gms)];
  return blocks.flatMap(([, sql, body]) => (sql === undefined ? readTranscript(body!) : readScript(body!)));
}

function readScript(body: string): Statement[] {
  return body
    .replace(/^--.*$/gm, "")
    .split(/;\s*\n/)
    .filter((text) => text.trim() !== "")
    .map((text) => ({ text, shown: null }));
}

function readTranscript(body: string): Statement[] {
  return body
    .split(/^=> /m)
    .slice(1)
    .filter((part) => !part.startsWith("\\"))
    .map((part) => {
      const end = part.search(/;\n/);
      return { text: part.slice(0, end), shown: part.slice(end + 2).split("\n")[0] || null };
    });
}

test("every statement on the page does what the page shows", async () => {
  const statements = statementsOf(await readFile(PAGE, "utf8"));
  expect(statements.length).toBeGreaterThan(40);
  for (const { text, shown } of statements) {
    // The page's roles are not this server's.
    if (text.startsWith("GRANT")) continue;
    const outcome = await psql.query(text.replaceAll("WHERE …", "WHERE true")).catch((error: Error) => error);
    const described =
      outcome instanceof Error
        ? `ERROR:  ${outcome.message}`
        : outcome.fields.length > 0
          ? outcome.fields.map((field) => field.name).join(" | ")
          : [outcome.command, outcome.command === "INSERT" ? 0 : null, outcome.rowCount]
              .filter((part) => part !== null)
              .join(" ");
    if (shown === null || shown.startsWith("-[ RECORD")) expect(outcome, text).not.toBeInstanceOf(Error);
    else
      expect(described, text).toBe(
        shown
          .split("|")
          .map((part) => part.trim())
          .join(" | "),
      );
    await plan(service.deps);
    await answerRequests(service.deps);
  }
});

test("the reasons it names are those of the view", async () => {
  const page = await readFile(PAGE, "utf8");
  const [row] = await service.rows<{ text: string }>("SELECT pg_get_viewdef('due_now') AS text");
  for (const words of [
    "to be planned",
    "to be fired",
    "to be handed to the broker",
    "waits for the end of",
    "waits until each has completed",
    "is in backoff",
    "jitter",
    "is full",
    "is drained",
    "there is no pool",
    "the scheduler is drained",
    "the broker is away",
    "no instance of the service is running",
  ]) {
    expect(page, words).toContain(words);
    expect(row!.text, words).toContain(words);
  }
});
