import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { problem } from "./problem.ts";

const STATUSES: Readonly<Record<string, number>> = { HPE_HEADER_OVERFLOW: 431, ERR_HTTP_REQUEST_TIMEOUT: 408 };

/** What cannot be read as HTTP makes no request that a route could answer, and is told what is wrong all the same. */
export function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy(error);
  const status = STATUSES[error.code ?? ""] ?? 400;
  const body = JSON.stringify(problem(status, "this is no request as HTTP has them, or too much of one", "/"));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "content-type: application/problem+json; charset=utf-8",
    `content-length: ${Buffer.byteLength(body)}`,
    "connection: close",
  ];
  socket.write(`${head.join("\r\n")}\r\n\r\n${body}`);
  socket.destroySoon();
}
