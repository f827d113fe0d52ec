import { mkdir, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join, relative } from "node:path";
import { CannotStart } from "./services/service.ts";

/**
 * Two `npm start` would fight over one set of data, so the second one is refused. The mark is a socket that the first
 * one listens on: unlike a file with a process id it cannot outlive its process and name another one.
 */
export async function onlyOneIn(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  // Relative, because the length of such a path is limited to some 100 characters.
  const socket = relative(process.cwd(), join(directory, "start.sock"));
  if (await listen(socket)) return;
  if (!(await somebodyListens(socket))) {
    await rm(socket, { force: true }); // its owner was killed
    if (await listen(socket)) return;
  }
  throw new CannotStart("`npm start` is running in this checkout already. Stop that one first (Ctrl-C).");
}

async function listen(socket: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer((visitor) => visitor.destroy());
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(false) : reject(error),
    );
    server.listen(socket, () => resolve(true));
    server.unref();
  });
}

async function somebodyListens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const visit = connect(socket);
    visit.once("connect", () => {
      visit.destroy();
      resolve(true);
    });
    visit.once("error", () => resolve(false));
  });
}
