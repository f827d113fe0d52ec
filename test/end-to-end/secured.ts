import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type pg from "pg";
import { freePort } from "../../dev/services/ports.ts";
import { startPostgres } from "../../dev/services/postgres.ts";
import { startRabbitmq } from "../../dev/services/rabbitmq.ts";
import type { Broker, Service } from "../../dev/services/service.ts";
import { withLibpqModes } from "../../src/access/tls.ts";
import { migrate } from "../../src/database/migrate.ts";
import { createAuthority, createCertificate } from "../support/certificates.ts";
import { onServer } from "../support/database.ts";

const DOCUMENT = fileURLToPath(new URL("../../docs/access.md", import.meta.url));
/** Stands where the document says `change-me`. Every character of it that a URL minds is encoded there. */
export const PASSWORD = "pa55w0rd/@:?#% x";

/** Two private servers that speak TLS, set up by nothing but the statements and commands of docs/access.md. */
export interface Secured {
  readonly postgres: Service;
  readonly broker: Broker;
  /** Of a role in the database `pocketwatch`; with these parameters, else without TLS. */
  databaseUrl(role: string, parameters?: Record<string, string>): string;
  /** Of a user in the virtual host, or another one; without TLS unless `amqps`. */
  amqpUrl(user: string, options?: { readonly tls?: boolean; readonly vhost?: string }): string;
  /** PEM files: the authority, another one, and the service's own certificate and key. */
  readonly file: (name: "ca" | "stranger" | "cert" | "key") => string;
  remove(): Promise<void>;
}

export async function startSecured(rabbitmqServer: string): Promise<Secured> {
  const directory = await mkdtemp(join(tmpdir(), "pocketwatch-secured-"));
  const file = (name: string) => join(directory, `${name}.pem`);
  const [authority, stranger] = await Promise.all([createAuthority("ours"), createAuthority("stranger")]);
  const [server, client] = await Promise.all([
    createCertificate("server", authority),
    createCertificate("pocketwatch", authority),
  ]);
  const files = { ca: authority.cert, stranger: stranger.cert, cert: client.cert, key: client.key };
  for (const [name, pem] of Object.entries(files)) await writeFile(file(name), pem);
  const tls = { ...server, ca: authority.cert };
  const tlsPort = await freePort();
  const [postgres, broker] = await Promise.all([
    startPostgres({ directory: join(directory, "postgres"), settings: { fsync: "off" }, tls, disposable: true }),
    startRabbitmq({
      server: rabbitmqServer,
      directory: join(directory, "rabbitmq"),
      tls: { ...tls, port: tlsPort },
      disposable: true,
    }),
  ]);

  const secured: Secured = {
    postgres,
    broker,
    file,
    databaseUrl(role, parameters = {}) {
      const url = new URL(
        `postgresql://${role}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${postgres.port}/pocketwatch`,
      );
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
      return url.href;
    },
    amqpUrl(user, { tls = false, vhost = "pocketwatch" } = {}) {
      const port = tls ? tlsPort : broker.port;
      return `amqp${tls ? "s" : ""}://${user}:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/${vhost}`;
    },
    async remove() {
      await Promise.all([postgres.remove(), broker.remove()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
  await Promise.all([setUpPostgres(secured), setUpRabbitmq(secured)]);
  return secured;
}

async function setUpPostgres({ postgres, databaseUrl, file }: Secured): Promise<void> {
  const [asSuperuser, asOwner] = await blocks("sql");
  // The private server's own database has the name that the document's is to have.
  const elsewhere = postgres.url.replace(/[^/]+$/, "postgres");
  await onServer(elsewhere, async (client) => {
    await client.query("DROP DATABASE pocketwatch");
    for (const statement of statements(asSuperuser!)) await client.query(statement);
  });
  const owner = databaseUrl("pocketwatch_owner", { sslmode: "verify-full", sslrootcert: file("ca") });
  await migrate(withLibpqModes(owner));
  await onServer(owner, async (client) => {
    for (const statement of statements(asOwner!)) await client.query(statement);
  });
}

async function setUpRabbitmq({ broker }: Secured): Promise<void> {
  // The private server's own user has the name that the document's is to have.
  await broker.ctl(["delete_user", "pocketwatch"]);
  const commands = (await blocks("sh")).flatMap((block) => block.split("\n"));
  for (const command of commands.filter((line) => line.startsWith("rabbitmqctl "))) {
    const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
    await broker.ctl(words.slice(1));
  }
}

/** The code blocks of one language in the document. */
async function blocks(language: string): Promise<string[]> {
  const text = (await readFile(DOCUMENT, "utf8")).replaceAll("change-me", PASSWORD);
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms"))].map(([, block]) => block!);
}

function statements(block: string): string[] {
  return block
    .replace(/^--.*$/gm, "")
    .split(/;\n/)
    .filter((statement) => statement.trim() !== "");
}

/** How a statement is refused: its SQLSTATE, or null where it is not. Nothing of it stays. */
export async function sqlRefusal(url: string, statement: string): Promise<string | null> {
  return onServer(url, async (client) => {
    await client.query("BEGIN");
    try {
      await client.query(statement);
      return null;
    } catch (error) {
      return (error as pg.DatabaseError).code ?? String(error);
    }
  });
}
