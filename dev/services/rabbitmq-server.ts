import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

/** The start script of an installed RabbitMQ that any user may run, or null. */
export function findRabbitmqServer(): string | null {
  // Debian and Red Hat put wrappers on the PATH that switch to the system's own node and user; these lie behind them.
  const versioned = list("/usr/lib/rabbitmq/lib").map((name) => join("/usr/lib/rabbitmq/lib", name, "sbin"));
  const onPath = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "/usr/sbin");
  const folders = ["/usr/lib/rabbitmq/bin", ...versioned, ...onPath, "/opt/homebrew/sbin", "/usr/local/sbin"];
  return folders.map((folder) => join(folder, "rabbitmq-server")).find(isExecutable) ?? null;
}

export const NO_BROKER = [
  "There is no RabbitMQ to work with. Any one of these is enough:",
  "  - install rabbitmq-server (it is run privately, its system service is not needed)",
  "  - start Docker, so that rabbitmq:4-management can be run",
  "  - set AMQP_URL (for the tests: TEST_AMQP_URL) to a broker, e.g. amqp://guest:guest@localhost:5672",
].join("\n");

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const list = (folder: string) => (existsSync(folder) ? readdirSync(folder) : []);
