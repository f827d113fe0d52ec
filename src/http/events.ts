import { Readable } from "node:stream";
import { z } from "zod";
import { text } from "../contracts/fields.ts";
import { Unavailable } from "../schedule/errors.ts";
import type { EventsApi, RunChanges } from "./api.ts";
import type { Server } from "./request.ts";
import { showRun } from "./run-answer.ts";
import { runFilter, toRunFilter } from "./runs.ts";

/** Clients of one instance. Each costs a query per change and kind of filter. */
const MOST_CLIENTS = 64;
/** When a client that has lost the stream is to come back, ms. */
const RETRY_MS = 2_000;

const DESCRIPTION = `An event \`run\` is a run as it is after a change, of whatever instance; changes in quick succession may be
one event, the end is always told. An event \`ready\` says from where on nothing is missing: with \`{"resumed": true}\` from
\`Last-Event-ID\` on, otherwise from now on, so that what was before is to be asked for. A place can be resumed for five
minutes, at any instance. The stream ends when its token is taken away. A client that reads slowly is told less often, and \`ready\` anew where it falls behind too far.`;

/** Runs as they change, as server-sent events. */
export function eventRoutes(server: Server, api: EventsApi): void {
  const clients = new Set<AbortController>();
  // Streams do not end by themselves, and closing waits for what is in hand.
  server.addHook("preClose", async () => {
    for (const client of clients) client.abort();
  });

  server.get(
    "/v1/events",
    {
      schema: {
        tags: ["runs"],
        summary: "Follow runs as they change, as server-sent events",
        description: DESCRIPTION,
        querystring: z.strictObject({ ...runFilter, schedule: text(1, 255).optional().describe("id or name") }),
        response: { 200: { description: "Done", content: { "text/event-stream": { schema: z.string() } } } },
      },
    },
    async (request, reply) => {
      if (clients.size >= MOST_CLIENTS) throw new Unavailable(`${MOST_CLIENTS} clients follow runs here already`);
      const client = new AbortController();
      clients.add(client);
      reply.raw.once("close", () => {
        client.abort();
        clients.delete(client);
      });
      const last = request.headers["last-event-id"];
      const changes = await api.followRuns(
        toRunFilter(request.query),
        typeof last === "string" ? last : null,
        client.signal,
      );
      reply.type("text/event-stream; charset=utf-8").header("x-accel-buffering", "no");
      // The pipe asks for more when the socket has taken what there was: a slow client holds up nobody but itself.
      const stream = Readable.from(
        events(changes, () => request.admitted()),
        { objectMode: false, highWaterMark: 1 },
      );
      return reply.send(stream as unknown as string);
    },
  );
}

async function* events(changes: AsyncIterable<RunChanges>, admitted: () => boolean): AsyncGenerator<string> {
  yield `retry: ${RETRY_MS}\n\n`;
  for await (const { runs, place, ready } of changes) {
    // A token may be taken away meanwhile. A sign of life comes where there is nothing to tell, so that this ends soon after.
    if (!admitted()) return;
    const told = runs.map((run) => event("run", showRun(run)));
    if (ready !== null) told.push(event("ready", ready));
    // The place goes with the last event; without any it moves the client on, which hears nothing of it.
    if (place !== null) told.push(`id: ${place}\n${told.pop() ?? "\n"}`);
    // An empty piece would stop the pipe. It is a piece of many whose runs the filter all held back.
    if (told.length > 0) yield told.join("");
  }
}

/** JSON has no line breaks of its own, so that it is one line of data. */
function event(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}
