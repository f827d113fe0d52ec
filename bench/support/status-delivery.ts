import type { Delivery } from "../../src/messaging/delivery.ts";

let sequence = 0;

/** A consumer's word about the first attempt of a run, as the inbox hands it to ingest. */
export function statusDelivery(run_id: string, status: string): Delivery {
  const data = { run_id, attempt: 1, sequence: ++sequence, status, metrics: { validated: 3 } };
  const event = { specversion: "1.0", id: `${run_id}:${status}`, type: "run.status.v1", source: "/bench", data };
  return {
    body: Buffer.from(JSON.stringify(event)),
    properties: { headers: {} } as Delivery["properties"],
    exchange: "",
    routing_key: event.type,
    redelivered: false,
    first_seen: performance.now(),
    ack: () => {},
    deadLetter: refuse,
    retryLater: refuse,
  };
}

function refuse(reason: string): never {
  throw new Error(`a status update was not taken: ${reason}`);
}
