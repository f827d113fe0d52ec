import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { readConfig, readMigrationConfig } from "../../src/config.ts";

const environment = (more: Record<string, string> = {}) => ({
  DATABASE_URL: "postgres://u:d4tabase@db/pocketwatch",
  AMQP_URL: "amqp://u:br0ker@mq",
  ...more,
});
const ENTRY = `ops:admin:${createHash("sha256").update("x").digest("hex")}`;

function refusal(more: Record<string, string>): string {
  try {
    readConfig(environment(more));
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("without tokens", () => {
  test.each(["127.0.0.1", "::1", "localhost"])("%s is listened on", (HTTP_HOST) => {
    expect(readConfig(environment({ HTTP_HOST }))).toMatchObject({ http_host: HTTP_HOST, tokens: null });
  });

  test.each(["0.0.0.0", "::", "10.1.2.3", "scheduler.example"])(
    "%s is not, and it is said how to get one",
    (HTTP_HOST) => {
      const message = refusal({ HTTP_HOST });
      expect(message).toContain(`HTTP_HOST: ${HTTP_HOST} is not loopback`);
      expect(message).toContain("pocketwatch tokens create --name <whose> --scope admin");
      expect(refusal({ HTTP_HOST, API_TOKENS: "" })).toBe(message);
      expect(refusal({ HTTP_HOST, API_TOKENS: ENTRY })).toBe("");
    },
  );
});

test("what cannot be used is named; of what may be secret nothing is said", () => {
  const all = {
    DATABASE_URL: "mysql://u:d4tabase@db/x",
    AMQP_URL: "u:br0ker@mq",
    API_TOKENS: "t0ken",
    API_TOKENS_FILE: "/nowhere/tokens",
    HTTP_PORT: "p0rt",
    LOG_LEVEL: "l0ud",
  };
  const message = refusal(all);
  for (const name of Object.keys(all)) expect(message).toContain(`  ${name}: `);
  for (const secret of ["d4tabase", "br0ker", "t0ken"]) expect(message).not.toContain(secret);
});

test("migrating needs the database and nothing else", () => {
  const { DATABASE_URL } = environment();
  expect(readMigrationConfig({ DATABASE_URL, AMQP_URL: "nonsense" })).toEqual({ database_url: DATABASE_URL });
});
