import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
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

describe("TLS", () => {
  const here = fileURLToPath(import.meta.url);
  const database = (parameters: string) => refusal({ DATABASE_URL: `postgres://u:d4tabase@db/x?${parameters}` });

  test.each([
    ["sslmode=prefer", "sslmode must be one of disable, require, verify-ca, verify-full"],
    ["sslmode=allow", "sslmode must be one of"],
    [`sslrootcert=${here}`, "sslrootcert needs an sslmode"],
    ["sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert"],
    ["sslmode=verify-full&sslrootcert=/nowhere.pem", "sslrootcert: /nowhere.pem cannot be read (ENOENT)"],
    [`sslmode=require&sslcert=${here}`, "sslcert and sslkey go together"],
  ])("%s is refused", (parameters, message) => {
    expect(database(parameters)).toContain(`  DATABASE_URL: ${message}`);
    expect(database(parameters)).not.toContain("d4tabase");
  });

  test("of Postgres means what it means to libpq, and leaves the rest of the URL alone", () => {
    const DATABASE_URL = `postgres://u:p%40%2Fss@db/x?sslmode=verify-ca&sslrootcert=${here}`;
    expect(readConfig(environment({ DATABASE_URL })).database_url).toBe(
      `postgres://u:p%40%2Fss@db/x?sslmode=verify-ca&sslrootcert=${encodeURIComponent(here)}&uselibpqcompat=true`,
    );
    for (const mode of ["disable", "require", "verify-full"]) expect(database(`sslmode=${mode}`)).toBe("");
  });

  test("of RabbitMQ is amqps:// and files that are there", () => {
    const AMQP_URL = "amqps://u:br0ker@mq";
    const files = { AMQP_CA_FILE: here, AMQP_CERT_FILE: here, AMQP_KEY_FILE: here };
    expect(readConfig(environment({ AMQP_URL, ...files })).amqp_tls).toEqual({
      ca: here,
      client: { cert: here, key: here },
    });
    expect(readConfig(environment({ AMQP_URL })).amqp_tls).toEqual({ ca: null, client: null });
    expect(refusal({ AMQP_CA_FILE: here })).toContain("AMQP_CA_FILE: AMQP_URL is not amqps://");
    expect(refusal({ AMQP_URL, AMQP_CERT_FILE: here })).toContain("AMQP_CERT_FILE: goes together with AMQP_KEY_FILE");
    expect(refusal({ AMQP_URL, AMQP_CA_FILE: "/nowhere.pem" })).toContain("AMQP_CA_FILE: /nowhere.pem cannot be read");
  });
});
